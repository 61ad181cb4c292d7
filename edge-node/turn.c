/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: one round of a shard: hub.h draws it. publish.c does its second step.
 *
 * Nothing is freed before the end of the turn.
 */
#include <stdatomic.h>

#include "edge-node/edge_metric.h"
#include "edge-node/history.h"
#include "edge-node/publish.h"
#include "edge-node/session.h"
#include "edge-node/sub.h"
#include "edge-node/turns.h"

#define LOOKS 16

/* ---- 1. advance ---- */

/* Records whose channels are looked up together, so that what the hub has under their hashes (lines
 * that nobody touched for long) is fetched at once. */
struct looks {
    struct tail *t;
    uint32_t n;
    const struct plog_rec *recs[LOOKS];
};

static void look_up_all(struct looks *l)
{
    struct tail *t = l->t;

    for (uint32_t i = 0; i < l->n; i++)
        hmap_prefetch(&t->h->channels, l->recs[i]->hash);
    for (uint32_t i = 0; i < l->n; i++)
        hmap_prefetch_first(&t->h->channels, l->recs[i]->hash);
    for (uint32_t i = 0; i < l->n; i++) {
        struct channel *ch = hub_channel_of_rec(t->h, l->recs[i]);
        /* A record in another partition than its key's has no place in the channel's order; nor has
         * one of another topic, by whatever name. */
        if (ch && ch->live && channel_reads(ch, t->p))
            publish_add(t->h->publish, ch, l->recs[i]);
    }
    l->n = 0;
}

static void on_rec(void *arg, const struct plog_rec *r)
{
    struct looks *l = arg;

    l->recs[l->n++] = r;
    if (l->n == LOOKS)
        look_up_all(l);
}

/* The plog went on behind a hole, or evicted what we had not read: each goes on from history. */
static void unlive_all(struct hub *h, struct tail *t, uint64_t pos)
{
    struct channel *ch;

    t->holed = h->has_gaps = true;
    list_for_each(ch, &t->channels, in_tail) {
        while (ch->live) {
            struct sub *sub = ch->slots[ch->live - 1].sub;
            sub_behind(sub, pos);
            waiter_move(&sub->pull->w, &h->todo);
        }
    }
}

/* False: the turn has no room for the rest. */
static bool advance(struct hub *h, struct tail *t)
{
    struct plog_view v = plog_view(t->p);
    uint64_t before = t->cursor, end = v.upto;
    struct looks l;
    bool part;

    if (v.upto <= before)
        return true;
    v.upto = plog_part(t->p, before, end, &t->place, &h->live_left);
    part = v.upto < end;
    l.t = t;
    l.n = 0;
    if (before < v.from || plog_each(t->p, before, v.upto, &t->place, on_rec, &l) != 0)
        unlive_all(h, t, before);
    look_up_all(&l);
    t->cursor = v.upto;
    t->before = before;
    return !part;
}

/* Tells every subscription that reads p (or only those of channels with keys anywhere): its log was
 * superseded, or records that can't be fetched again are gone. */
static void tell_gap(struct hub *h, const struct plog *p, bool only_any)
{
    struct session *s;

    list_for_each(s, &h->sessions, in_hub) {
        struct sub *sub, *tmp;
        list_for_each_safe(sub, tmp, &s->subs, in_session)
            if (channel_reads(sub->ch, p) && (sub->ch->any || !only_any))
                sub_gap(sub, &proto_no_gap);
        if (!only_any)
            history_log_ends(s, p);
    }
}

/* After the publishing: what is told here may free channels. */
static void tell_gaps(struct hub *h)
{
    if (!h->has_gaps)
        return;
    h->has_gaps = false;
    for (uint32_t i = 0; i < FEED_PLOGS_MAX; i++) {
        struct tail *t = h->tails[i];
        const struct plog *p = t ? t->p : NULL;
        bool holed = t && t->holed;
        if (!t)
            continue;
        t->holed = false;
        if (atomic_load(&p->state) == PLOG_GONE)
            tell_gap(h, p, false);
        else if (holed)
            tell_gap(h, p, true);
    }
}

/* As advance(). */
static bool look_at(struct hub *h, uint32_t id)
{
    struct tail *t = h->tails[id];

    if (!t)
        return true;
    waiters_first(h, &t->waiting);
    if (atomic_load(&t->p->state) == PLOG_GONE)
        h->has_gaps = true;
    else if (t->ready)
        return advance(h, t);
    return true;
}

