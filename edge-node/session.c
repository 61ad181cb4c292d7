/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c: a client's life and its output; command.c does its commands.
 */
#include "edge-node/session.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/auth.h"
#include "edge-node/command.h"
#include "edge-node/edge_metric.h"
#include "edge-node/history.h"
#include "edge-node/sub.h"

/* ---- life ---- */

struct session *session_open(struct hub *h, void *conn, const struct transport *tr,
                             const struct proto *proto)
{
    struct session *s = mem_zalloc(sizeof(*s));

    s->h = h;
    s->conn = conn;
    s->tr = tr;
    s->proto = proto;
    list_init(&s->mark);
    list_init(&s->blocked);
    list_init(&s->held);
    list_init(&s->subs);
    wheel_timer_init(&s->timer);
    list_add_tail(&h->sessions, &s->in_hub);
    h->session_count++;
    proc_random(s->id, sizeof(s->id));
    wheel_set(&h->wheel, &s->timer, h->now_ms + (uint64_t)h->conf->connect_timeout);
    METRIC_ADD(connections, 1);
    return s;
}

static void leave(struct session *s, enum session_state state)
{
    if (s->state == SESSION_READY || s->state == SESSION_CONNECTING)
        METRIC_ADD(sessions, -1);
    s->h->leaving_count += s->state < SESSION_CLOSING;
    s->state = (uint8_t)state;
    wheel_stop(&s->timer);
}

void session_on_close(struct session *s)
{
    s->conn = NULL;
    leave(s, SESSION_CLOSED);
    list_move_tail(&s->h->dead, &s->mark);
    s->h->again(s->h->again_arg);
    METRIC_ADD(connections, -1);
}

void session_peer_closes(struct session *s)
{
    leave(s, SESSION_CLOSING);
}

void session_free(struct session *s)
{
    struct sub *sub;

    while ((sub = list_first(&s->subs, struct sub, in_session)))
        sub_free(sub);
    history_drop_all(s);
    list_del(&s->mark);
    list_del(&s->in_hub);
    s->h->session_count--;
    s->h->leaving_count--;
    user_free(s->user);
    free(s->named);
    buf_done(&s->out);
    buf_done(&s->backlog);
    free(s);
}

void session_close(struct session *s, uint16_t code)
{
    if (s->state >= SESSION_CLOSING)
        return;
    session_flush(s);
    METRIC_ADD(disconnects, 1);
    log_debug("disconnect", " code=%d", code);
    leave(s, SESSION_CLOSING);
    s->tr->close(s->conn, code, proto_close_text(code));
}

/* ---- output ---- */

void session_dirty(struct session *s)
{
    if (s->state < SESSION_CLOSED)
        list_move_tail(&s->h->dirty, &s->mark);
}

static void write_out(struct session *s)
{
    struct buf *frame = &s->h->frame;
    size_t head = s->tr->head_max, n;

    frame->n = 0;
    buf_reserve(frame, head + s->out.n);
    frame->n = head;
    buf_add(frame, s->out.p, s->out.n);
    n = s->tr->frame(frame->p + head, s->out.n, s->proto->binary);
    METRIC_ADD(writes, 1);
    METRIC_ADD(bytes_out, n + s->out.n);
    s->tr->write(s->conn, frame->p + head - n, n + s->out.n); /* if it fails, the client is gone */
    buf_done(&s->out);
}

static void pause_reading(struct session *s, bool on)
{
    if (s->reading_paused == on)
        return;
    s->reading_paused = on;
    s->tr->pause_reading(s->conn, on);
}

void session_flush(struct session *s)
{
    if (s->state >= SESSION_CLOSING || !s->conn)
        return;
    /* A choked client's replies wait here, and its commands with them: bounded by one frame's. */
    if (s->out.n && !s->tr->is_choked(s->conn))
        write_out(s);
    if (s->out.n || s->tr->is_choked(s->conn))
        s->tr->want_writable(s->conn);
    else if (!list_is_empty(&s->blocked))
        list_splice_tail(&s->h->todo, &s->blocked);
    pause_reading(s, s->out.n || s->state == SESSION_CONNECTING);
}

void session_on_writable(struct session *s)
{
    s->stalled = false;
    session_dirty(s);
    s->h->again(s->h->again_arg);
}

/* ---- time ---- */

/* Milliseconds until what ends at exp_s is over, grace included; <= 0: it is. */
static int64_t grace_left(int64_t exp_s)
{
    if (!exp_s || exp_s > INT64_MAX / 2000)
        return INT64_MAX;
    return exp_s * 1000 + AUTH_GRACE_MS - clock_wall_ms();
}

static uint64_t next_expiry(const struct session *s, uint64_t now_ms)
{
    int64_t left = grace_left(s->user ? s->user->exp_s : 0);
    const struct sub *sub;

    list_for_each(sub, &s->subs, in_session) {
        int64_t of_sub = grace_left(sub->exp_s);
        if (of_sub < left)
            left = of_sub;
    }
    return now_ms + (left > 0 ? (uint64_t)left : 0);
}

void session_set_timer(struct session *s)
{
    uint64_t next = next_expiry(s, s->h->now_ms);

    if (s->ping_ms < next)
        next = s->ping_ms;
    wheel_set(&s->h->wheel, &s->timer, next);
}

static void ping(struct session *s, uint64_t now_ms)
{
    const struct edge_conf *c = s->h->conf;

    if (s->tr->is_choked(s->conn)) { /* can't even be sent: look again when a pong would be due */
        s->stalled = true;
        session_dirty(s); /* so that the flush asks to be told when it drains */
        s->ping_ms = now_ms + (uint64_t)(c->ping_interval + c->pong_timeout);
        return;
    }
    s->proto->ping(&s->out);
    session_dirty(s);
    s->awaits_pong = true;
    s->ping_ms = now_ms + (uint64_t)c->pong_timeout;
}

static bool is_expired(int64_t exp_s)
{
    return grace_left(exp_s) <= 0;
}

static void expire_subs(struct session *s)
{
    struct sub *sub, *tmp;

    list_for_each_safe(sub, tmp, &s->subs, in_session) {
        if (!is_expired(sub->exp_s))
            continue;
        s->proto->push_unsubscribe(&s->out, channel_name(sub->ch), UNSUB_EXPIRED, &proto_no_gap);
        session_dirty(s);
        sub_free(sub);
    }
}

void session_on_timer(struct wheel_timer *t, uint64_t now_ms)
{
    struct session *s = container_of(t, struct session, timer);

    if (s->state == SESSION_NEW) {
        session_close(s, DISCONNECT_STALE);
        return;
    }
    if (s->user && is_expired(s->user->exp_s)) {
        session_close(s, DISCONNECT_EXPIRED);
        return;
    }
    expire_subs(s);
    if (now_ms >= s->ping_ms) {
        if (s->awaits_pong || s->stalled) {
            session_close(s, DISCONNECT_NO_PONG);
            return;
        }
        ping(s, now_ms);
    }
    session_set_timer(s);
}

/* ---- input ---- */

void session_on_message(struct session *s, struct slice text)
{
    if (s->state >= SESSION_CLOSING)
        return;
    if (s->awaits_pong) { /* any message shows life */
        s->awaits_pong = false;
        s->ping_ms = s->h->now_ms + (uint64_t)s->h->conf->ping_interval;
        session_set_timer(s);
    }
    if (s->state == SESSION_CONNECTING) {
        if (s->backlog.n + text.n + 1 > (size_t)s->h->conf->frame_max)
            session_close(s, DISCONNECT_TOO_BIG);
        else
            command_keep(s, text);
        return;
    }
    command_run(s, text);
}
