/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: one round of a shard: hub.h draws it.
 *
 * Live pushes: records are looked up by channel, encoded once into a block, and the block is written
 * to each live subscriber. If more than one channel got records, what a client gets from several
 * blocks goes out in one write. A client that can't take more is moved to its own pace (sub_lag).
 * Nothing is freed before the end of the turn.
 */
#include "edge-node/turn.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "edge-node/edge_metric.h"
#include "edge-node/session.h"
#include "edge-node/sub.h"
#include "edge-node/turns.h"

#define PREFETCH_AHEAD 6 /* sessions; measured with libwebsockets' own per-connection structs */

/* One block for one subscriber. */
struct item {
    struct sub *sub;
    const struct block *block;
    uint32_t next; /* index + 1 of the session's next item; 0: none */
    uint32_t last; /* in a session's first item: index of its last one */
};

struct turn_scratch {
    struct channel **touched;
    size_t touched_n, touched_cap;
    struct block *blocks; /* of touched, by index */
    size_t blocks_cap;
    struct item *items;
    size_t items_n, items_cap;
    struct session **sessions; /* with items */
    size_t sessions_n, sessions_cap;
    struct buf bytes;
    int64_t deliveries, writes, bytes_out;
};

struct turn_scratch *turn_scratch_new(void)
{
    return mem_zalloc(sizeof(struct turn_scratch));
}

void turn_scratch_free(struct turn_scratch *x)
{
    for (size_t i = 0; i < x->blocks_cap; i++)
        block_done(&x->blocks[i]);
    free(x->blocks);
    free(x->touched);
    free(x->items);
    free(x->sessions);
    buf_done(&x->bytes);
    free(x);
}

/* Room for one more element of an array of the scratch. */
#define GROW(array, n, cap)                                         \
    do {                                                            \
        if ((n) == (cap)) {                                         \
            (cap) = (cap) ? (cap)*2 : 16;                           \
            (array) = mem_realloc(array, (cap) * sizeof(*(array))); \
        }                                                           \
    } while (0)

/* ---- 1. advance ---- */

static void on_rec(void *arg, const struct plog_rec *r)
{
    struct hub *h = arg;
    struct turn_scratch *x = h->scratch;
    struct channel *ch = hub_channel_of_rec(h, r);

    if (!ch || !ch->live)
        return;
    if (!ch->fresh.n) {
        GROW(x->touched, x->touched_n, x->touched_cap);
        x->touched[x->touched_n++] = ch;
    }
    rec_vec_add(&ch->fresh, r);
}

/* The plog went on behind a hole, or evicted what we had not read: each goes on from history. */
static void unlive_all(struct hub *h, struct tail *t, uint64_t pos)
{
    struct channel *ch;

    list_for_each(ch, &t->channels, in_tail) {
        while (ch->live) {
            struct sub *sub = ch->slots[ch->live - 1].sub;
            sub_lag(sub, pos);
            waiter_move(&sub->w, &h->todo);
        }
    }
}

static void advance(struct hub *h, struct tail *t)
{
    struct plog_view v = plog_view(t->p);
    uint64_t before = t->cursor;

    if (v.upto <= before)
        return;
    if (before < v.from || plog_each(t->p, before, v.upto, on_rec, h) != 0)
        unlive_all(h, t, before);
    t->cursor = v.upto;
    t->before = before;
}

/* Its log was superseded: everybody is told, and comes back with the old cursor. */
static void gone(struct hub *h, const struct plog *p)
{
    struct session *s;

    list_for_each(s, &h->sessions, in_hub) {
        struct sub *sub, *next;
        for (sub = s->subs; sub; sub = next) {
            bool hit = sub->ch->tail && sub->ch->tail->p == p;
            next = sub->next;
            for (uint32_t i = 0; i < sub->ch->any_count; i++)
                hit |= sub->ch->any[i] == p;
            if (hit)
                sub_gap(sub);
        }
    }
}

static void look_at(struct hub *h, uint32_t id)
{
    struct tail *t = h->tails[id];

    if (!t)
        return;
    list_splice_tail(&h->todo, &t->waiting);
    if (atomic_load(&t->p->state) == PLOG_GONE)
        gone(h, t->p);
    else if (t->ready)
        advance(h, t);
}

