/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub.c: see sub.h. Everything that decides "recovered" or "told" in a reply is here; sub_pull.c
 * goes on from there.
 */
#include "edge-node/sub.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/clock.h"

#include "edge-node/auth.h"
#include "edge-node/edge_metric.h"

/* Less than ANSWER_MS: the beacon's news is then younger than the cursor of who waited so long. */
#define BEACON_FRESH_MS 1000

static void sub_try(struct hub *h, struct waiter *w);
static void sub_expire(struct hub *h, struct waiter *w);

static struct sub *sub_of(struct waiter *w)
{
    return container_of(w, struct sub, w);
}

/* ---- life ---- */

void sub_new(struct session *s, struct channel *ch, uint32_t cmd_id, const struct cursor *cursor,
             int64_t exp_s, bool server)
{
    struct sub *sub = mem_zalloc(sizeof(*sub));

    sub->cmd_id = cmd_id;
    sub->exp_s = exp_s;
    sub->server = server;
    sub->recover = cursor->recover;
    sub->pos = sub->asked = cursor->offset;
    sub->foreign = cursor->epoch.n != LOG_ID_LEN;
    if (!sub->foreign)
        memcpy(sub->epoch, cursor->epoch.p, LOG_ID_LEN);
    sub->w.try_now = sub_try;
    sub->w.expire = sub_expire;
    sub->next = s->subs;
    s->subs = sub;
    s->sub_count++;
    METRIC_ADD(subscriptions, 1);
    METRIC_ADD(lagging, 1);
    waiter_add(&sub->w, s, ch);
}

struct sub *sub_find(const struct session *s, struct slice channel)
{
    struct sub *sub;

    for (sub = s->subs; sub; sub = sub->next)
        if (slice_eq(channel_name(sub->w.ch), channel))
            return sub;
    return NULL;
}

void sub_free(struct sub *sub)
{
    struct session *s = sub->w.s;
    struct sub **link = &s->subs;

    if (sub->live)
        hub_unlive(sub);
    while (*link != sub)
        link = &(*link)->next;
    *link = sub->next;
    s->sub_count--;
    waiter_drop(&sub->w);
    hub_channel_unref(sub->w.ch);
    buf_done(&sub->first);
    free(sub->find);
    free(sub);
    METRIC_ADD(subscriptions, -1);
    METRIC_ADD(lagging, -1);
}

/* ---- answers ---- */

/* text: NULL or the message in place of the code's. */
static void fail(struct sub *sub, int code, const char *text)
{
    struct session *s = sub->w.s;

    METRIC_ADD(command_errors, 1);
    if (sub->recover)
        METRIC_ADD(recover_errors, 1);
    if (sub->server) {
        session_sub_failed(s, code);
    } else {
        s->proto->error(&s->out, sub->cmd_id, code, text);
        session_dirty(s);
    }
    sub_free(sub);
}

void sub_gap(struct sub *sub, const struct proto_gap *gap)
{
    struct session *s = sub->w.s;

    if (!sub->answered) {
        fail(sub, ERROR_INTERNAL, NULL);
        return;
    }
    METRIC_ADD(gaps, 1);
    if (sub->server) {
        if (gap->to) /* a close frame has no room for it */
            s->proto->push_gap(&s->out, channel_name(sub->w.ch), gap);
        session_close(s, DISCONNECT_INSUFFICIENT_STATE);
        sub_free(sub);
        return;
    }
    s->proto->push_unsubscribe(&s->out, channel_name(sub->w.ch), UNSUB_INSUFFICIENT, gap);
    session_dirty(s);
    sub_free(sub);
}

static struct proto_subscribe result_of(const struct sub *sub, uint64_t offset)
{
    bool any = sub->w.ch->any != NULL;

    return (struct proto_subscribe){
        .epoch = any ? (struct slice){"", 0} : slice_of(sub->w.ch->tail->p->log),
        .offset = any ? 0 : offset,
        .recoverable = !any,
        .was_recovering = sub->recover,
        .recovered = sub->told,
        .gap = sub->has_gap ? (struct proto_gap){sub->gap_from, offset} : proto_no_gap,
        .ttl_s = sub->exp_s ? auth_ttl(sub->exp_s) : -1,
        .pubs = buf_as_slice(&sub->first),
    };
}

