/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.h: clients are told to reconnect elsewhere, in waves that the others can take.
 *
 *            moves_drain()          our turn            drain_delay             all gone
 *   TAKING ───────────────▶ WAITING ─────────▶ LEAVING ────────────▶ MOVING ──────────▶ EMPTY
 *      ▲                       │                  │                    │                  │
 *      └───────────────────────┴───────── moves_undrain() ─────────────┴──────────────────┘
 *
 * TAKING: with more clients than is fair (cluster.h), some are told, when balance.h says so.
 * WAITING: another edge of the region drains (drain_lock.h), and this one takes its clients; for
 * half of drain_time at most, which is less for it then.
 * LEAVING: /health/ready says 503, so that balancers send nobody, but who comes is still taken.
 * MOVING: newcomers are refused; every 100 ms some clients are told. Each keeps its cursor.
 * @thread main
 */
#pragma once

#include <ev.h>

#include "common/base/base.h"

#include "edge-node/balance.h"

struct cluster;
struct drain_lock;
struct edge_conf;
struct shard;

enum moves_state {
    MOVES_TAKING,
    MOVES_WAITING,
    MOVES_LEAVING,
    MOVES_MOVING,
    MOVES_EMPTY
};

struct moves {
    /* for moves_start */
    const struct edge_conf *conf;
    struct cluster *cluster;
    struct shard *shards;
    int shard_count;
    struct drain_lock *lock;     /* NULL: it never waits */
    void (*on_leave)(void *arg); /* others are to know that it is LEAVING; may be NULL */
    void (*on_end)(void *arg);   /* after moves_drain(…, true): nobody is left, or time is up */
    void *arg;

    /* its own */
    struct ev_loop *loop;
    struct ev_timer tick;
    enum moves_state state;
    bool ends;          /* with on_end */
    uint64_t state_ms;  /* since when it is in this state */
    uint64_t wave_ms;   /* of the last wave */
    uint64_t waited_ms; /* of drain_time */
    bool was_busy;      /* another one drained before it */
    double due;         /* clients that may be told, less those that were */
    double fastest;     /* pace of the last MOVING */
    struct balance balance;
};

void moves_start(struct moves *m, struct ev_loop *loop);
/* All clients are to go. ends: the process is to end then, at the latest when drain_time is over
 * and two seconds more, and there is no way back. */
void moves_drain(struct moves *m, bool ends);
/* Takes clients again; false: it is to end. */
bool moves_undrain(struct moves *m);

/* What a pace rests on. */
struct moves_facts {
    uint32_t untold;     /* clients that are still to be told */
    uint64_t left_ms;    /* of drain_time */
    double connect_rate; /* clients a second that others take well */
    double room;         /* clients that they have room for */
};

/* Clients to be told each second: as fast as others take them, and fast enough to be in time. */
double moves_pace(const struct moves_facts *f);
