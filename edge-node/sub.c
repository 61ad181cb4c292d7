/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub.c: see sub.h. Everything that decides "recovered" or "told" in a reply is here; sub_pull.c
 * goes on from there.
 */
#include "edge-node/sub.h"

#include <errno.h>
#include <stdatomic.h>

#include "common/base/clock.h"

#include "edge-node/auth.h"
#include "edge-node/edge_metric.h"

#define BEACON_FRESH_MS 1000

static struct sub *sub_of(struct waiter *w)
{
    return container_of(w, struct pull, w)->sub;
}

/* ---- answers ---- */

/* text: NULL or the message in place of the code's. */
static void fail(struct sub *sub, int code, const char *text)
{
    struct session *s = sub->s;

    METRIC_ADD(command_errors, 1);
    if (sub->pull->recover)
        METRIC_ADD(recover_errors, 1);
    if (sub->server) {
        session_sub_failed(s, code);
    } else {
        s->proto->error(&s->out, sub->pull->cmd_id, code, text);
        session_dirty(s);
    }
    sub_free(sub);
}

void sub_gap(struct sub *sub, const struct proto_gap *gap)
{
    struct session *s = sub->s;

    if (!sub->answered) {
        fail(sub, ERROR_INTERNAL, NULL);
        return;
    }
    METRIC_ADD(gaps, 1);
    if (sub->server) {
        if (gap->to) /* a close frame has no room for it */
            s->proto->push_gap(&s->out, channel_name(sub->ch), gap);
        session_close(s, DISCONNECT_INSUFFICIENT_STATE);
        sub_free(sub);
        return;
    }
    s->proto->push_unsubscribe(&s->out, channel_name(sub->ch), UNSUB_INSUFFICIENT, gap);
    session_dirty(s);
    sub_free(sub);
}

static struct proto_subscribe result_of(const struct sub *sub, uint64_t offset)
{
    bool any = sub->ch->any != NULL;

    return (struct proto_subscribe){
        .epoch = any ? (struct slice){"", 0} : slice_of(sub->ch->tail->p->log),
        .offset = any ? 0 : offset,
        .recoverable = !any,
        .was_recovering = sub->pull->recover,
        .recovered = sub->pull->told,
        .gap = sub->pull->has_gap ? (struct proto_gap){sub->pull->gap_from, offset} : proto_no_gap,
        .ttl_s = sub->exp_s ? auth_ttl(sub->exp_s) : -1,
        .pubs = buf_as_slice(&sub->pull->first),
    };
}

/* offset: where the client is told to be; pushes continue from sub->pull->pos. */
static void answer(struct sub *sub, bool recovered, uint64_t offset)
{
    struct session *s = sub->s;
    struct proto_subscribe r;

    sub->pull->told = recovered;
    sub->answered = true;
    waiter_answered(&sub->pull->w);
    if (sub->pull->recover && recovered)
        METRIC_ADD(recovered, 1);
    else if (sub->pull->recover)
        METRIC_ADD(not_recovered, 1);
    if (sub->server) {
        sub->pull->told_at = offset;
        s->first_bytes += (uint32_t)sub->pull->first.n;
        waiter_move(&sub->pull->w, &s->held);
        session_sub_answered(s);
        return;
    }
    r = result_of(sub, offset);
    s->proto->subscribe(&s->out, sub->pull->cmd_id, &r);
    session_dirty(s);
    buf_done(&sub->pull->first);
}

void sub_result(const struct sub *sub, struct buf *subs)
{
    struct proto_subscribe r = result_of(sub, sub->pull->told_at);

    sub->s->proto->sub_result(subs, channel_name(sub->ch), &r);
}

void sub_release_held(struct session *s)
{
    struct sub *sub;

    list_for_each(sub, &s->subs, in_session)
        if (sub->server && sub->ch->any) /* what the next turn publishes is its already */
            hub_live(sub);
    list_splice_tail(&s->h->todo, &s->held);
}

/* ---- the first answer: begin_*() is false if it waits, or failed and is gone ---- */

/* Is its cursor one of the log that is there now? */
static bool is_of_log(const struct sub *sub)
{
    return sub->pull->recover && !sub->pull->foreign &&
           !strcmp(sub->pull->epoch, sub->ch->tail->p->log);
}

/* Its epoch may be that of a log which another edge knows already, and this one not yet: told now,
 * its client would be sent back to the log before, and told again. */
static bool may_be_newer(const struct sub *sub)
{
    const struct pull *p = sub->pull;

    return p->recover && !p->foreign && !is_of_log(sub) && !waiter_is_of_old_log(&p->w, p->epoch);
}

static bool beacon_is_fresh(const struct hub *h, const struct plog *p)
{
    uint64_t seen = atomic_load(&p->beacon_ms);

    return seen && h->now_ms < seen + BEACON_FRESH_MS;
}

