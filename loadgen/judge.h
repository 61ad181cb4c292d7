/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h: one process's delivery log (dlog.h) against the truth (truth.h). Part of the oracle.
 *
 * @thread of the truth's owner
 */
#pragma once

#include "loadgen/truth.h"

/* Judges one delivery log (dlog.h) whose clients are in no other. 0; -errno; -EBADMSG: no such file
 * format. Adds to the truth's tallies. */
int judge_file(struct truth *t, const char *path) _must_check_;