static void advance_all(struct hub *h)
{
    for (uint32_t i = 0; i < FEED_PLOGS_MAX / 64; i++) {
        uint64_t bits = atomic_load_explicit(&h->inbox->grown[i], memory_order_relaxed);
        if (!bits)
            continue;
        bits = atomic_exchange(&h->inbox->grown[i], 0);
        while (bits) {
            look_at(h, i * 64 + (uint32_t)__builtin_ctzll(bits));
            bits &= bits - 1;
        }
    }
}

/* ---- 2. publish ---- */

/* Writes the chunks of b until the client can't take more. */
static void write_block(struct hub *h, struct session *s, struct sub *sub, const struct block *b)
{
    struct turn_scratch *x = h->scratch;
    uint64_t pos = sub->ch->tail ? sub->ch->tail->before : 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct chunk *c = &b->chunks[i];
        if (!session_can_take(s) || s->tr->write(s->conn, b->bytes.p + c->at, c->n) != 0) {
            sub_lag(sub, pos);
            return;
        }
        pos = c->last;
        x->deliveries += c->count;
        x->bytes_out += (int64_t)c->n;
        x->writes++;
    }
}

static void publish_one(struct hub *h, struct channel *ch, const struct block *b)
{
    for (uint32_t i = ch->live; i-- > 0;) { /* downwards: sub_lag moves the last into its place */
        if (i >= PREFETCH_AHEAD)
            session_prefetch(ch->slots[i - PREFETCH_AHEAD].s);
        write_block(h, ch->slots[i].s, ch->slots[i].sub, b);
    }
}

static void gather(struct hub *h, struct channel *ch, const struct block *b)
{
    struct turn_scratch *x = h->scratch;

    for (uint32_t i = 0; i < ch->live; i++) {
        struct session *s = ch->slots[i].s;
        GROW(x->items, x->items_n, x->items_cap);
        x->items[x->items_n] = (struct item){ch->slots[i].sub, b, 0, (uint32_t)x->items_n};
        if (!s->gather) {
            GROW(x->sessions, x->sessions_n, x->sessions_cap);
            x->sessions[x->sessions_n++] = s;
            s->gather = (uint32_t)x->items_n + 1;
        } else {
            struct item *first = &x->items[s->gather - 1];
            x->items[first->last].next = (uint32_t)x->items_n + 1;
            first->last = (uint32_t)x->items_n;
        }
        x->items_n++;
    }
}

static const struct item *next_item(const struct turn_scratch *x, const struct item *it)
{
    return it->next ? &x->items[it->next - 1] : NULL;
}

/* All of a client's blocks in one write, if they fit; else one by one. */
static void write_items(struct hub *h, struct session *s)
{
    struct turn_scratch *x = h->scratch;
    const struct item *first = &x->items[s->gather - 1], *it;
    size_t sum = 0, n = 0;

    s->gather = 0;
    for (it = first; it; it = next_item(x, it)) {
        sum += it->block->size;
        n++;
    }
    if (n == 1 || sum > (size_t)h->conf->write_max || !session_can_take(s)) {
        for (it = first; it; it = next_item(x, it))
            write_block(h, s, it->sub, it->block);
        return;
    }
    x->bytes.n = 0;
    for (it = first; it; it = next_item(x, it)) {
        for (size_t i = 0; i < it->block->n; i++) {
            const struct chunk *c = &it->block->chunks[i];
            buf_add(&x->bytes, it->block->bytes.p + c->at, c->n);
            x->deliveries += c->count;
        }
    }
    x->bytes_out += (int64_t)sum;
    x->writes++;
    s->tr->write(s->conn, x->bytes.p, x->bytes.n); /* if it fails, the client is gone */
}

static struct block *block_for(struct turn_scratch *x, size_t i)
{
    if (i >= x->blocks_cap) {
        size_t cap = x->blocks_cap ? x->blocks_cap * 2 : 16;
        x->blocks = mem_realloc(x->blocks, cap * sizeof(*x->blocks));
        memset(&x->blocks[x->blocks_cap], 0, (cap - x->blocks_cap) * sizeof(*x->blocks));
        x->blocks_cap = cap;
    }
    return &x->blocks[i];
}

