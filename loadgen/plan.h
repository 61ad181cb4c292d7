/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h: the producer: so many records a second, each at its own due time. @thread main of its
 * process
 */
#pragma once

#include "common/base/buf.h"

#include "loadgen/shared.h"

/* Waits for PHASE_RUN, produces until PHASE_DRAIN or for duration_ns, flushes, sets plan.done. The
 * exit status of its process. */
int plan_main(const struct settings *st, struct shared *sh);
/* One record's value; at least as long as its fields need, else exactly size bytes. */
void plan_payload(struct buf *out, const char *key, uint64_t seq, uint64_t due_ns, size_t size);
