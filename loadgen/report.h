/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h: one run's figures, merged from all processes, for people and as JSON. @thread main
 */
#pragma once

#include "common/base/buf.h"

#include "loadgen/shared.h"
#include "loadgen/truth.h"
#include "loadgen/usage.h"

struct report_process {
    const char *name;
    int pid;
    bool gone; /* it ended before the measurement did */
    struct usage from, to;
};

/* Sums over the crews. */
struct report_clients {
    uint64_t connected, connects, connect_errors, begun, refused, last_error, lost, cut, resumed,
        told_clients, rewound, protocol_errors, resubscribed, deliveries, bytes;
    struct edge_stats edges[EDGES_MAX];
};

struct report {
    const struct settings *st;
    struct report_clients clients;
    uint64_t sent, acked, failed, late;    /* records */
    uint64_t window_ns, window_deliveries; /* the measurement */
    struct hist connect_ns, latency_ns, resume_ns;
    struct report_process *processes;
    size_t process_count;
    struct slice verdict; /* the oracle's line */
    struct tally tally;   /* taken from it */
    uint64_t records;
    bool clean;
};

void report_sum(struct report_clients *into, const struct crew_stats *crews, uint32_t n);
/* Takes the oracle's line apart; keeps borrowing it. 0 or -EBADMSG. */
int report_take_verdict(struct report *rep, struct slice line) _must_check_;
double report_cpu_us(const struct report *rep); /* of all processes, per delivery in the window */
void report_json(const struct report *rep, struct buf *out);
void report_human(const struct report *rep, struct buf *out);
void report_verdict_line(const struct report *rep, struct buf *out);
