/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.h: what the worker's admin listener serves. @thread main
 */
#pragma once

#include "common/io/admin.h"

#include "fanout-worker/pump.h"

struct routes_arg {
    struct worker_metrics *metrics;
    struct worker_status *status;
};

/* Ready = Redis up, in the consumer group (with partitions or standing by), registry read. */
bool routes_is_ready(const struct worker_status *st);
/* Fills routes[ROUTES_MAX] (ended by path == NULL); arg must outlive them. */
#define ROUTES_MAX 4
void routes_fill(struct admin_route routes[ROUTES_MAX], struct routes_arg *arg);
