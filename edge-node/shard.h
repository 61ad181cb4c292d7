/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard.h: one thread that holds clients: an event loop, libwebsockets on it, a listener and a
 * hub. Shards share nothing but the plogs.
 *
 * shard_init in main, one shard after the other (libwebsockets is not ready for two at once); then
 * shard_start, shard_order, which tells it whom to take, and shard_move, which sends clients away.
 */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "edge-node/hub.h"

struct cluster;
struct sends;
struct shard_lws;
struct ws_app;

#define SHARD_REFUSED 64

/* What main has ordered last. */
enum shard_order {
    SHARD_TAKES,   /* newcomers */
    SHARD_LEAVES,  /* as before, but says to those who ask that it isn't ready */
    SHARD_REFUSES, /* newcomers get 503 */
    SHARD_CLOSES,  /* its listener is closed, for ever */
    SHARD_STOPS,
};

struct shard {
    const struct edge_conf *conf;
    const struct ws_app *app; /* above the WebSocket */
    struct feed *feed;
    struct cluster *cluster; /* NULL: without /connect */
    struct feed_shard *inbox;
    struct hub hub;
    pthread_t thread;
    int index;

    struct ev_loop *loop;
    struct ev_async wake;  /* from feed */
    struct ev_async order; /* from main */
    struct ev_prepare turn;
    struct ev_io accept;
    struct ev_timer tick, accept_later;
    uint32_t ticks;
    struct ev_idle soon;      /* another turn without sleeping first */
    _Atomic int ordered;      /* enum shard_order */
    _Atomic uint32_t to_move; /* clients, from main */
    _Atomic uint32_t left;    /* clients, for main; not 0 before it refuses newcomers */
    _Atomic uint32_t untold;  /* of these, those who weren't told to go */

    uint64_t memory_limit, memory_ms;          /* memory_max; when it was looked at */
    bool started, is_full;                     /* is_full: newcomers are refused */
    int refused[SHARD_REFUSED], refused_count; /* to be closed with the next tick */

    /* clients when memory was given back last; a moment ago, and when that was */
    uint32_t count_trimmed, count_before;
    uint64_t count_ms;

    struct sends *sends; /* NULL: each write is a system call */
    struct shard_lws *lws;
    int listen_fd;
};

/* 0, or -1 with a reason in why (TLS files that can't be read, …). */
int shard_init(struct shard *sh, int index, int listen_fd, char *why, size_t why_size) _must_check_;
void shard_start(struct shard *sh);
/* What it hasn't come to yet of an earlier order or move is forgotten. */
void shard_order(struct shard *sh, enum shard_order what);
/* n of its clients are to reconnect elsewhere. */
void shard_move(struct shard *sh, uint32_t n);
void shard_join(struct shard *sh);
void shard_done(struct shard *sh);

static inline enum shard_order shard_ordered(const struct shard *sh)
{
    return (enum shard_order)atomic_load_explicit(&sh->ordered, memory_order_relaxed);
}

/* In callbacks of the loop: the hub's clock is now. */
void shard_touch(struct shard *sh);