/* Of these 64 plogs. False: the turn is full; what is left keeps its bit, and comes first next. */
static bool advance_some(struct hub *h, uint32_t word, uint64_t mask)
{
    _Atomic uint64_t *grown = &h->inbox->grown[word];
    uint64_t bits = atomic_load_explicit(grown, memory_order_relaxed) & mask;

    if (!bits)
        return true;
    bits &= atomic_fetch_and(grown, ~bits);
    for (; bits; bits &= bits - 1) {
        uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(bits);
        bool has_room = h->live_left > 0;
        if (has_room && look_at(h, id))
            continue;
        h->next_tail = (id + has_room) % FEED_PLOGS_MAX; /* the others before its own rest */
        atomic_fetch_or(grown, bits);
        h->again(h->again_arg);
        return false;
    }
    return true;
}

static void advance_all(struct hub *h)
{
    const uint32_t words = FEED_PLOGS_MAX / 64, first = h->next_tail / 64;
    const uint64_t from = ~0ull << (h->next_tail % 64);

    h->live_left = LIVE_A_TURN;
    if (!advance_some(h, first, from))
        return;
    for (uint32_t i = 1; i < words; i++) {
        uint32_t word = (first + i) % words;
        if (atomic_load_explicit(&h->inbox->grown[word], memory_order_relaxed) &&
            !advance_some(h, word, ~0ull)) /* most turns have one plog: a call for each shows */
            return;
    }
    advance_some(h, first, ~from);
}

/* ---- 3. waiters, 4. flush, 5. reap ---- */

static void try_waiters(struct hub *h)
{
    struct list now;
    struct waiter *w;

    list_init(&now);
    list_splice_tail(&now, &h->todo);
    h->pulled = 0;
    while ((w = list_first(&now, struct waiter, node))) {
        list_del(&w->node);
        if (h->pulled >= PULL_A_TURN && (w->slow || list_is_empty(&w->due_node))) {
            list_add_tail(&h->todo, &w->node); /* owed no answer: it can only wait */
            continue;
        }
        h->fed = false;
        w->try_now(h, w);
    }
}

/* What all of them wanted to know goes out at once. */
static void look_up(struct hub *h)
{
    struct tail *t;

    while ((t = list_first(&h->asking, struct tail, asks))) {
        list_del(&t->asks);
        feed_look_up(h->feed, t->p);
    }
}

static void flush(struct hub *h)
{
    struct session *s;

    while ((s = list_first(&h->dirty, struct session, mark))) {
        list_del(&s->mark);
        session_flush(s);
    }
}

static void reap(struct hub *h)
{
    struct session *s;

    while ((s = list_first(&h->dead, struct session, mark)))
        session_free(s);
}

void hub_turn(struct hub *h, uint64_t now_ms)
{
    h->now_ms = now_ms;
    h->turn++;
    turns_begin(h->turns, h->index);
    advance_all(h);
    publish_all(h);
    tell_gaps(h);
    try_waiters(h);
    look_up(h);
    flush(h);
    reap(h);
    turns_end(h->turns, h->index);
    publish_count(h->publish);
    if (!list_is_empty(&h->todo))
        h->again(h->again_arg);
}

/* ---- the tick ---- */

static void expire(struct hub *h)
{
    struct waiter *w;

    while ((w = list_first(&h->due, struct waiter, due_node)) && w->due_ms <= h->now_ms) {
        list_del(&w->due_node);
        w->expire(h, w);
    }
}

/* Whose client is waited for; one that waits for older records isn't slow. (A transport that isn't
 * choked says nothing: a socket is writable when half of what it may hold unsent is gone.) */
static void end_slow(struct hub *h)
{
    struct waiter *w, *tmp;

    list_for_each_safe(w, tmp, &h->slow, due_node) {
        if (w->due_ms > h->now_ms || list_is_empty(&w->s->blocked))
            continue;
        list_del(&w->due_node);
        if (w->s->state >= SESSION_CLOSING)
            continue; /* by another of its subscriptions */
        METRIC_ADD(slow_disconnects, 1);
        session_close(w->s, DISCONNECT_SLOW);
    }
}

static void retry_tails(struct hub *h)
{
    for (uint32_t i = 0; i < FEED_PLOGS_MAX; i++)
        if (h->tails[i] && !list_is_empty(&h->tails[i]->waiting))
            waiters_first(h, &h->tails[i]->waiting);
}

void hub_tick(struct hub *h, uint64_t now_ms)
{
    h->now_ms = now_ms;
    h->turn++;
    turns_begin(h->turns, h->index);
    expire(h);
    end_slow(h);
    list_splice_tail(&h->todo, &h->waiting);
    retry_tails(h);
    wheel_run(&h->wheel, now_ms, session_on_timer);
    turns_end(h->turns, h->index);
}
