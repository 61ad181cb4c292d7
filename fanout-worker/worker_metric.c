/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_metric.c: the rows of worker_metric.def as a table.
 *
 * No state of its own: the values live in the process's struct worker_metrics. @thread any
 */
#include "fanout-worker/worker_metric.h"

const struct metric_spec worker_metric_specs[] = {
#define METRIC(field, type, name, help) {name, help, type, offsetof(struct worker_metrics, field)},
#include "fanout-worker/worker_metric.def"
#undef METRIC
#define METRIC(field, type, name, help) \
    {name, help, type, offsetof(struct worker_metrics, coord.field)},
#include "common/io/coord_metric.def"
#undef METRIC
    {NULL, NULL, METRIC_COUNTER, 0},
};