static void encode(struct hub *h, struct channel *ch, struct block *b)
{
    const struct session *s = ch->slots[0].s; /* one encoding and framing as yet */

    block_encode(b, s->proto, s->tr, ch->fresh.v, ch->fresh.n, (size_t)h->conf->write_max,
                 ch->any != NULL);
    ch->fresh.n = 0;
}

static void publish(struct hub *h)
{
    struct turn_scratch *x = h->scratch;
    size_t n = 0;

    for (size_t i = 0; i < x->touched_n; i++) {
        struct channel *ch = x->touched[i];
        if (ch->live) /* all may have lagged since (a hole) */
            x->touched[n++] = ch;
        else
            ch->fresh.n = 0;
    }
    x->touched_n = n;
    for (size_t i = 0; i < n; i++)
        block_for(x, i); /* before any pointer to one is kept */
    for (size_t i = 0; i < n; i++) {
        encode(h, x->touched[i], &x->blocks[i]);
        if (n == 1)
            publish_one(h, x->touched[i], &x->blocks[i]);
        else
            gather(h, x->touched[i], &x->blocks[i]);
    }
    for (size_t i = 0; i < x->sessions_n; i++) {
        if (i + PREFETCH_AHEAD < x->sessions_n)
            session_prefetch(x->sessions[i + PREFETCH_AHEAD]);
        write_items(h, x->sessions[i]);
    }
    x->touched_n = x->items_n = x->sessions_n = 0;
}

/* ---- 3. waiters, 4. flush, 5. reap ---- */

static void try_waiters(struct hub *h)
{
    struct list now;
    struct waiter *w;

    list_init(&now);
    list_splice_tail(&now, &h->todo);
    while ((w = list_first(&now, struct waiter, node))) {
        list_del(&w->node);
        w->try_now(h, w);
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

static void count(struct hub *h)
{
    struct turn_scratch *x = h->scratch;

    if (!x->writes)
        return;
    METRIC_ADD(turns, 1);
    METRIC_ADD(deliveries, x->deliveries);
    METRIC_ADD(writes, x->writes);
    METRIC_ADD(bytes_out, x->bytes_out);
    x->deliveries = x->writes = x->bytes_out = 0;
}

void hub_turn(struct hub *h, uint64_t now_ms)
{
    h->now_ms = now_ms;
    h->turn++;
    turns_begin(h->turns, h->index);
    advance_all(h);
    publish(h);
    try_waiters(h);
    flush(h);
    reap(h);
    turns_end(h->turns, h->index);
    count(h);
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

static void retry_tails(struct hub *h)
{
    for (uint32_t i = 0; i < FEED_PLOGS_MAX; i++)
        if (h->tails[i] && !list_is_empty(&h->tails[i]->waiting))
            list_splice_tail(&h->todo, &h->tails[i]->waiting);
}

static void drain_some(struct hub *h)
{
    struct session *s, *tmp;
    uint64_t left = h->drain_end_ms > h->now_ms ? h->drain_end_ms - h->now_ms : 0;
    uint64_t n = left < 100 ? h->session_count : h->session_count * 100 / left + 1;

    list_for_each_safe(s, tmp, &h->sessions, in_hub) {
        if (s->state >= SESSION_CLOSING)
            continue;
        if (n-- == 0)
            break;
        session_close(s, DISCONNECT_SHUTDOWN);
    }
}

void hub_tick(struct hub *h, uint64_t now_ms)
{
    h->now_ms = now_ms;
    h->turn++;
    turns_begin(h->turns, h->index);
    expire(h);
    list_splice_tail(&h->todo, &h->waiting);
    retry_tails(h);
    wheel_run(&h->wheel, now_ms, session_on_timer);
    if (h->drain_end_ms)
        drain_some(h);
    turns_end(h->turns, h->index);
}

void hub_drain(struct hub *h, uint64_t time_ms)
{
    h->draining = true;
    h->drain_end_ms = h->now_ms + time_ms;
}
