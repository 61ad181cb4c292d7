/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_metric.h: the edge's metrics, from edge_metric.def. One set a process. @thread any
 */
#pragma once

#include "common/io/coord_metric.h"
#include "common/runtime/metric.h"

struct edge_metrics {
#define METRIC(field, type, name, help) metric_value field;
#include "edge-node/edge_metric.def"
#undef METRIC
    struct coord_metrics coord;
};

extern struct edge_metrics edge_metrics;
extern const struct metric_spec edge_metric_specs[];

#define METRIC_ADD(field, n) metric_add(&edge_metrics.field, (int64_t)(n))
#define METRIC_SET(field, n) metric_set(&edge_metrics.field, (int64_t)(n))