/* From here on: what is in the log now is not news, nor is what a rebuild brings back. */
static bool begin_now(struct sub *sub)
{
    struct tail *t = sub->ch->tail;
    uint64_t end = atomic_load(&t->p->kafka_end);

    buf_done(&sub->pull->first); /* older than what may be missing */
    sub->pull->gap_from = sub_wants_latest(sub) ? sub->pull->asked : sub->pull->pos;
    sub->pull->pos = t->cursor;
    if (atomic_load(&t->p->beacon_state) == BEACON_REBUILD && end > sub->pull->pos)
        sub->pull->pos = end;
    sub->pull->has_gap = is_of_log(sub) && sub->pull->gap_from < sub->pull->pos;
    answer(sub, false, sub->pull->pos);
    return true;
}

static bool begin_ahead(struct hub *h, struct sub *sub)
{
    struct plog *p = sub->ch->tail->p;
    uint64_t end_ms = atomic_load(&p->end_ms); /* before the end, which feed writes first */

    if (sub->pull->pos <= atomic_load(&p->kafka_end)) {
        answer(sub, true, sub->pull->asked);
        return true;
    }
    if (h->now_ms < sub->pull->w.due_ms) { /* the beacon may not have moved yet */
        waiter_move(&sub->pull->w, &sub->ch->tail->waiting);
        return false;
    }
    if (end_ms >= waiter_asked_ms(&sub->pull->w) && !sub->ch->ns->conf->log_id[0])
        return begin_now(sub); /* beyond Kafka's end: not a position of this log */
    fail(sub, ERROR_INTERNAL, NULL);
    return false;
}

static bool begin_behind(struct sub *sub)
{
    struct records r;

    if (hub_older(&sub->pull->w, sub->pull->pos, 0, &r) != 0)
        return false;
    if (sub->pull->pos < r.from)
        return begin_now(sub);
    sub_first_page(sub, &r);
    answer(sub, true, sub->pull->asked);
    return true;
}

/* Is it a cursor of this log? In another's place stands the beginning. */
static bool take_cursor(struct sub *sub)
{
    bool of_log = is_of_log(sub);

    if (!of_log)
        sub->pull->pos = sub->pull->asked = 0;
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
    answer(sub, true, of_log ? sub->pull->asked : sub->pull->pos);
    return true;
}

static bool begin(struct hub *h, struct sub *sub)
{
    struct tail *t = sub->ch->tail;

    if (sub->ch->any) {
        answer(sub, false, 0);
        return true;
    }
    if (may_be_newer(sub)) {
        waiter_move(&sub->pull->w, &h->waiting);
        return false;
    }
    if (sub_wants_latest(sub) && (sub->pull->pos <= t->cursor || !is_of_log(sub)))
        return begin_latest(sub);
    if (!is_of_log(sub))
        return begin_now(sub);
    if (sub->pull->pos <= t->cursor &&
        !hub_quiet(&sub->pull->w, &sub->pull->pos, &sub->pull->looked))
        return false;
    if (sub->pull->pos > t->cursor)
        return begin_ahead(h, sub);
    if (sub->pull->pos < atomic_load(&t->p->lost))
        return begin_now(sub);
    return begin_behind(sub);
}

void sub_try(struct hub *h, struct waiter *w)
{
    struct sub *sub = sub_of(w);
    const struct topic_view *view;
    bool server = sub->server; /* once it is answered, its client may end it at once */
    int rc = hub_resolve(h, sub->ch, &view);

    if (rc == -EAGAIN) {
        waiter_move(w, sub->ch->tail ? &sub->ch->tail->waiting : &h->waiting);
    } else if (rc == -ESTALE || (rc && sub->answered)) {
        sub_gap(sub, &proto_no_gap);
    } else if (rc) {
        fail(sub, ERROR_NOT_AVAILABLE, proto_unmapped_text(view));
    } else if (sub->answered || (begin(h, sub) && !server)) {
        if (!sub->ch->any)
            sub_pull(sub);
        else if (sub->pull->behind) /* live only: there is no position to go on from */
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
    const struct plog *p = sub->ch->tail->p;
    uint64_t low = atomic_load(&p->kafka_low), refused = atomic_load(&p->refused_ms);

    sub_stop_finding(sub);
    if (refused && h->now_ms < refused + ANSWER_MS) {
        fail(sub, ERROR_TOO_MANY_REQUESTS, NULL);
    } else if (!low || !beacon_is_fresh(h, p)) {
        fail(sub, ERROR_INTERNAL, NULL);
    } else if (low <= sub->pull->pos + 1) {
        answer(sub, is_of_log(sub) || sub->pull->first.n, sub->pull->asked);
    } else {
        begin_now(sub); /* it goes on with the plog's next growth, or the tick */
    }
}

void sub_expire(struct hub *h, struct waiter *w)
{
    struct sub *sub = sub_of(w);
    struct tail *t = sub->ch->tail;
    bool server = sub->server;

    if (!t || !t->ready || may_be_newer(sub) || !(is_of_log(sub) || sub_wants_latest(sub)))
        fail(sub, ERROR_INTERNAL, NULL);
    else if (!take_cursor(sub) || sub->pull->pos <= t->cursor)
        expire_behind(h, sub);
    else if (begin_ahead(h, sub) && !server)
        waiter_move(w, &h->todo);
}
