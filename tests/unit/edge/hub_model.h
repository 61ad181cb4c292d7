/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_model.h: clients that know what they must get. A subscription with positions must get exactly
 * the records of its channel after where it began, until it is told that it can't; it may be told
 * so only if something really is missing, or its log ended. Where its namespace lets slow clients
 * skip, what is left out must be told with what comes; where it keeps the latest, older ones may be
 * left out until it is live. One without (`any`) must get all of each partition from its reply on.
 * A history reply must be a row of the channel's records without one left out. Include it once in a
 * program. @thread main
 */
#pragma once

#include "edge-node/sub.h"
#include "tests/unit/edge/hub_facts.h"

/* ---- subscriptions ---- */

static void on_any_pub(struct model_sub *m, size_t ch, const struct json *pub)
{
    int part;
    uint64_t pos = data_of(pub, &part);
    const struct fake_stream *s = stream_at(m->log, part);
    uint64_t from = m->seen[part] ? m->seen[part] : m->ceiling[part];

    assert_null(json_get(pub, "offset"));
    assert_true(pos > m->floor[part] && pos > m->seen[part]); /* else doubled, or out of order */
    if (pos > from) {
        const struct fake_rec *want = next_rec(s, ch, from);
        assert_non_null(want);
        assert_int_equal(pos, want->pos); /* else one was left out */
    }
    m->seen[part] = pos;
    sum.any_pubs++;
}

/* The next one was left out. It may be, if that is told, or if later ones are all that is owed. */
static void check_skip(const struct model_sub *m, const struct fake_rec *next,
                       const struct json *pub)
{
    const struct json *gap = json_get(pub, "gap");

    if (gap) {
        assert_int_equal(plain_conf()->slow_clients, NS_SLOW_LATEST);
        assert_true(m->cursor <= number_of(gap, "from"));
        assert_true(m->skips || number_of(gap, "from") < next->pos);
        assert_int_equal(number_of(gap, "to"), number_of(pub, "offset") - 1);
        sum.skips++;
    } else {
        assert_true(m->skips); /* else lost */
    }
}

static void on_pub(struct client *c, size_t ch, const struct json *pub)
{
    struct model_sub *m = &c->subs[ch];
    const struct fake_rec *want;
    uint64_t offset;
    int part;

    if (!m->active)
        fail_msg("pushed before the reply, or after the end: %.300s", c->conn.text.p);
    if (ch >= PLAIN) {
        on_any_pub(m, ch, pub);
        return;
    }
    want = next_rec(stream_of(m->log, ch), ch, m->cursor);
    offset = number_of(pub, "offset");
    assert_int_equal(data_of(pub, &part), offset);
    assert_non_null(want);
    assert_true(offset >= want->pos); /* else doubled or out of order */
    if (offset > want->pos)
        check_skip(m, want, pub);
    assert_int_equal(next_rec(stream_of(m->log, ch), ch, offset - 1)->pos, offset);
    m->cursor = offset;
    sum.pubs++;
}

/* A reply that doesn't recover names what lies between the cursor and where pushes go on, if both
 * are of one log; less by what surely has none of the channel's records. */
static void check_gap_of_reply(const struct model_sub *m, size_t ch, const struct json *r)
{
    const struct json *gap = json_get(r, "gap");
    uint64_t offset = number_of(r, "offset"), from;
    const struct fake_rec *next;

    if (m->recover && log_of(r) == m->log && m->cursor < offset) {
        assert_non_null(gap);
        from = number_of(gap, "from");
        next = next_rec(stream_of(m->log, ch), ch, m->cursor);
        assert_true(m->cursor <= from && from < offset);
        assert_true(!next || next->pos > from);
        assert_int_equal(number_of(gap, "to"), offset);
        sum.gaps++;
    } else {
        assert_null(gap);
    }
}

/* What a push names is behind all that came, and really has a loss in it. */
static void check_gap_of_push(const struct model_sub *m, size_t ch, const struct json *gap)
{
    const struct fake_stream *s = stream_of(m->log, ch);
    uint64_t from = number_of(gap, "from"), to = number_of(gap, "to");
    const struct fake_rec *next = next_rec(s, ch, m->cursor);

    assert_true(m->cursor <= from && from < to);
    assert_true(!next || next->pos > from);
    assert_true(has_loss(s, from, to));
    sum.gaps++;
}

static void on_any_subscribed(struct model_sub *m)
{
    if (m->log != x.feed.log)
        memset(m->floor, 0, sizeof(m->floor));
    m->log = x.feed.log;
    memset(m->seen, 0, sizeof(m->seen));
    for (int part = 0; part < FAKE_PARTS; part++)
        m->ceiling[part] = stream_at(m->log, part)->last;
}

