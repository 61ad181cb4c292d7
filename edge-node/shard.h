/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard.h: one thread that holds clients: an event loop, libwebsockets on it, a listener and a
 * hub. Shards share nothing but the plogs.
 *
 * shard_init in main, one shard after the other (libwebsockets is not ready for two at once); then
 * shard_start, and shard_order, which tells it to drain or to stop.
 */
#pragma once

#include <ev.h>
#include <pthread.h>

#include "edge-node/hub.h"

struct sends;
struct shard_lws;
struct ws_app;

#define SHARD_REFUSED 64

struct shard {
    int index;
    const struct edge_conf *conf;
    const struct ws_app *app; /* above the WebSocket */
    struct feed *feed;
    struct feed_shard *inbox;
    struct hub hub;
    pthread_t thread;
    bool started;

    struct ev_loop *loop;
    struct ev_async wake;  /* from feed */
    struct ev_async order; /* from main: drain or stop */
    struct ev_prepare turn;
    struct ev_io accept;
    struct ev_timer tick, accept_later;
    struct ev_idle soon; /* another turn without sleeping first */
    _Atomic int orders;
    _Atomic uint32_t left; /* clients, for main; not 0 before it drains */

    uint64_t memory_limit, memory_ms;          /* memory_max; when it was looked at */
    bool is_full;                              /* newcomers are refused */
    int refused[SHARD_REFUSED], refused_count; /* to be closed with the next tick */

    /* clients when memory was given back last; a moment ago, and when that was */
    uint32_t count_trimmed, count_before;
    uint64_t count_ms;

    struct sends *sends; /* NULL: each write is a system call */
    struct shard_lws *lws;
    int listen_fd;
};

enum shard_order {
    SHARD_DRAIN = 1,
    SHARD_STOP = 2
};

/* 0, or -1 with a reason in why (TLS files that can't be read, …). */
int shard_init(struct shard *sh, int index, int listen_fd, char *why, size_t why_size) _must_check_;
void shard_start(struct shard *sh);
void shard_order(struct shard *sh, enum shard_order what);
void shard_join(struct shard *sh);
void shard_done(struct shard *sh);

/* In callbacks of the loop: the hub's clock is now. */
void shard_touch(struct shard *sh);
