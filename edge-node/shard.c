/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard.c: see shard.h. The hub's turn runs in the loop's prepare watcher: after every batch of
 * events, right before the loop would sleep.
 */
#include "edge-node/shard.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/cluster.h"
#include "edge-node/edge_metric.h"
#include "edge-node/listener.h"
#include "edge-node/place.h"
#include "edge-node/sends.h"
#include "edge-node/session.h"
#include "edge-node/shard_lws.h"
#include "edge-node/sub.h"

#define LWS_TICKS      10 /* a second's */
#define MEMORY_LOOK_MS 50
#define MEMORY_FULL_MS 1000
#define TRIM_CLIENTS   1000
#define CALM_CLIENTS   50 /* in CALM_MS */
#define CALM_MS        1000
/* Connections taken in one round, so that the others get their turn: 1 or 2 ms. Those that have to
 * wait do so in the kernel, where they take less memory than in a handshake, too. */
#define ACCEPT_BURST     64
#define ACCEPT_BURST_TLS 4

/* ---- the loop ---- */

static void on_soon(struct ev_loop *loop, struct ev_idle *w, int events)
{
    (void)events;
    ev_idle_stop(loop, w); /* its being there kept the loop from sleeping; the turn does the rest */
}

static void again(void *arg)
{
    struct shard *sh = arg;

    ev_idle_start(sh->loop, &sh->soon);
}

void shard_touch(struct shard *sh)
{
    sh->hub.now_ms = clock_mono_ms();
}

static void on_turn(struct ev_loop *loop, struct ev_prepare *w, int events)
{
    struct shard *sh = container_of(w, struct shard, turn);

    (void)loop, (void)events;
    hub_turn(&sh->hub, clock_mono_ms());
}

static void on_wake(struct ev_loop *loop, struct ev_async *w, int events)
{
    (void)loop, (void)w, (void)events; /* the turn follows */
}

static void wake(void *arg)
{
    struct shard *sh = arg;

    ev_async_send(sh->loop, &sh->wake);
}

/* 0 only when nobody can come any more: a client of the last 100 ms counts too. */
static void tell_left(struct shard *sh)
{
    uint32_t n = sh->hub.session_count;

    atomic_store_explicit(&sh->left, shard_ordered(sh) >= SHARD_REFUSES || n ? n : 1,
                          memory_order_relaxed);
    atomic_store_explicit(&sh->untold, n - sh->hub.leaving_count, memory_order_relaxed);
}

static void close_refused(struct shard *sh)
{
    while (sh->refused_count)
        listener_take_refused(sh->refused[--sh->refused_count]);
}

static bool has_moved(uint32_t a, uint32_t b, uint32_t by)
{
    return a > b + by || b > a + by;
}

/* malloc keeps what handshakes and clients leave behind. After many came or went the system gets it
 * back, once it is calm: that takes about a tenth of a millisecond for each megabyte. */
static void give_back(struct shard *sh, uint64_t now)
{
    uint32_t n = sh->hub.session_count, before = sh->count_before;

    if (now < sh->count_ms + CALM_MS)
        return;
    sh->count_ms = now;
    sh->count_before = n;
    if (!has_moved(n, sh->count_trimmed, TRIM_CLIENTS) || has_moved(n, before, CALM_CLIENTS))
        return;
    sh->count_trimmed = n;
    malloc_trim(0);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct shard *sh = container_of(w, struct shard, tick);

    (void)loop, (void)events;
    hub_tick(&sh->hub, clock_mono_ms());
    if (++sh->ticks % LWS_TICKS == 0)
        shard_lws_look(sh->lws);
    close_refused(sh);
    give_back(sh, sh->hub.now_ms);
    tell_left(sh);
}

/* Would it be at home elsewhere, by the first of its channels? */
static bool is_stray(const struct session *s, void *arg)
{
    const struct shard *sh = arg;
    const struct sub *sub = list_first(&s->subs, struct sub, in_session);
    struct place place;

    return sub && place_of(sh->hub.nss, sh->feed, channel_name(sub->ch), &place) == 0 &&
           cluster_is_elsewhere(sh->cluster, slice_of(place.name));
}

static void on_order(struct ev_loop *loop, struct ev_async *w, int events)
{
    struct shard *sh = container_of(w, struct shard, order);
    enum shard_order ordered = shard_ordered(sh);
    uint32_t n = atomic_exchange(&sh->to_move, 0);

    (void)events;
    if (ordered == SHARD_STOPS) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (ordered == SHARD_CLOSES && sh->listen_fd >= 0) {
        ev_io_stop(loop, &sh->accept);
        ev_timer_stop(loop, &sh->accept_later);
        close(sh->listen_fd);
        sh->listen_fd = -1;
    }
    shard_touch(sh);
    if (ordered >= SHARD_REFUSES)
        METRIC_ADD(moved_drain, hub_move(&sh->hub, n, DISCONNECT_SHUTDOWN));
    else
        METRIC_ADD(moved_balance, hub_shed(&sh->hub, n, DISCONNECT_RECONNECT, is_stray, sh));
    tell_left(sh);
}

/* ---- accepting ---- */

static void on_accept_later(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct shard *sh = container_of(w, struct shard, accept_later);

    (void)events;
    ev_io_start(loop, &sh->accept);
}

