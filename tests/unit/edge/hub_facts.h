/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_facts.h: what hub_model.h judges by: the clients as the model sees them, and what the streams
 * really hold. Include it once in a program. @thread main
 */
#pragma once

#include "common/runtime/json.h"

#include "tests/unit/edge/edge_tokens.h"
#include "tests/unit/edge/fake_conn.h"

#define CLIENTS    24
#define PLAIN      8  /* channels with positions … */
#define CHANNELS   12 /* … and live-only ones */
#define HISTORY_ID 100000
#define BEYOND     (1ull << 62) /* no position of any log */

/* Where a client is in one channel; of each partition for a live-only one. */
struct cursor_of {
    int log;
    uint64_t pos;
};

struct model_sub {
    bool asked, active, recover, server;
    bool skips; /* history latest, not live yet: older ones may be left out */
    int log;
    uint64_t cursor;
    /* live-only: nothing up to floor may come, nothing above ceiling may be left out */
    uint64_t floor[FAKE_PARTS], ceiling[FAKE_PARTS], seen[FAKE_PARTS];
};

struct model_history {
    bool asked, has_since, reverse;
    size_t ch;
    int log;
    uint64_t since;
    int limit;
};

struct client {
    struct fake_conn conn;
    struct model_sub subs[CHANNELS];
    struct model_history history;
    uint32_t next_id;
    bool connected;
};

struct totals {
    size_t pubs, any_pubs, chokes, recovered, told, gaps, unsubscribed, closed, errors, logs,
        histories, refused, put_off, skips, slow, replaced;
};

static struct fake x;
static struct client clients[CLIENTS];
static struct cursor_of cursors[CLIENTS][PLAIN]; /* outlive the connections */
static struct totals sum;

static const char *channel(size_t i)
{
    static const char *const names[CHANNELS] = {"a", "b", "c",     "d",     "e",     "f",
                                                "g", "h", "any:a", "any:b", "any:c", "any:d"};

    return names[i];
}

static size_t channel_index(struct slice name)
{
    for (size_t i = 0; i < CHANNELS; i++)
        if (slice_eq(name, slice_of(channel(i))))
            return i;
    fail_msg("no such channel: %.*s", (int)name.n, name.p);
    return 0;
}

/* ---- what there is ---- */

static const struct fake_stream *stream_at(int log, int part)
{
    return &x.feed.streams[log * FAKE_PARTS + part];
}

static const struct fake_stream *stream_of(int log, size_t ch)
{
    return stream_at(log, fake_part_of(&x, channel(ch)));
}

/* Index of the first record after pos. */
static size_t index_after(const struct fake_stream *s, uint64_t pos)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->v[mid].pos > pos)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* The next record of the channel after pos; NULL if there is none. */
static const struct fake_rec *next_rec(const struct fake_stream *s, size_t ch, uint64_t pos)
{
    for (size_t i = index_after(s, pos); i < s->n; i++)
        if (!s->v[i].lost && !strcmp(s->v[i].channel, channel(ch)))
            return &s->v[i];
    return NULL;
}

/* How the default namespace is kept in this run. */
static struct namespace_conf *plain_conf(void)
{
    return &x.ns_conf[FAKE_DEFAULT];
}

static bool keeps_latest(void)
{
    return plain_conf()->history == NS_HISTORY_LATEST;
}

/* Is any record in (after, upto] out of Redis and Kafka? */
static bool has_loss(const struct fake_stream *s, uint64_t after, uint64_t upto)
{
    for (size_t i = index_after(s, after); i < s->n && s->v[i].pos <= upto; i++)
        if (s->v[i].lost || i < s->kafka)
            return true;
    return false;
}

/* Out of Redis? */
static bool has_gap(const struct fake_stream *s, uint64_t after, uint64_t upto)
{
    for (size_t i = index_after(s, after); i < s->n && s->v[i].pos <= upto; i++)
        if (s->v[i].lost || i < s->first)
            return true;
    return false;
}

static bool has_lost(const struct fake_stream *s, uint64_t after, uint64_t upto)
{
    for (size_t i = index_after(s, after); i < s->n && s->v[i].pos <= upto; i++)
        if (s->v[i].lost)
            return true;
    return false;
}

/* May a client at its cursor be told that something is missing? */
static bool may_be_told(const struct model_sub *m, size_t ch)
{
    return m->log != x.feed.log || has_loss(stream_of(m->log, ch), m->cursor, UINT64_MAX);
}

/* ---- reading JSON ---- */

static uint64_t number_of(const struct json *j, const char *name)
{
    uint64_t v = 0;

    assert_true(!json_get(j, name) || json_u64(json_get(j, name), &v));
    return v;
}

static int log_of(const struct json *j)
{
    struct slice epoch;

    assert_true(json_text(json_get(j, "epoch"), &epoch));
    assert_int_equal(epoch.n, LOG_ID_LEN);
    assert_in_range(epoch.p[LOG_ID_LEN - 1], 'A', 'A' + x.feed.log);
    return epoch.p[LOG_ID_LEN - 1] - 'A';
}

/* The record's own position, and the partition, which its padding tells (model_write). */
static uint64_t data_of(const struct json *pub, int *ret_part)
{
    const struct json *data = json_get(pub, "data");
    struct slice pad;
    uint64_t n;

    assert_true(json_u64(json_get(data, "n"), &n));
    assert_true(json_text(json_get(data, "pad"), &pad));
    *ret_part = (int)(pad.n % FAKE_PARTS);
    return n;
}
