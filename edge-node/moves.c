/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.c: see moves.h. Main reckons how many go in a wave; the shards choose who.
 */
#include "edge-node/moves.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "edge-node/cluster.h"
#include "edge-node/drain_lock.h"
#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/shard.h"

#define WAVE_MS      100
#define TURN_MS      1000 /* for its turn to be told, or whose it is */
#define END_EXTRA_MS 2000 /* after drain_time the process ends, whoever is still there */

double moves_pace(const struct moves_facts *f)
{
    double waves = f->left_ms > WAVE_MS ? (double)f->left_ms / WAVE_MS : 1;
    double least = f->untold / waves * (1000.0 / WAVE_MS);
    double fits = f->room * (1000.0 / WAVE_MS);
    double good = f->connect_rate < fits ? f->connect_rate : fits;

    return good > least ? good : least;
}

/* ---- the shards ---- */

static void order(struct moves *m, enum shard_order what)
{
    for (int i = 0; i < m->shard_count; i++)
        shard_order(&m->shards[i], what);
}

static uint32_t sum_left(const struct moves *m)
{
    uint32_t n = 0;

    for (int i = 0; i < m->shard_count; i++)
        n += atomic_load(&m->shards[i].left);
    return n;
}

static uint32_t sum_untold(const struct moves *m)
{
    uint32_t n = 0;

    for (int i = 0; i < m->shard_count; i++)
        n += atomic_load(&m->shards[i].untold);
    return n;
}

/* Each shard tells its part of the n. One that has fallen behind does what it was asked last, and
 * doesn't make up for it. */
static void tell(struct moves *m, uint32_t n, uint32_t untold)
{
    uint32_t before = 0, given = 0;

    for (int i = 0; i < m->shard_count; i++) {
        uint32_t upto;
        before += atomic_load(&m->shards[i].untold);
        if (before > untold)
            before = untold;
        upto = (uint32_t)((uint64_t)n * before / untold);
        if (upto > given)
            shard_move(&m->shards[i], upto - given);
        given = upto;
    }
    cluster_sent_away(m->cluster, n, m->wave_ms);
}

/* ---- waves ---- */

static void enter(struct moves *m, enum moves_state state)
{
    m->state = state;
    m->state_ms = m->wave_ms = clock_mono_ms();
    m->due = 0;
    if (state == MOVES_MOVING)
        m->fastest = 0;
    METRIC_SET(draining, state >= MOVES_LEAVING);
    METRIC_SET(drain_rate, 0);
}

/* Of MOVING. */
static uint64_t end_ms(const struct moves *m)
{
    return m->state_ms + (uint64_t)m->conf->drain_time - m->waited_ms;
}

static uint64_t time_left(const struct moves *m, uint64_t now)
{
    uint64_t end = end_ms(m);

    return now < end ? end - now : 0;
}

/* Who knows of no others goes by itself: a balancer may have some like this one. */
static double pace_now(const struct moves *m, uint32_t untold, uint64_t now)
{
    struct moves_facts f = {.untold = untold,
                            .left_ms = time_left(m, now),
                            .connect_rate = (double)edge_conf_connect_rate(m->conf, m->shard_count),
                            .room = INFINITY};
    struct cluster_spare spare;

    cluster_get_spare(m->cluster, now, &spare);
    if (spare.edges) {
        f.connect_rate = spare.connect_rate;
        f.room = spare.room;
    }
    return moves_pace(&f);
}

static void wave(struct moves *m, uint64_t now)
{
    uint32_t untold = sum_untold(m), n;
    uint64_t passed = now - m->wave_ms;
    double pace = pace_now(m, untold, now);

    m->wave_ms = now;
    METRIC_SET(drain_rate, pace);
    if (!untold)
        return;
    m->fastest = pace > m->fastest ? pace : m->fastest;
    if (passed / 2 > WAVE_MS) /* we were late: that is no reason to hurry */
        passed = WAVE_MS;
    m->due += pace * (double)passed / 1000;
    n = m->due < untold ? (uint32_t)m->due : untold;
    m->due -= n;
    tell(m, n, untold);
}

/* All who shed together send no more than one edge takes. */
static void balance(struct moves *m, uint64_t now)
{
    uint32_t untold = sum_untold(m), n;
    struct balance_facts f = {.clients = untold, .now_ms = now, .passed_ms = now - m->wave_ms};
    struct cluster_standing standing;
    struct cluster_spare spare;
    enum balance_say say;

    m->wave_ms = now;
    cluster_get_spare(m->cluster, now, &spare);
    if (!spare.edges || !m->conf->balance)
        return;
    cluster_get_standing(m->cluster, untold,
                         balance_is_shedding(&m->balance) ? CLUSTER_BOUND : CLUSTER_ABOVE, now,
                         &standing);
    f.surplus = standing.surplus;
    f.all = standing.all;
    f.share = standing.share;
    f.rate = spare.connect_rate / spare.edges / (spare.edges + 1);
    n = balance_wave(&m->balance, &f, &say);
    if (say != BALANCE_QUIET)
        log_info("balancing", " clients=%u surplus=%.0f rate=%.0f", untold, f.surplus, f.rate);
    if (say == BALANCE_FUTILE)
        log_warn("balance_futile",
                 " next_ms=%llu hint=\"clients that were told to go come back here: let them ask "
                 "/connect, or set balance to false\"",
                 (unsigned long long)m->balance.pause_ms);
    if (n && untold)
        tell(m, n < untold ? n : untold, untold);
}

