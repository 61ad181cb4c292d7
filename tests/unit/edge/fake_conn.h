/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_conn.h: a client without a socket: a transport that writes down what it is given, checks
 * what a session may do with it, and chokes when told to. @thread main
 */
#pragma once

#include "edge-node/session.h"
#include "tests/unit/edge/fake_shards.h"

struct fake_conn {
    struct session *s;
    struct buf text;  /* payloads of all frames, a line break behind each */
    size_t room;      /* bytes it takes before it chokes */
    size_t writes;    /* write() calls */
    size_t write_max; /* the largest */
    bool choked, wants, paused;
    uint16_t close_code; /* 0: open */
};

/* Framing: four bytes, the length. */
static inline size_t fake_frame(char *payload, size_t n, bool binary)
{
    uint32_t len = (uint32_t)n;

    assert_false(binary);
    memcpy(payload - sizeof(len), &len, sizeof(len));
    return sizeof(len);
}

static inline int fake_conn_write(void *conn, const char *p, size_t n)
{
    struct fake_conn *c = conn;

    assert_false(c->choked);
    assert_int_equal(c->close_code, 0);
    c->writes++;
    if (n > c->write_max)
        c->write_max = n;
    c->choked = n >= c->room;
    c->room = c->choked ? 0 : c->room - n;
    while (n) {
        uint32_t len;
        assert_true(n >= sizeof(len));
        memcpy(&len, p, sizeof(len));
        p += sizeof(len);
        n -= sizeof(len);
        assert_true(len > 0 && len <= n);
        buf_add(&c->text, p, len);
        buf_byte(&c->text, '\n');
        p += len;
        n -= len;
    }
    return 0;
}

static inline void fake_write_many(struct transport_write *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w[i].rc = fake_conn_write(w[i].conn, w[i].p, w[i].n);
}

static inline bool fake_is_choked(const void *conn)
{
    return ((const struct fake_conn *)conn)->choked;
}

static inline void fake_want_writable(void *conn)
{
    ((struct fake_conn *)conn)->wants = true;
}

static inline void fake_pause(void *conn, bool on)
{
    ((struct fake_conn *)conn)->paused = on;
}

static inline void fake_conn_close(void *conn, uint16_t code, const char *reason)
{
    struct fake_conn *c = conn;

    assert_non_null(reason);
    assert_int_equal(c->close_code, 0);
    c->close_code = code;
}

static inline void fake_prefetch(const void *conn)
{
    (void)conn;
}

static const struct transport fake_transport = {
    .head_max = 4,
    .frame = fake_frame,
    .write = fake_conn_write,
    .write_many = fake_write_many,
    .is_choked = fake_is_choked,
    .want_writable = fake_want_writable,
    .pause_reading = fake_pause,
    .close = fake_conn_close,
    .prefetch = fake_prefetch,
};

static inline void fake_open_at(struct fake *x, struct fake_conn *c, int shard)
{
    *c = (struct fake_conn){.room = SIZE_MAX};
    x->hubs[shard].now_ms = x->now_ms;
    c->s = session_open(&x->hubs[shard], c, &fake_transport, &proto_json);
}

static inline void fake_open(struct fake *x, struct fake_conn *c)
{
    fake_open_at(x, c, 0);
}

static inline void fake_say(struct fake *x, struct fake_conn *c, const char *text)
{
    c->s->h->now_ms = x->now_ms;
    session_on_message(c->s, slice_of(text));
}

/* The socket drained; it takes `room` more. */
static inline void fake_drain(struct fake_conn *c, size_t room)
{
    bool wants = c->wants;

    c->choked = false;
    c->room = room;
    c->wants = false;
    if (wants)
        session_on_writable(c->s);
}

static inline void fake_close(struct fake_conn *c)
{
    if (c->s)
        session_on_close(c->s);
    c->s = NULL;
    buf_done(&c->text);
}
