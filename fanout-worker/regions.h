/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regions.h: fanfare-worker with `regions: all`: feeds every region that has live edges, each by a
 * process of its own, so that one region's Redis or records can't hold up another's.
 *
 * The first process reads no record. It looks who is there (coord.h) and keeps for each region a
 * child: the same program with the same configuration, but for region, redis_url and a free port to
 * be watched at. Children end with it, whatever ends it. @thread main
 */
#pragma once

#include "fanout-worker/worker_conf.h"

/* Until a signal ends it; the exit status. argv as main got it. */
int regions_run(const struct worker_conf *conf, int argc, char **argv);
