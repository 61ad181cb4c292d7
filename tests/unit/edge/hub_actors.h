/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_actors.h: what the clients of hub_model.h do at random, and who writes the records. Include
 * it once in a program. @thread main
 */
#pragma once

#include "tests/unit/edge/hub_model.h"

static uint64_t rng;
static uint32_t rnd(uint32_t n)
{
    rng = hash_u64(rng + 0x9e3779b97f4a7c15u);
    return (uint32_t)(rng >> 33) % n;
}

static struct fake_stream *some_stream(void)
{
    return &x.feed.streams[x.feed.log * FAKE_PARTS + (int)rnd(FAKE_PARTS)];
}

/* A live-only channel's record goes anywhere; the padding tells where (data_of). */
static void model_write(size_t ch, uint32_t pad, bool seen)
{
    int part = ch < PLAIN ? fake_part_of(&x, channel(ch)) : (int)rnd(FAKE_PARTS);
    struct fake_stream *s = &x.feed.streams[x.feed.log * FAKE_PARTS + part];

    pad = pad - pad % FAKE_PARTS + FAKE_PARTS + (uint32_t)part;
    if (seen && rnd(30)) /* else it goes on behind what it hasn't read, as behind a hole */
        fake_catch_up(&x, s);
    fake_write_to(&x, s, channel(ch), pad, seen);
    atomic_store(&s->p->kafka_low, s->v[s->kafka].prev + 1);
    atomic_store(&s->p->kafka_end, s->last);
    atomic_store(&s->p->beacon_ms, x.now_ms);
}

/* The first channels are quiet at most times. */
static void write_some(void)
{
    for (uint32_t n = rnd(6); n-- > 0;) {
        uint32_t ch = rnd(CHANNELS);
        if (ch < 3 && rnd(8))
            ch += 3;
        model_write(ch, rnd(12) ? rnd(200) : rnd(9000), true);
    }
}

/* ---- what clients do ---- */

static uint64_t cursor_text(char *dst, size_t size, const struct cursor_of *k)
{
    return (uint64_t)snprintf(dst, size, "\"recover\":%s,\"epoch\":\"LogAAAA%c\",\"offset\":%llu",
                              k->pos ? "true" : "false", 'A' + k->log, (unsigned long long)k->pos);
}

static void ask(struct client *c, size_t ch, bool server)
{
    struct model_sub *m = &c->subs[ch];

    *m = (struct model_sub){.asked = true, .server = server, .log = x.feed.log};
    if (ch < PLAIN) {
        const struct cursor_of *k = &cursors[c - clients][ch];
        m->recover = k->pos != 0;
        m->log = k->log;
        m->cursor = k->pos;
    }
    for (int part = 0; part < FAKE_PARTS; part++)
        m->floor[part] = plog_view(stream_at(x.feed.log, part)->p).upto;
}

static void say(struct client *c, const char *text)
{
    fake_say(&x, &c->conn, text);
}

static void come(struct client *c)
{
    static const size_t granted[] = {0, 2, 8}; /* TOKEN_SUBS */
    char text[1000], a[100], b[100];

    memset(c->subs, 0, sizeof(c->subs));
    memset(&c->history, 0, sizeof(c->history));
    c->next_id = 1;
    c->connected = false;
    fake_open_at(&x, &c->conn, (int)rnd(FAKE_SHARDS));
    if (rnd(3)) {
        say(c, "{\"id\":1,\"connect\":{}}");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(granted); i++)
        ask(c, granted[i], true);
    cursor_text(a, sizeof(a), &cursors[c - clients][0]);
    cursor_text(b, sizeof(b), &cursors[c - clients][2]);
    (void)snprintf(text, sizeof(text),
                   "{\"id\":1,\"connect\":{\"token\":\"" TOKEN_SUBS
                   "\",\"subs\":{\"a\":{%s},\"c\":{%s}}}}",
                   a, b);
    say(c, text);
}

static void go(struct client *c)
{
    size_t who = (size_t)(c - clients);

    read_all(c);
    for (size_t i = 0; i < PLAIN; i++)
        if (c->subs[i].active)
            cursors[who][i] = (struct cursor_of){c->subs[i].log, c->subs[i].cursor};
    fake_close(&c->conn);
}

/* Sometimes it has been elsewhere, where the edge had read more. */
static void run_ahead(struct cursor_of *k, size_t ch)
{
    const struct fake_stream *s = stream_of(x.feed.log, ch);
    const struct fake_rec *r = next_rec(s, ch, plog_view(s->p).upto);

    if (r && k->pos && k->log == x.feed.log && !has_gap(s, k->pos, r->pos))
        k->pos = r->pos;
}