/* ---- one at a time ---- */

/* Who had to wait was about to be the last one here: it goes when somebody is there to take its
 * clients, most likely the one that went before it, started anew. */
static bool is_our_turn(struct moves *m, uint64_t now)
{
    struct cluster_spare spare;

    switch (drain_lock_look(m->lock)) {
    case DRAIN_LOCK_ASKED:
        return now - m->state_ms >= TURN_MS && !m->was_busy;
    case DRAIN_LOCK_BUSY:
        m->was_busy = true;
        return false;
    case DRAIN_LOCK_OURS:
        cluster_get_spare(m->cluster, now, &spare);
        return !m->was_busy || spare.edges;
    case DRAIN_LOCK_NONE:
    default:
        return true;
    }
}

static void leave(struct moves *m, uint64_t waited_ms)
{
    m->waited_ms = waited_ms;
    enter(m, MOVES_LEAVING);
    order(m, SHARD_LEAVES);
    log_info("draining", " clients=%u waited_ms=%llu delay_ms=%lld time_ms=%lld", sum_untold(m),
             (unsigned long long)waited_ms, (long long)m->conf->drain_delay,
             (long long)m->conf->drain_time);
    if (m->on_leave)
        m->on_leave(m->arg);
}

static void await_turn(struct moves *m, uint64_t now)
{
    uint64_t waited = now - m->state_ms, most = (uint64_t)m->conf->drain_time / 2;

    if (!m->lock || !sum_untold(m) || waited >= most || is_our_turn(m, now))
        leave(m, waited < most ? waited : most);
}

static void give_turn(struct moves *m)
{
    if (m->lock)
        drain_lock_give(m->lock);
}

static void look_at_end(struct moves *m, uint64_t now)
{
    uint32_t left = sum_left(m);
    bool late = now >= end_ms(m) + END_EXTRA_MS;

    if (left && !(late && m->ends))
        return;
    if (left)
        log_warn("drain_cut", " clients=%u", left);
    else
        log_info("drained", " ms=%llu rate=%.0f", (unsigned long long)(now - m->state_ms),
                 m->fastest);
    enter(m, MOVES_EMPTY);
    give_turn(m);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct moves *m = container_of(w, struct moves, tick);
    uint64_t now = clock_mono_ms();

    (void)loop, (void)events;
    if (m->state == MOVES_WAITING)
        await_turn(m, now);
    if (m->state == MOVES_TAKING) {
        balance(m, now);
    } else if (m->state == MOVES_LEAVING && now >= m->state_ms + (uint64_t)m->conf->drain_delay) {
        enter(m, MOVES_MOVING);
        order(m, m->ends ? SHARD_CLOSES : SHARD_REFUSES);
    } else if (m->state == MOVES_MOVING) {
        wave(m, now);
        look_at_end(m, now);
    }
    if (m->ends && m->state == MOVES_EMPTY)
        m->on_end(m->arg);
}

/* ---- life ---- */

void moves_start(struct moves *m, struct ev_loop *loop)
{
    m->loop = loop;
    m->wave_ms = clock_mono_ms();
    ev_timer_init(&m->tick, on_tick, WAVE_MS / 1000.0, WAVE_MS / 1000.0);
    ev_timer_start(loop, &m->tick);
}

void moves_drain(struct moves *m, bool ends)
{
    if (ends && !m->ends && m->state >= MOVES_MOVING)
        order(m, SHARD_CLOSES);
    m->ends = m->ends || ends;
    if (m->state != MOVES_TAKING)
        return;
    enter(m, MOVES_WAITING);
    m->was_busy = false;
    if (m->lock)
        drain_lock_ask(m->lock);
    ev_feed_event(m->loop, &m->tick, EV_TIMER); /* without a delay, the shards refuse at once */
}

bool moves_undrain(struct moves *m)
{
    if (m->ends)
        return false;
    if (m->state == MOVES_TAKING)
        return true;
    enter(m, MOVES_TAKING);
    give_turn(m);
    m->balance = (struct balance){0};
    order(m, SHARD_TAKES);
    log_info("undrained", " clients=%u", sum_untold(m));
    return true;
}