/* offset: where the client is told to be; pushes continue from sub->pos. */
static void answer(struct sub *sub, bool recovered, uint64_t offset)
{
    struct session *s = sub->w.s;
    struct proto_subscribe r;

    sub->told = recovered;
    sub->answered = true;
    waiter_answered(&sub->w);
    if (sub->recover && recovered)
        METRIC_ADD(recovered, 1);
    else if (sub->recover)
        METRIC_ADD(not_recovered, 1);
    if (sub->server) {
        sub->told_at = offset;
        s->first_bytes += (uint32_t)sub->first.n;
        waiter_move(&sub->w, &s->held);
        session_sub_answered(s);
        return;
    }
    r = result_of(sub, offset);
    s->proto->subscribe(&s->out, sub->cmd_id, &r);
    session_dirty(s);
    buf_done(&sub->first);
}

void sub_result(const struct sub *sub, struct buf *subs)
{
    struct proto_subscribe r = result_of(sub, sub->told_at);

    sub->w.s->proto->sub_result(subs, channel_name(sub->w.ch), &r);
}

void sub_release_held(struct session *s)
{
    struct sub *sub;

    for (sub = s->subs; sub; sub = sub->next)
        if (sub->server && sub->w.ch->any) /* what the next turn publishes is its already */
            hub_live(sub);
    list_splice_tail(&s->h->todo, &s->held);
}

/* ---- the first answer: begin_*() is false if it waits, or failed and is gone ---- */

bool sub_is_of_log(const struct sub *sub)
{
    return sub->recover && !sub->foreign && !strcmp(sub->epoch, sub->w.ch->tail->p->log);
}

/* Its epoch may be that of a log which another edge knows already, and this one not yet: told now,
 * its client would be sent back to the log before, and told again. */
static bool may_be_newer(const struct hub *h, const struct sub *sub)
{
    return sub->recover && !sub->foreign && !sub_is_of_log(sub) &&
           !feed_is_old_log(h->feed, sub->w.ch->ns->index, sub->epoch, sub->w.due_ms - ANSWER_MS);
}

static bool beacon_is_fresh(const struct hub *h, const struct plog *p)
{
    uint64_t seen = atomic_load(&p->beacon_ms);

    return seen && h->now_ms < seen + BEACON_FRESH_MS;
}

/* From here on: what is in the log now is not news, nor is what a rebuild brings back. */
static bool begin_now(struct sub *sub)
{
    struct tail *t = sub->w.ch->tail;
    uint64_t end = atomic_load(&t->p->kafka_end);

    buf_done(&sub->first); /* older than what may be missing */
    sub->gap_from = sub_wants_latest(sub) ? sub->asked : sub->pos;
    sub->pos = t->cursor;
    if (atomic_load(&t->p->beacon_state) == BEACON_REBUILD && end > sub->pos)
        sub->pos = end;
    sub->has_gap = sub_is_of_log(sub) && sub->gap_from < sub->pos;
    answer(sub, false, sub->pos);
    return true;
}

static bool begin_ahead(struct hub *h, struct sub *sub)
{
    struct plog *p = sub->w.ch->tail->p;

    if (sub->pos <= atomic_load(&p->kafka_end)) {
        answer(sub, true, sub->asked);
        return true;
    }
    if (h->now_ms < sub->w.due_ms) { /* the beacon may not have moved yet */
        waiter_move(&sub->w, &sub->w.ch->tail->waiting);
        return false;
    }
    if (beacon_is_fresh(h, p) && atomic_load(&p->beacon_state) != BEACON_STALLED &&
        !sub->w.ch->ns->conf->log_id[0])
        return begin_now(sub); /* beyond Kafka's end: not a position of this log */
    fail(sub, ERROR_INTERNAL, NULL);
    return false;
}

static bool begin_behind(struct sub *sub)
{
    struct records r;

    if (hub_older(&sub->w, sub->pos, 0, &r) != 0)
        return false;
    if (sub->pos < r.from)
        return begin_now(sub);
    sub_first_page(sub, &r);
    answer(sub, true, sub->asked);
    return true;
}

