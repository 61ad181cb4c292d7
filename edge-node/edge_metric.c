/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_metric.c: the table behind /metrics and docs/gen/fanfare-edge.md. @thread any
 */
#include "edge-node/edge_metric.h"

struct edge_metrics edge_metrics;

const struct metric_spec edge_metric_specs[] = {
#define METRIC(field, type, name, help) {name, help, type, offsetof(struct edge_metrics, field)},
#include "edge-node/edge_metric.def"
#undef METRIC
#define METRIC(field, type, name, help) \
    {name, help, type, offsetof(struct edge_metrics, coord.field)},
#include "common/io/coord_metric.def"
#undef METRIC
    {NULL, NULL, METRIC_COUNTER, 0},
};
