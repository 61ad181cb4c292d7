/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h: one client: its commands, its subscriptions, and what it is owed.
 *
 * A session holds cursors and at most one write's tail, never a queue: output of a turn is written
 * at its end; a client that can't take more has its subscriptions wait in `blocked`.
 *
 * Owned by its hub from session_open to the end of the turn after session_on_close.
 * @thread shard
 */
#pragma once

#include "edge-node/hub.h"

struct user;
struct history_req;

enum session_state {
    SESSION_NEW,        /* no connect command yet */
    SESSION_CONNECTING, /* its connect reply waits for server-side subscriptions */
    SESSION_READY,
    SESSION_CLOSING, /* told so; waits for the socket */
    SESSION_CLOSED,  /* no socket */
};

struct session {
    /* what a push looks at, and nothing else: session_prefetch */
    struct hub *h;
    void *conn; /* transport's; NULL once closed */
    const struct transport *tr;
    const struct proto *proto;
    struct buf out;  /* messages of this turn */
    uint32_t gather; /* scratch of a turn */
    uint32_t sub_count;
    uint8_t state; /* enum session_state */
    bool awaits_pong, stalled, reading_paused;

    uint32_t requests;
    struct list in_hub; /* hub->sessions */
    struct list mark;   /* hub->dirty or hub->dead */
    struct wheel_timer timer;
    struct list subs;
    struct list blocked;         /* waiters: until it can be written to */
    struct list held;            /* waiters: until the connect reply is out */
    struct user *user;           /* NULL: anonymous */
    struct history_req *history; /* under way */
    char *named;                 /* channel to place, until the connect reply (place.h) */
    struct buf backlog;          /* commands behind a connect that still waits */
    uint64_t ping_ms;            /* when the next ping is due, or the pong */
    uint32_t unanswered;         /* server-side subscriptions that the connect reply waits for */
    uint32_t connect_id;
    uint32_t first_bytes; /* publications kept for the connect reply */
    uint8_t id[16];
};

struct session *session_open(struct hub *h, void *conn, const struct transport *tr,
                             const struct proto *proto);
/* One whole message of the client. */
void session_on_message(struct session *s, struct slice text);
void session_on_writable(struct session *s);
/* The client sent a close frame: nothing is written to it any more. */
void session_peer_closes(struct session *s);
/* The socket is gone. s is freed by the hub at the end of its next turn. */
void session_on_close(struct session *s);

/* ---- for the hub and subscriptions ---- */
void session_close(struct session *s, uint16_t code);
void session_dirty(struct session *s); /* has output: flush it at this turn's end */
void session_flush(struct session *s);
void session_set_timer(struct session *s); /* after ping_ms or an expiry changed */
void session_on_timer(struct wheel_timer *t, uint64_t now_ms);
void session_free(struct session *s);
void session_sub_answered(struct session *s);         /* one of `unanswered` has its result */
void session_sub_failed(struct session *s, int code); /* one of them can't be had; command.c */

/* Is there room for more output now? */
static inline bool session_can_take(const struct session *s)
{
    return s->state < SESSION_CLOSING && s->out.n < (size_t)s->h->conf->write_max &&
           !s->tr->is_choked(s->conn);
}

/* Of what a push to s will touch; it reads s->conn, so s itself must have been fetched before. */
static inline void session_prefetch(const struct session *s)
{
    __builtin_prefetch(s);
    __builtin_prefetch(&s->reading_paused); /* they are often two lines */
}

static inline void session_prefetch_conn(const struct session *s)
{
    if (s->conn)
        s->tr->prefetch(s->conn);
}