static void on_subscribed(struct client *c, size_t ch, const struct json *r)
{
    struct model_sub *m = &c->subs[ch];
    const struct json *pubs = json_get(r, "publications");
    bool recovered = false;

    assert_true(m->asked && !m->active);
    m->active = true;
    if (ch >= PLAIN) {
        on_any_subscribed(m);
        return;
    }
    assert_true(!json_get(r, "recovered") || json_bool(json_get(r, "recovered"), &recovered));
    m->skips = m->recover && keeps_latest();
    if (recovered && m->skips && log_of(r) != m->log) {
        m->log = log_of(r); /* in place of what it has comes one, now or next */
        m->cursor = pubs ? 0 : number_of(r, "offset");
        assert_true(json_size(pubs) == 1 || next_rec(stream_of(m->log, ch), ch, m->cursor));
        sum.replaced++;
    } else if (recovered) {
        assert_true(m->recover);
        assert_int_equal(log_of(r), m->log);
        assert_int_equal(number_of(r, "offset"), m->cursor);
        sum.recovered++;
    } else {
        assert_true(!m->recover || log_of(r) != m->log || m->cursor >= BEYOND ||
                    may_be_told(m, ch));
        assert_null(pubs);
        check_gap_of_reply(m, ch, r);
        sum.told += m->recover;
        m->log = log_of(r);
        m->cursor = number_of(r, "offset");
    }
    for (size_t i = 0; i < json_size(pubs); i++)
        on_pub(c, ch, json_at(pubs, i));
}

static void on_push(struct client *c, const struct json *push)
{
    const struct json *gap;
    struct slice name;
    size_t ch;

    assert_true(json_text(json_get(push, "channel"), &name));
    ch = channel_index(name);
    if (json_get(push, "pub")) {
        on_pub(c, ch, json_get(push, "pub"));
        return;
    }
    gap = json_get(push, "unsubscribe");
    gap = json_get(gap ? gap : push, "gap");
    if (gap)
        check_gap_of_push(&c->subs[ch], ch, gap);
    if (c->subs[ch].server) { /* its connection is closed */
        assert_non_null(gap);
        return;
    }
    assert_non_null(json_get(push, "unsubscribe"));
    assert_true(c->subs[ch].active);
    assert_true(ch >= PLAIN || may_be_told(&c->subs[ch], ch));
    c->subs[ch].active = c->subs[ch].asked = false;
    sum.unsubscribed++;
}

static void on_connected(struct client *c, const struct json *r)
{
    const struct json *subs = json_get(r, "subs");

    c->connected = true;
    for (size_t ch = 0; ch < CHANNELS; ch++) {
        const struct json *one = subs ? json_get(subs, channel(ch)) : NULL;
        assert_int_equal(one != NULL, c->subs[ch].server);
        if (one)
            on_subscribed(c, ch, one);
    }
}

/* ---- history ---- */

static void check_newest(const struct model_history *h, const struct fake_stream *s, uint64_t pos,
                         uint64_t end)
{
    uint64_t above = h->has_since && h->since <= end ? h->since : end + 1;
    const struct fake_rec *more = next_rec(s, h->ch, pos);

    assert_true(pos < above);
    assert_true(!more || more->pos >= above || has_gap(s, pos, above));
}

/* Each is the next one (or the one before) of the channel; in reverse some may be out of Redis. */
static void check_row(const struct model_history *h, const struct fake_stream *s,
                      const struct json *pubs)
{
    uint64_t last = h->reverse ? 0 : h->since;

    for (size_t i = 0; i < json_size(pubs); i++) {
        uint64_t pos = number_of(json_at(pubs, i), "offset");
        uint64_t low = h->reverse ? pos : last, high = h->reverse ? last : pos;
        const struct fake_rec *want;
        if (last)
            assert_false(has_lost(s, low, high));
        if (last && (!h->reverse || !has_gap(s, low, high))) {
            want = next_rec(s, h->ch, low);
            assert_non_null(want);
            assert_int_equal(want->pos, high);
        }
        last = pos;
    }
}

/* What follows the last publication, up to the reply's end, may be left out only for its size, or
 * at a hole. */
static void check_whole(const struct model_history *h, const struct fake_stream *s,
                        const struct json *pubs, uint64_t end)
{
    size_t n = json_size(pubs), bytes = 0;
    uint64_t last = n ? number_of(json_at(pubs, n - 1), "offset") : h->since;
    const struct fake_rec *more = next_rec(s, h->ch, last);

    if ((h->limit >= 0 && n >= (size_t)h->limit) || !more || more->pos > end)
        return;
    for (size_t i = 0; i < n; i++)
        bytes += next_rec(s, h->ch, number_of(json_at(pubs, i), "offset") - 1)->payload.n + 40;
    assert_true(bytes >= (size_t)x.conf.write_max || has_gap(s, last, more->pos));
}

