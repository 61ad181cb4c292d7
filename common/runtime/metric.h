/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.h: counters and gauges from one table per program, in Prometheus' text format.
 *
 * A metric is one row of a `.def` file: METRIC(field, TYPE, "name", "help"). `name` carries its
 * unit and labels as Prometheus wants them: `fanfare_edge_records_total`,
 * `fanfare_worker_refused_total{reason="no_key"}` (rows of one family stand together).
 *
 * Values are relaxed atomics: any thread adds; hot loops add once a turn. @thread any
 */
#pragma once

#include <stdatomic.h>

#include "common/base/base.h"
#include "common/base/buf.h"

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE
};

typedef _Atomic int64_t metric_value;

struct metric_spec {
    const char *name, *help;
    enum metric_type type;
    size_t offset; /* of the metric_value in the struct */
};

static inline void metric_add(metric_value *m, int64_t n)
{
    atomic_fetch_add_explicit(m, n, memory_order_relaxed);
}
static inline void metric_set(metric_value *m, int64_t n)
{
    atomic_store_explicit(m, n, memory_order_relaxed);
}
static inline int64_t metric_read(metric_value *m)
{
    return atomic_load_explicit(m, memory_order_relaxed);
}

/* Prints all rows (ended by name == NULL) of the struct at base, then the process's own
 * process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds,
 * process_start_time_seconds. */
void metric_print(struct buf *out, const struct metric_spec *specs, const void *base);
/* The generated Markdown table of docs/gen/. */
void metric_print_docs(struct buf *out, const struct metric_spec *specs);
