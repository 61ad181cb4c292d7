/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub_pull.c: how a subscription that isn't live gets what it lacks: a first page in its reply, the
 * rest at its client's own pace; and what its namespace's slow_clients makes of a client that is
 * slow. See sub.h.
 */
#include <stdatomic.h>

#include "edge-node/edge_metric.h"
#include "edge-node/sub.h"

#define REFUSED_MS 10000 /* a refusal may last so long before an answered client is told */

/* ---- slow clients ---- */

static void count_slow(enum ns_slow policy)
{
    switch (policy) {
    case NS_SLOW_CATCH_UP:
        METRIC_ADD(slow_caught_up, 1);
        break;
    case NS_SLOW_LATEST:
        METRIC_ADD(slow_latest, 1);
        break;
    case NS_SLOW_DISCONNECT:
        METRIC_ADD(slow_timed, 1);
        break;
    }
}

/* It waits until its client can take more; slow_time runs until it is live again. */
static void block(struct sub *sub)
{
    const struct namespace_conf *c = sub->ch->ns->conf;
    struct session *s = sub->s;

    if (!sub->pull->w.slow) {
        sub->pull->w.slow = true;
        count_slow((enum ns_slow)c->slow_clients);
        if (c->slow_clients == NS_SLOW_DISCONNECT) {
            sub->pull->w.due_ms = s->h->now_ms + (uint64_t)c->slow_time;
            list_add_tail(&s->h->slow, &sub->pull->w.due_node);
        }
    }
    waiter_move(&sub->pull->w, &s->blocked);
    session_dirty(s); /* so that the flush asks for the client to be writable */
}

void sub_lag(struct sub *sub, uint64_t pos)
{
    sub_behind(sub, pos);
    block(sub);
}

static bool is_skipping(const struct sub *sub)
{
    return sub->pull->w.slow && sub->ch->ns->conf->slow_clients == NS_SLOW_LATEST;
}

/* It resumes where the latest record is kept: that is all it is owed until it is live. */
static bool is_owed_latest(const struct sub *sub)
{
    return sub_wants_latest(sub) && !sub->pull->behind;
}

/* ---- going on ---- */

/* False: it waits, for the client or the next turn. */
static bool may_send(struct sub *sub)
{
    struct session *s = sub->s;

    if (s->h->pulled >= PULL_A_TURN) {
        waiter_put_off(&sub->pull->w);
        return false;
    }
    if (!session_can_take(s)) {
        block(sub);
        return false;
    }
    return true;
}

static void sent(struct sub *sub, const struct plog_rec *rec, size_t before)
{
    struct session *s = sub->s;

    s->h->pulled += s->out.n - before;
    sub->pull->pos = rec->pos;
    session_dirty(s);
    METRIC_ADD(deliveries, 1);
}

/* Sends what r has after the position, as far as the client can take it and the turn may give. True
 * if all of it went: the position is then r's end. Otherwise the subscription waits. */
static bool send_all(struct sub *sub, const struct records *r)
{
    struct session *s = sub->s;

    for (size_t i = records_after(r, sub->pull->pos); i < r->n; i++) {
        size_t before = s->out.n;
        if (!may_send(sub))
            return false;
        s->proto->push_pub(&s->out, channel_name(sub->ch), records_at(r, i), false);
        sent(sub, records_at(r, i), before);
    }
    if (sub->pull->pos < r->upto)
        sub->pull->pos = r->upto;
    return true;
}

/* The same with the last record of r only, told what a slow client misses by that. */
static bool send_last(struct sub *sub, const struct records *r)
{
    struct session *s = sub->s;
    size_t i = records_after(r, sub->pull->pos), before = s->out.n;

    if (i < r->n) {
        const struct plog_rec *rec = records_at(r, r->n - 1);
        struct proto_gap gap = {0};
        if (!may_send(sub))
            return false;
        if (is_skipping(sub) && (i + 1 < r->n || r->from > sub->pull->pos)) {
            gap = (struct proto_gap){sub->pull->pos, rec->pos - 1};
            METRIC_ADD(slow_skips, 1);
        }
        s->proto->push_latest(&s->out, channel_name(sub->ch), rec, &gap);
        sent(sub, rec, before);
    }
    if (sub->pull->pos < r->upto)
        sub->pull->pos = r->upto;
    return true;
}

void sub_first_page(struct sub *sub, const struct records *r)
{
    struct session *s = sub->s;

    /* It may be empty: a reply that says recovered costs little, and the rest follows. */
    for (size_t i = records_after(r, sub->pull->pos); i < r->n; i++) {
        size_t before = sub->pull->first.n;
        /* of all that this client is owed now: many channels resume in one frame */
        if (sub->pull->first.n + s->first_bytes + s->out.n >= (size_t)s->h->conf->write_max ||
            s->h->pulled >= PULL_A_TURN)
            return;
        s->proto->pub(&sub->pull->first, records_at(r, i), false);
        s->h->pulled += sub->pull->first.n - before;
        sub->pull->pos = records_at(r, i)->pos;
        METRIC_ADD(deliveries, 1);
    }
    if (sub->pull->pos < r->upto)
        sub->pull->pos = r->upto;
}

/* It got nothing more. If that lasts as deep history isn't to be had, its client asks anew. */
static void wait_on(struct sub *sub)
{
    uint64_t now = sub->s->h->now_ms, refused = atomic_load(&sub->ch->tail->p->refused_ms);

    sub->pull->stuck_ms = sub->pull->stuck_ms ? sub->pull->stuck_ms : now;
    if (refused && now < refused + ANSWER_MS && now >= sub->pull->stuck_ms + REFUSED_MS)
        sub_gap(sub, &proto_no_gap); /* nothing is lost: it asks again */
}

/* The next step towards the tail's cursor; false: it waits, or was told a gap and is gone. */
static bool step(struct sub *sub)
{
    bool last = is_skipping(sub) || is_owed_latest(sub);
    struct tail *t = sub->ch->tail;
    struct records r;

    if (last && hub_newest(sub->ch, sub->pull->pos, &r))
        return send_last(sub, &r);
    if (!hub_quiet(&sub->pull->w, &sub->pull->pos, &sub->pull->looked))
        return false;
    if (sub->pull->pos >= t->cursor)
        return true;
    if (hub_older(&sub->pull->w, sub->pull->pos, 0, &r) != 0) {
        wait_on(sub);
        return false;
    }
    sub->pull->stuck_ms = 0;
    if (sub->pull->pos < r.from) {
        const struct proto_gap gap = {sub->pull->pos, r.from};
        plog_set_lost(t->p, r.from);
        sub_gap(sub, &gap);
        return false;
    }
    return last ? send_last(sub, &r) : send_all(sub, &r);
}

void sub_pull(struct sub *sub)
{
    struct tail *t = sub->ch->tail;

    while (sub->pull->pos < t->cursor)
        if (!step(sub))
            return;
    if (sub->pull->w.slow) { /* it took all there is */
        sub->pull->w.slow = false;
        list_del(&sub->pull->w.due_node);
    }
    if (sub->pull->pos == t->cursor) {
        hub_live(sub);
    } else {
        waiter_move(&sub->pull->w, &t->waiting); /* ahead of this region: never rewound */
    }
}