/* Is it a cursor of this log? In another's place stands the beginning. */
static bool take_cursor(struct sub *sub)
{
    bool of_log = sub_is_of_log(sub);

    if (!of_log)
        sub->pos = sub->asked = 0;
    return of_log;
}

/* What a client has of another log is replaced by the latest of this one; if there is none, it is
 * told. */
static bool begin_latest(struct sub *sub)
{
    bool of_log = take_cursor(sub);
    int rc = sub_find_latest(sub);

    if (rc == -EAGAIN)
        return false;
    if (rc < 0 || (!of_log && !rc))
        return begin_now(sub);
    answer(sub, true, of_log ? sub->asked : sub->pos);
    return true;
}

static bool begin(struct hub *h, struct sub *sub)
{
    struct tail *t = sub->w.ch->tail;

    if (sub->w.ch->any) {
        answer(sub, false, 0);
        return true;
    }
    if (may_be_newer(h, sub)) {
        waiter_move(&sub->w, &h->waiting);
        return false;
    }
    if (sub_wants_latest(sub) && (sub->pos <= t->cursor || !sub_is_of_log(sub)))
        return begin_latest(sub);
    if (!sub_is_of_log(sub))
        return begin_now(sub);
    if (sub->pos <= t->cursor && !hub_quiet(&sub->w, &sub->pos, &sub->looked))
        return false;
    if (sub->pos > t->cursor)
        return begin_ahead(h, sub);
    if (sub->pos < atomic_load(&t->p->lost))
        return begin_now(sub);
    return begin_behind(sub);
}

static void sub_try(struct hub *h, struct waiter *w)
{
    struct sub *sub = sub_of(w);
    const struct topic_view *view;
    bool server = sub->server; /* once it is answered, its client may end it at once */
    int rc = hub_resolve(h, sub->w.ch, &view);

    if (rc == -EAGAIN) {
        waiter_move(w, sub->w.ch->tail ? &sub->w.ch->tail->waiting : &h->waiting);
    } else if (rc == -ESTALE || (rc && sub->answered)) {
        sub_gap(sub, &proto_no_gap);
    } else if (rc) {
        fail(sub, ERROR_NOT_AVAILABLE, proto_unmapped_text(view));
    } else if (sub->answered || (begin(h, sub) && !server)) {
        if (!sub->w.ch->any)
            sub_pull(sub);
        else if (sub->behind) /* live only: there is no position to go on from */
            sub_gap(sub, &proto_no_gap);
        else
            hub_live(sub);
    }
}

/* The reply's time is up, and the page isn't here. Kafka has all that follows: the rest comes as
 * pushes. Kafka no longer has it: nobody has. Not known, or no room for it: an error. What a client
 * has of another log is replaced only by what was found. */
static void expire_behind(struct hub *h, struct sub *sub)
{
    const struct plog *p = sub->w.ch->tail->p;
    uint64_t low = atomic_load(&p->kafka_low), refused = atomic_load(&p->refused_ms);

    sub_stop_finding(sub);
    if (refused && h->now_ms < refused + ANSWER_MS) {
        fail(sub, ERROR_TOO_MANY_REQUESTS, NULL);
    } else if (!low || !beacon_is_fresh(h, p)) {
        fail(sub, ERROR_INTERNAL, NULL);
    } else if (low <= sub->pos + 1) {
        answer(sub, sub_is_of_log(sub) || sub->first.n, sub->asked);
    } else {
        begin_now(sub); /* it goes on with the plog's next growth, or the tick */
    }
}

static void sub_expire(struct hub *h, struct waiter *w)
{
    struct sub *sub = sub_of(w);
    struct tail *t = sub->w.ch->tail;
    bool server = sub->server;

    if (!t || !t->ready || may_be_newer(h, sub) || !(sub_is_of_log(sub) || sub_wants_latest(sub)))
        fail(sub, ERROR_INTERNAL, NULL);
    else if (!take_cursor(sub) || sub->pos <= t->cursor)
        expire_behind(h, sub);
    else if (begin_ahead(h, sub) && !server)
        waiter_move(w, &h->todo);
}