/* memory_max bounds this process; a container's limit all that its group holds, sockets too. */
static bool is_near_limit(const struct shard *sh)
{
    uint64_t used = sh->conf->memory_max ? proc_memory() : proc_group_memory(PROC_GROUP);

    return used > sh->memory_limit / 10 * 9;
}

/* Newcomers are refused while there is memory left for those who are here. */
static bool is_full(struct shard *sh)
{
    uint64_t now = clock_mono_ms();
    bool was = sh->is_full;

    if (!sh->memory_limit || now < sh->memory_ms + (was ? MEMORY_FULL_MS : MEMORY_LOOK_MS))
        return was;
    sh->memory_ms = now;
    sh->is_full = is_near_limit(sh);
    if (sh->is_full && was) { /* what clients left behind is the system's again */
        malloc_trim(0);
        sh->is_full = is_near_limit(sh);
    }
    if (sh->is_full && !was)
        log_error("memory_full",
                  " limit=%llu hint=\"new clients are refused: more memory, or edges\"",
                  (unsigned long long)sh->memory_limit);
    return sh->is_full;
}

static void on_accept(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct shard *sh = container_of(w, struct shard, accept);
    int burst = sh->conf->tls_certificate[0] ? ACCEPT_BURST_TLS : ACCEPT_BURST;

    (void)events;
    for (int i = 0; i < burst; i++) {
        int fd = listener_accept(sh->listen_fd, (size_t)sh->conf->write_max);
        if (fd == -EINTR)
            continue;
        if (fd == -EAGAIN)
            return;
        if (fd < 0) { /* no descriptors: those who are here go on, newcomers wait a little */
            METRIC_ADD(accept_errors, 1);
            log_error("accept_failed", " why=%s hint=\"raise the limit of open files\"",
                      log_value(slice_of(strerror(-fd))));
            ev_io_stop(loop, w);
            ev_timer_set(&sh->accept_later, 0.1, 0);
            ev_timer_start(loop, &sh->accept_later);
            return;
        }
        if (is_full(sh)) {
            METRIC_ADD(refused, 1);
            listener_refuse(fd);
            if (sh->refused_count == SHARD_REFUSED)
                listener_take_refused(fd);
            else
                sh->refused[sh->refused_count++] = fd;
            continue;
        }
        METRIC_ADD(accepted, 1);
        if (!shard_lws_take_fd(sh->lws, fd))
            METRIC_ADD(accept_errors, 1);
    }
}

/* ---- life ---- */

int shard_init(struct shard *sh, int index, int listen_fd, char *why, size_t why_size)
{
    sh->index = index;
    sh->listen_fd = listen_fd;
    atomic_init(&sh->left, 1);
    sh->memory_limit = (uint64_t)sh->conf->memory_max;
    if (!sh->memory_limit)
        sh->memory_limit = proc_group_limit(PROC_GROUP);
    sh->loop = ev_loop_new(EVFLAG_AUTO);
    must(sh->loop);
    sh->hub.index = index;
    sh->hub.again = again;
    sh->hub.again_arg = sh;
    sh->inbox->wake = wake;
    sh->inbox->arg = sh;
    ev_async_init(&sh->wake, on_wake);
    ev_async_start(sh->loop, &sh->wake);
    ev_async_init(&sh->order, on_order);
    ev_async_start(sh->loop, &sh->order);
    ev_prepare_init(&sh->turn, on_turn);
    ev_prepare_start(sh->loop, &sh->turn);
    ev_idle_init(&sh->soon, on_soon);
    ev_timer_init(&sh->tick, on_tick, 0.1, 0.1);
    ev_timer_start(sh->loop, &sh->tick);
    ev_timer_init(&sh->accept_later, on_accept_later, 0.1, 0);
    ev_io_init(&sh->accept, on_accept, listen_fd, EV_READ);
    ev_io_start(sh->loop, &sh->accept);
    return shard_lws_init(sh, &sh->lws, why, why_size);
}

static void *run(void *arg)
{
    struct shard *sh = arg;

    proc_thread_role("shard");
    if (sh->conf->io_uring)
        sh->sends = sends_new();
    if (sh->conf->io_uring && !sh->sends)
        log_info("io_uring_unavailable",
                 " why=%s hint=\"nothing is wrong, but a delivery takes half as much CPU again\"",
                 log_value(slice_of(strerror(errno))));
    ev_run(sh->loop, 0);
    return NULL;
}

void shard_start(struct shard *sh)
{
    must(pthread_create(&sh->thread, NULL, run, sh) == 0);
    sh->started = true;
}

void shard_order(struct shard *sh, enum shard_order what)
{
    atomic_store(&sh->to_move, 0);
    atomic_store(&sh->ordered, (int)what);
    ev_async_send(sh->loop, &sh->order);
}

void shard_move(struct shard *sh, uint32_t n)
{
    atomic_store(&sh->to_move, n);
    ev_async_send(sh->loop, &sh->order);
}

void shard_join(struct shard *sh)
{
    if (sh->started)
        pthread_join(sh->thread, NULL);
    sh->started = false;
}

void shard_done(struct shard *sh)
{
    ev_prepare_stop(sh->loop, &sh->turn);
    sends_free(sh->sends); /* it is the other thread's */
    sh->sends = NULL;
    shard_lws_done(sh->lws);
    hub_turn(&sh->hub, clock_mono_ms());
    hub_done(&sh->hub);
    close_refused(sh);
    if (sh->listen_fd >= 0)
        close(sh->listen_fd);
    ev_loop_destroy(sh->loop);
}
