/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_metric.h: what coordination counts, from coord_metric.def; a part of each program's
 * metrics, whose table includes that file with its own METRIC. @thread any
 */
#pragma once

#include "common/runtime/metric.h"

struct coord_metrics {
#define METRIC(field, type, name, help) metric_value field;
#include "common/io/coord_metric.def"
#undef METRIC
};
