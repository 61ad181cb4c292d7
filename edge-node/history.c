/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.c: see history.h. Forward goes the way of a resuming subscription (hub_older);
 * in reverse the newest come from the plog's back links, older ones from pages fetched backwards.
 */
#include "edge-node/history.h"

#include <errno.h>
#include <stdlib.h>

#include "edge-node/edge_metric.h"

#define PLOG_STEPS 8192 /* links of the plog that one request follows */

struct history_req {
    struct waiter w;
    struct history_req *next;
    uint32_t cmd_id;
    bool has_since, reverse, foreign, begun;
    bool chained; /* reverse: there was an entry at pos, if all is there */
    char epoch[LOG_ID_LEN + 1];
    int64_t limit;
    uint64_t pos;    /* forward: all up to here was looked at; reverse: all above it */
    uint64_t newest; /* reverse: where it began; what came later isn't in the reply */
    uint64_t most;   /* reverse: what is above it isn't, either: `since` */
    uint64_t seen;
    struct buf pubs;
};

static void try_now(struct hub *h, struct waiter *w);
static void expire(struct hub *h, struct waiter *w);

void history_new(struct session *s, struct channel *ch, const struct command *cmd)
{
    struct history_req *q = mem_zalloc(sizeof(*q));
    struct slice epoch = cmd->cursor.epoch;

    q->cmd_id = cmd->id;
    q->has_since = cmd->has_since;
    q->reverse = cmd->reverse;
    q->limit = cmd->limit < 0 ? INT64_MAX : cmd->limit;
    q->pos = cmd->cursor.offset;
    q->foreign = epoch.n && epoch.n != LOG_ID_LEN;
    if (epoch.n == LOG_ID_LEN)
        memcpy(q->epoch, epoch.p, LOG_ID_LEN);
    q->w.try_now = try_now;
    q->w.expire = expire;
    q->next = s->history;
    s->history = q;
    s->requests++;
    waiter_init(&q->w, s, ch);
    waiter_owed(&q->w);
}

static void req_free(struct history_req *q)
{
    struct session *s = q->w.s;
    struct history_req **link = &s->history;

    while (*link != q)
        link = &(*link)->next;
    *link = q->next;
    s->requests--;
    waiter_drop(&q->w);
    hub_channel_unref(q->w.ch);
    buf_done(&q->pubs);
    free(q);
}

void history_drop_all(struct session *s)
{
    while (s->history)
        req_free(s->history);
}

/* text: NULL or the message in place of the code's. */
static void fail_with(struct history_req *q, int code, const char *text)
{
    struct session *s = q->w.s;

    METRIC_ADD(command_errors, 1);
    s->proto->error(&s->out, q->cmd_id, code, text);
    session_dirty(s);
    req_free(q);
}

static void fail(struct history_req *q, int code)
{
    fail_with(q, code, NULL);
}

static void finish(struct history_req *q)
{
    struct session *s = q->w.s;
    const struct tail *t = q->w.ch->tail;
    uint64_t end = q->reverse ? q->newest : t->cursor;

    if (s->out.n >= (size_t)s->h->conf->write_max) { /* the client has enough to read for now */
        waiter_move(&q->w, &s->blocked);
        session_dirty(s);
        return;
    }
    if (!q->reverse && q->pos > end)
        end = q->pos; /* a page had more than the tail has read */
    s->proto->history(&s->out, q->cmd_id, slice_of(t->p->log), end, buf_as_slice(&q->pubs));
    session_dirty(s);
    req_free(q);
}

static bool is_full(const struct history_req *q)
{
    return !q->limit || q->pubs.n >= (size_t)q->w.s->h->conf->write_max;
}

static void take(struct history_req *q, const struct plog_rec *r)
{
    size_t before = q->pubs.n;

    if (is_full(q))
        return;
    q->w.s->proto->pub(&q->pubs, r, false);
    q->w.s->h->pulled += q->pubs.n - before;
    q->limit--;
}

void history_log_ends(struct session *s, const struct plog *p)
{
    struct history_req *q, *next;

    for (q = s->history; q; q = next) {
        next = q->next;
        if (channel_reads(q->w.ch, p))
            fail(q, ERROR_INTERNAL);
    }
}

/* ---- forward ---- */

static void forward(struct history_req *q)
{
    struct tail *t = q->w.ch->tail;

    while (q->pos < t->cursor && !is_full(q)) {
        struct records r;
        if (q->w.ch->h->pulled >= PULL_A_TURN) {
            waiter_put_off(&q->w);
            return;
        }
        if (hub_older(&q->w, q->pos, q->has_since ? 0 : PLOG_WANT_REGION, &r) != 0)
            return;
        if (q->has_since && q->pos && q->pos < r.from) {
            fail(q, ERROR_UNRECOVERABLE_POSITION);
            return;
        }
        if (q->pos < r.from && q->pubs.n)
            break; /* what is behind a hole doesn't follow: the next command's `since` is told */
        if (q->pos < r.from)
            q->pos = r.from; /* nothing is kept there, so nothing was looked at */
        if (r.searched)      /* else the plog's links led straight to the channel's records */
            q->seen += r.upto - q->pos;
        for (size_t i = records_after(&r, q->pos); i < r.n; i++)
            take(q, records_at(&r, i));
        q->pos = r.upto;
        if (q->seen > HISTORY_BUDGET && !is_full(q)) {
            fail(q, ERROR_TOO_MANY_REQUESTS);
            return;
        }
    }
    finish(q);
}

