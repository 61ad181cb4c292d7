/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_metric.h: the worker's counters and gauges; rows in worker_metric.def. @thread any
 */
#pragma once

#include "common/io/coord_metric.h"
#include "common/runtime/metric.h"

#include "fanout-worker/record.h"

struct worker_metrics {
    metric_value refused[REFUSAL_COUNT];
    metric_value records, entries, bytes, appends, markers, tags_left, mismatches, reattaches;
    metric_value cas_refusals, append_errors, oom, moved_back, rebuilds, gaps, stale_records;
    metric_value sleeps, adoptions, overlap_checks, overlap_failures, incarnations, fetch_errors;
    metric_value redis_connects, sentinels_lost, shards, compacted;
    metric_value deep_wants, deep_segments, deep_positions, deep_full;
    metric_value index_moves, index_reads, index_begun, index_failed;
    metric_value assigned, adopted, running, paused, lag, kafka_age, inflight_bytes;
    metric_value redis_up, joined;
    metric_value regions, region_starts;
    struct coord_metrics coord;
};

extern const struct metric_spec worker_metric_specs[];
