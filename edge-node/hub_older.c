/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_older.c: the records that a subscription or a history request still lacks: from the plog's
 * links, from a part of the plog read forwards, or from a page of what is older. What is older is
 * left out where the last-position index says that the channel has nothing there.
 *
 * What is kept here between two calls is kept within a turn: a channel's walk along its links,
 * which goes on for a reader that is further behind, and the parts that were read forwards. Nothing
 * is collected for readers that didn't ask, so it doesn't matter who is there by when.
 *
 * Bounds of a turn: SCAN_STEPS links a channel, SCANS_A_TURN parts of SCAN_STEPS positions a hub.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "edge-node/edge_metric.h"
#include "edge-node/hub.h"

/* ---- the plog's links: few records, or few missing ---- */

static struct walked *walked_of(struct channel *ch)
{
    struct walked *w = ch->walked;

    if (!w)
        w = ch->walked = mem_zalloc(sizeof(*w));
    if (w->turn != ch->h->turn) {
        struct channel_key key = channel_key(ch);
        plog_walk_begin(&w->walk, &key, ch->h->scan_steps);
        w->turn = ch->h->turn;
        w->to = ch->tail->cursor;
    }
    return w;
}

static int from_links(struct channel *ch, uint64_t after, struct records *ret)
{
    struct walked *w = walked_of(ch);
    struct tail *t = ch->tail;
    int rc = 0;

    if (after < w->to) {
        struct plog_view v = {plog_view(t->p).from, t->cursor};
        rc = plog_walk(t->p, &v, after, &w->walk);
        if (!w->walk.begun)
            w->to = t->cursor;
        else if (rc != -ENOENT)
            w->to = rc ? w->walk.next_pos : after;
    }
    *ret = (struct records){.v = w->walk.found.v,
                            .n = w->walk.found.n,
                            .from = after,
                            .upto = t->cursor,
                            .newest_first = true};
    return rc;
}

bool hub_newest(struct channel *ch, uint64_t after, struct records *ret)
{
    uint64_t from = plog_view(ch->tail->p).from;
    int rc = from_links(ch, after < from ? from : after, ret);

    if (rc == -E2BIG)
        ret->from = ch->walked->walk.next_pos;
    return ret->n && records_at(ret, ret->n - 1)->pos > after;
}

/* ---- a part of the plog: a busy channel, far behind ---- */

struct collect {
    struct channel_key key;
    struct rec_vec *to;
};

static void collect_one(void *arg, const struct plog_rec *r)
{
    struct collect *c = arg;

    if (plog_rec_is_of(r, &c->key))
        rec_vec_add(c->to, r);
}

static struct scan *scan_find(struct hub *h, const struct channel *ch, uint64_t after)
{
    if (h->scans_turn != h->turn)
        h->scans_n = 0;
    h->scans_turn = h->turn;
    for (uint32_t i = 0; i < h->scans_n; i++) {
        struct scan *sc = &h->scans[i];
        if (sc->ch == ch && sc->from <= after && after < sc->upto)
            return sc;
    }
    return NULL;
}

/* The part is the same for all whose position lies in it, wherever each of them is. */
static int scan_new(struct channel *ch, uint64_t after, struct scan **ret)
{
    struct hub *h = ch->h;
    struct tail *t = ch->tail;
    struct scan *sc = &h->scans[h->scans_n];
    struct collect c = {channel_key(ch), &sc->recs};
    uint64_t from = plog_view(t->p).from;
    int rc;

    if (h->scans_n == SCANS_A_TURN)
        return -EAGAIN;
    sc->ch = ch;
    sc->from = after - after % h->scan_steps;
    sc->upto = sc->from + h->scan_steps;
    if (sc->from < from)
        sc->from = from;
    if (sc->upto > t->cursor)
        sc->upto = t->cursor;
    sc->recs.n = 0;
    rc = plog_each(t->p, sc->from, sc->upto, NULL, collect_one, &c);
    if (rc)
        return rc;
    h->scans_n++;
    *ret = sc;
    return 0;
}

static int from_scan(struct channel *ch, uint64_t after, struct records *ret)
{
    struct scan *sc = scan_find(ch->h, ch, after);
    int rc = sc ? 0 : scan_new(ch, after, &sc);

    if (rc)
        return rc;
    *ret = (struct records){
        .v = sc->recs.v, .n = sc->recs.n, .from = after, .upto = sc->upto, .searched = true};
    return 0;
}

void hub_older_done(struct channel *ch)
{
    if (!ch->walked)
        return;
    rec_vec_done(&ch->walked->walk.found);
    free(ch->walked);
    ch->walked = NULL;
}

void hub_older_forget(struct channel *ch)
{
    struct hub *h = ch->h;

    hub_older_done(ch);
    for (uint32_t i = 0; i < h->scans_n; i++)
        if (h->scans[i].ch == ch)
            h->scans[i].ch = NULL;
}

/* ---- pages ---- */

static const struct plog_page *page_at(struct tail *t, uint64_t pos, bool region)
{
    const struct plog_page *page = t->page;

    if (t->page_turn == t->h->turn && plog_page_serves(page, pos, region))
        return page;
    page = plog_page_at(t->p, pos, region);
    if (page) {
        t->page = page;
        t->page_turn = t->h->turn;
    }
    return page;
}

static int from_page(struct waiter *w, uint64_t after, uint64_t how, struct records *ret)
{
    struct tail *t = w->ch->tail;
    struct hub *h = t->h;
    struct channel_key key = channel_key(w->ch);
    const struct plog_page *page = page_at(t, after, how & PLOG_WANT_REGION);

    if (!page && h->fed) { /* those who wait for their first one ask before it does */
        waiter_put_off(w);
        return -EAGAIN;
    }
    if (!page) {
        waiter_move(w, &t->waiting);
        feed_want(h->feed, h->index, t->p, after, how);
        return -EAGAIN;
    }
    h->fed = true;
    plog_page_channel(page, &key, &h->found);
    *ret = (struct records){
        .v = h->found.v, .n = h->found.n, .from = page->from, .upto = page->upto, .searched = true};
    return 0;
}

/* ---- what needn't be looked at ---- */

bool hub_quiet(struct waiter *w, uint64_t *pos, bool *asked)
{
    struct tail *t = w->ch->tail;
    struct channel_key key = channel_key(w->ch);
    uint64_t upto;

    if (*asked || *pos >= plog_view(t->p).from)
        return true;
    if (feed_index(t->h->feed, t->p, &key, *pos, &upto) != 0) {
        list_move_tail(&t->h->asking, &t->asks);
        waiter_move(w, &t->waiting);
        return false;
    }
    if (upto > *pos)
        METRIC_ADD(index_proofs, 1);
    else
        METRIC_ADD(index_misses, 1);
    /* What is behind the cursor comes anyway; and a range that claims too much does no harm. */
    if (upto > t->cursor)
        upto = t->cursor;
    if (upto > *pos)
        *pos = upto;
    *asked = true;
    return true;
}

/* ---- all of it ---- */

int hub_older(struct waiter *w, uint64_t after, uint64_t how, struct records *ret)
{
    int rc = from_links(w->ch, after, ret);

    if (rc == -E2BIG)
        rc = from_scan(w->ch, after, ret);
    if (rc == -ENOENT)
        return from_page(w, after, how, ret);
    if (rc == -EAGAIN)
        waiter_put_off(w);
    return rc;
}