static void subscribe(struct client *c, size_t ch)
{
    char text[300], cursor[100] = "\"recover\":false";

    if (c->subs[ch].asked)
        return;
    if (ch < PLAIN) {
        struct cursor_of *k = &cursors[c - clients][ch];
        if (!rnd(10))
            *k = (struct cursor_of){0, 0};
        if (!rnd(3))
            run_ahead(k, ch);
        if (!rnd(80))
            k->pos = BEYOND + rnd(2) * (INT64_MAX - BEYOND);
        cursor_text(cursor, sizeof(cursor), k);
    }
    ask(c, ch, false);
    c->next_id += CHANNELS;
    (void)snprintf(text, sizeof(text), "{\"id\":%u,\"subscribe\":{\"channel\":\"%s\",%s}}",
                   (unsigned)(c->next_id - c->next_id % CHANNELS + ch), channel(ch), cursor);
    say(c, text);
}

static void unsubscribe(struct client *c, size_t ch)
{
    const struct model_sub *m = &c->subs[ch];
    char text[100];

    read_all(c);
    if (!m->active || m->server || c->conn.choked || c->conn.s->out.n)
        return; /* what is still on its way would confuse the model */
    if (ch < PLAIN)
        cursors[c - clients][ch] = (struct cursor_of){m->log, m->cursor};
    c->subs[ch] = (struct model_sub){.asked = false};
    (void)snprintf(text, sizeof(text), "{\"id\":7,\"unsubscribe\":{\"channel\":\"%s\"}}",
                   channel(ch));
    say(c, text);
}

static void ask_history(struct client *c)
{
    struct model_history *h = &c->history;
    char text[300], since[100] = "";
    size_t ch = rnd(PLAIN);
    const struct cursor_of *k = &cursors[c - clients][ch];

    if (h->asked)
        return;
    *h = (struct model_history){.asked = true, .ch = ch, .reverse = rnd(2), .log = k->log};
    h->limit = rnd(3) ? (int)rnd(30) + 1 : -1;
    h->has_since = k->pos && rnd(2);
    if (h->has_since) {
        h->since = k->pos;
        (void)snprintf(since, sizeof(since), ",\"since\":{\"epoch\":\"LogAAAA%c\",\"offset\":%llu}",
                       'A' + k->log, (unsigned long long)k->pos);
    }
    c->next_id += CHANNELS;
    (void)snprintf(text, sizeof(text),
                   "{\"id\":%u,\"history\":{\"channel\":\"%s\",\"limit\":%d,\"reverse\":%s%s}}",
                   (unsigned)(HISTORY_ID + c->next_id), channel(ch), h->limit,
                   h->reverse ? "true" : "false", since);
    say(c, text);
}

/* It was closed: 3010 if a server-side subscription can't go on, 3004 if one can't begin, 3008 if
 * it couldn't take more for too long. */
static void was_closed(struct client *c)
{
    bool reason;

    read_all(c);
    if (c->conn.close_code == DISCONNECT_SLOW) {
        assert_int_equal(plain_conf()->slow_clients, NS_SLOW_DISCONNECT);
        sum.slow++;
        go(c);
        return;
    }
    reason = !c->connected;
    if (c->conn.close_code == DISCONNECT_INSUFFICIENT_STATE)
        reason |= may_be_told(&c->subs[0], 0) || may_be_told(&c->subs[2], 2) || c->subs[8].asked;
    if (!reason || !c->subs[0].server)
        fail_msg("closed with %u", (unsigned)c->conn.close_code);
    sum.closed++;
    go(c);
}

static void client_step(struct client *c)
{
    uint32_t what = rnd(26);

    if (!c->conn.s) {
        come(c);
    } else if (c->conn.close_code) {
        was_closed(c);
    } else if (what == 0) {
        go(c);
    } else if (what < 8) {
        subscribe(c, rnd(CHANNELS));
    } else if (what == 8) {
        unsubscribe(c, rnd(CHANNELS));
    } else if (what < 13) {
        c->conn.room = rnd(20000);
        sum.chokes++;
    } else if (what < 18 && c->connected) {
        ask_history(c);
    } else if (c->conn.choked) {
        fake_drain(&c->conn, 1 + rnd(rnd(3) ? 30000 : 300000));
    }
}
