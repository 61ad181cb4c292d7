/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared.h: the memory that loadgen's processes share: the phase of the run, and each one's
 * figures.
 *
 * Mapped before the fork. Every figure has one writer (its process) and is read by the main process
 * at any time, so all are relaxed atomics; histograms are read only after their writer has ended.
 */
#pragma once

#include <stdatomic.h>

#include "loadgen/hist.h"
#include "loadgen/settings.h"

enum phase {
    PHASE_CONNECT, /* clients connect and subscribe */
    PHASE_RUN,     /* records are produced */
    PHASE_DRAIN,   /* the ends file is there: clients wait until they are at the end */
    PHASE_STOP,    /* write up and exit */
};

typedef _Atomic uint64_t stat_value;

struct edge_stats {
    stat_value clients; /* connected now */
    stat_value lost;    /* connections lost there, cuts of ours not counted */
    stat_value resumed; /* of those, clients that resumed all they had with recovered:true */
};

struct crew_stats {
    stat_value connected, connects, connect_errors;
    stat_value begun;   /* subscriptions that ever began */
    stat_value refused; /* subscriptions and connections refused for good */
    stat_value last_error;
    stat_value lost, cut, rewound, resumed, told_clients, protocol_errors, resubscribed;
    stat_value deliveries, bytes;
    stat_value behind; /* PHASE_DRAIN: subscriptions not at the end yet, + 1; 0 = not known yet */
    stat_value dropped_one;
    struct edge_stats edges[EDGES_MAX];
    struct hist connect_ns, latency_ns;
    struct hist resume_ns; /* from opening a connection until all its subscriptions recovered */
};

struct plan_stats {
    stat_value sent, acked, failed, late; /* late: sent over 1 ms behind schedule */
    stat_value done;
};

struct shared {
    _Atomic int phase;
    stat_value measure_from, measure_to; /* due times whose latency counts, monotonic ns */
    struct plan_stats plan;
    struct crew_stats crews[]; /* settings.processes */
};

static inline void stat_add(stat_value *v, uint64_t n)
{
    atomic_fetch_add_explicit(v, n, memory_order_relaxed);
}
static inline void stat_set(stat_value *v, uint64_t n)
{
    atomic_store_explicit(v, n, memory_order_relaxed);
}
static inline uint64_t stat_get(const stat_value *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}