/* ---- reverse ---- */

static void take_older(struct history_req *q, const struct plog_rec *r)
{
    if (r->pos <= q->pos && r->pos <= q->most)
        take(q, r);
}

static void take_page(struct history_req *q, const struct plog_page *page)
{
    struct channel_key key = channel_key(q->w.ch);
    struct rec_vec *found = &q->w.ch->h->found;

    plog_page_channel(page, &key, found);
    for (size_t i = found->n; i-- > 0;)
        take_older(q, found->v[i]);
    q->seen += page->count;
    q->pos = page->from;
    q->chained = true;
}

/* What the plog has: newest first as its links go. */
static void take_plog(struct history_req *q)
{
    struct channel_key key = channel_key(q->w.ch);
    struct plog *p = q->w.ch->tail->p;
    struct plog_view v = {plog_view(p).from, q->w.ch->tail->cursor};
    struct plog_walk walk = {.begun = false};
    int rc;

    plog_walk_begin(&walk, &key, PLOG_STEPS);
    rc = plog_walk(p, &v, v.from, &walk);
    for (size_t i = 0; i < walk.found.n; i++)
        take_older(q, walk.found.v[i]);
    if (rc == 0 && q->pos > v.from) {
        q->pos = v.from;
        q->chained = v.from != atomic_load(&p->loose);
    } else if (rc == -E2BIG && walk.next_pos < q->pos) {
        q->pos = walk.next_pos; /* the rest comes from pages */
        q->chained = true;
    }
    rec_vec_done(&walk.found);
}

/* Nobody may take what is beyond a hole for what comes before. */
static void end_at_hole(struct history_req *q)
{
    if (q->has_since && !q->pubs.n)
        fail(q, ERROR_UNRECOVERABLE_POSITION);
    else
        finish(q);
}

static void reverse(struct history_req *q)
{
    struct tail *t = q->w.ch->tail;

    while (q->pos && !is_full(q)) {
        const struct plog_page *page = plog_page_before(t->p, q->pos);
        if (!page) {
            waiter_move(&q->w, &t->waiting);
            feed_want(q->w.ch->h->feed, q->w.ch->h->index, t->p, q->pos, PLOG_WANT_BACKWARD);
            return;
        }
        if (q->chained && page->count && page->newest < q->pos) {
            end_at_hole(q);
            return;
        }
        take_page(q, page);
        if (q->seen > HISTORY_BUDGET && !is_full(q)) {
            fail(q, ERROR_TOO_MANY_REQUESTS);
            return;
        }
    }
    finish(q);
}

static void begin_reverse(struct history_req *q)
{
    uint64_t cursor = q->w.ch->tail->cursor;

    q->newest = q->most = cursor;
    if (!q->has_since || !q->pos || q->pos > cursor)
        q->pos = cursor;
    else
        q->most = q->pos - 1; /* its own entry says whether all before it is there */
    if (q->pos > plog_view(q->w.ch->tail->p).from)
        take_plog(q);
}

/* ---- the waiter ---- */

static void try_now(struct hub *h, struct waiter *w)
{
    struct history_req *q = container_of(w, struct history_req, w);
    const struct topic_view *view;
    int rc = hub_resolve(h, q->w.ch, &view);

    if (rc == -EAGAIN) {
        waiter_move(w, q->w.ch->tail ? &q->w.ch->tail->waiting : &h->waiting);
        return;
    }
    if (rc || q->w.ch->any) {
        const char *text = rc == -EXDEV ? proto_unmapped_text(view) : NULL;
        fail_with(q, rc == -ESTALE ? ERROR_INTERNAL : ERROR_NOT_AVAILABLE, text);
        return;
    }
    if (q->foreign || (q->epoch[0] && strcmp(q->epoch, q->w.ch->tail->p->log) != 0)) {
        if (q->foreign || waiter_is_of_old_log(w, q->epoch))
            fail(q, ERROR_UNRECOVERABLE_POSITION);
        else
            waiter_move(w, &h->waiting);
        return;
    }
    if (!q->begun && q->reverse)
        begin_reverse(q);
    q->begun = true;
    if (q->reverse)
        reverse(q);
    else
        forward(q);
}

static void expire(struct hub *h, struct waiter *w)
{
    struct history_req *q = container_of(w, struct history_req, w);

    (void)h;
    fail(q, q->seen ? ERROR_TOO_MANY_REQUESTS : ERROR_INTERNAL);
}