/* The same in reverse. */
static void check_whole_reverse(const struct model_history *h, const struct fake_stream *s,
                                const struct json *pubs, uint64_t end)
{
    size_t n = json_size(pubs), bytes = 0;
    uint64_t above = h->has_since && h->since <= end ? h->since : end + 1;
    uint64_t last = n ? number_of(json_at(pubs, n - 1), "offset") : above;
    const struct fake_rec *more = NULL;

    for (size_t i = 0; i < s->n && s->v[i].pos < last; i++)
        if (!s->v[i].lost && !strcmp(s->v[i].channel, channel(h->ch)))
            more = &s->v[i];
    if ((h->limit >= 0 && n >= (size_t)h->limit) || !more)
        return;
    for (size_t i = 0; i < n; i++)
        bytes += next_rec(s, h->ch, number_of(json_at(pubs, i), "offset") - 1)->payload.n + 40;
    assert_true(bytes >= (size_t)x.conf.write_max || has_gap(s, more->pos - 1, last));
}

static void on_history(struct client *c, const struct json *r)
{
    struct model_history *h = &c->history;
    const struct json *pubs = json_get(r, "publications");
    const struct fake_stream *s = stream_of(log_of(r), h->ch);
    uint64_t end = number_of(r, "offset");
    size_t n = json_size(pubs);

    assert_true(!h->has_since || log_of(r) == h->log);
    check_row(h, s, pubs);
    if (!h->reverse)
        check_whole(h, s, pubs, end);
    else
        check_whole_reverse(h, s, pubs, end);
    if (h->reverse && n)
        check_newest(h, s, number_of(json_at(pubs, 0), "offset"), end);
    if (n)
        assert_true(number_of(json_at(pubs, h->reverse ? 0 : n - 1), "offset") <= end);
    sum.histories++;
}

/* ---- replies ---- */

static void on_error(struct client *c, uint64_t id, uint64_t code)
{
    const struct model_history *h = &c->history;

    if (id < HISTORY_ID) {
        struct model_sub *m = &c->subs[id % CHANNELS];
        assert_true(m->asked && !m->active);
        m->asked = false;
        if (code == ERROR_TOO_MANY_REQUESTS && x.conf.resume_rate && m->recover) {
            sum.put_off++;
            return;
        }
        assert_int_equal(code, ERROR_INTERNAL);
        sum.errors++;
        return;
    }
    sum.refused++;
    if (code == ERROR_UNRECOVERABLE_POSITION)
        assert_true(h->has_since && (h->log != x.feed.log ||
                                     has_gap(stream_of(h->log, h->ch), h->reverse ? 0 : h->since,
                                             h->reverse ? h->since : UINT64_MAX)));
    else
        assert_true(code == ERROR_INTERNAL || code == ERROR_TOO_MANY_REQUESTS);
}

static void on_reply(struct client *c, const struct json *j)
{
    uint64_t id = number_of(j, "id");

    if (json_get(j, "push")) {
        on_push(c, json_get(j, "push"));
        return;
    }
    if (json_get(j, "error"))
        on_error(c, id, number_of(json_get(j, "error"), "code"));
    else if (json_get(j, "subscribe"))
        on_subscribed(c, id % CHANNELS, json_get(j, "subscribe"));
    else if (json_get(j, "connect"))
        on_connected(c, json_get(j, "connect"));
    else if (json_get(j, "history"))
        on_history(c, json_get(j, "history"));
    if (id >= HISTORY_ID)
        c->history.asked = false;
}

/* Who was live is owed every record. */
static void look_who_is_live(struct client *c)
{
    for (size_t ch = 0; ch < PLAIN; ch++) {
        struct model_sub *m = &c->subs[ch];
        const struct sub *sub = m->skips ? sub_find(c->conn.s, slice_of(channel(ch))) : NULL;

        if (sub && (sub->live || sub->pull->behind))
            m->skips = false;
    }
}

static void read_all(struct client *c)
{
    struct slice text = buf_as_slice(&c->conn.text);
    struct json_error err;
    struct json *j;

    while ((j = json_take(&text, &err))) {
        on_reply(c, j);
        json_free(j);
    }
    assert_string_equal(err.text, "");
    buf_clear(&c->conn.text);
    look_who_is_live(c);
}
