/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_random.c: many clients that come, go, resume and choke at random over partitions that
 * are written, evicted, restarted, trimmed and lose records at random. The model: a subscription
 * must get exactly the records of its channel after where it began, until it is told that it
 * can't; and it may be told so only if something really is missing. FANFARE_TEST_SEED=n repeats
 * one run.
 */
#include "common/runtime/json.h"

#include "tests/unit/edge/fake_conn.h"

#define CLIENTS  24
#define CHANNELS 8
#define STEPS    1500
#define SEEDS    12

struct model_sub {
    bool asked, active, recover;
    uint64_t cursor; /* as the client knows it */
};

struct client {
    struct fake_conn conn;
    struct model_sub subs[CHANNELS];
    uint32_t next_id;
};

struct totals {
    size_t pubs, chokes, recovered, told, unsubscribed;
};

static struct fake x;
static struct client clients[CLIENTS];
static uint64_t cursors[CLIENTS][CHANNELS]; /* outlive the connections */
static struct totals sum;
static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
    rng = hash_u64(rng + 0x9e3779b97f4a7c15u);
    return (uint32_t)(rng >> 33) % n;
}

static const char *channel(size_t i)
{
    static const char *const names[CHANNELS] = {"a", "b", "c", "d", "e", "f", "g", "h"};

    return names[i];
}

static size_t channel_index(struct slice name)
{
    assert_int_equal(name.n, 1);
    assert_in_range(name.p[0], 'a', 'a' + CHANNELS - 1);
    return (size_t)(name.p[0] - 'a');
}

/* The next record of the channel after pos; NULL if there is none. */
static const struct fake_rec *next_rec(size_t ch, uint64_t pos)
{
    const struct fake_stream *s = fake_stream_of(&x, channel(ch));
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->v[mid].pos > pos)
            hi = mid;
        else
            lo = mid + 1;
    }
    for (; lo < s->n; lo++)
        if (!s->v[lo].lost && !strcmp(s->v[lo].channel, channel(ch)))
            return &s->v[lo];
    return NULL;
}

/* Is any record of the partition after pos out of Redis? */
static bool has_gap(size_t ch, uint64_t pos)
{
    const struct fake_stream *s = fake_stream_of(&x, channel(ch));

    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].pos > pos && (s->v[i].lost || i < s->first))
            return true;
    return false;
}

static void on_pub(struct client *c, size_t ch, const struct json *pub)
{
    struct model_sub *m = &c->subs[ch];
    const struct fake_rec *want = next_rec(ch, m->cursor);
    uint64_t offset, n;

    if (!m->active)
        fail_msg("pushed before the reply, or after the end: %.300s", c->conn.text.p);
    assert_true(json_u64(json_get(pub, "offset"), &offset));
    assert_true(json_u64(json_get(json_get(pub, "data"), "n"), &n));
    assert_int_equal(n, offset);
    assert_non_null(want);
    assert_int_equal(offset, want->pos); /* else lost, doubled or out of order */
    m->cursor = offset;
    sum.pubs++;
}

static void on_subscribed(struct client *c, size_t ch, const struct json *r)
{
    struct model_sub *m = &c->subs[ch];
    const struct json *pubs = json_get(r, "publications");
    uint64_t offset = 0;
    bool recovered = false;

    assert_true(m->asked && !m->active);
    m->active = true;
    assert_true(!json_get(r, "offset") || json_u64(json_get(r, "offset"), &offset));
    assert_true(!json_get(r, "recovered") || json_bool(json_get(r, "recovered"), &recovered));
    if (recovered) {
        assert_true(m->recover);
        assert_int_equal(offset, m->cursor);
        sum.recovered++;
    } else {
        assert_true(!m->recover || has_gap(ch, m->cursor)); /* told without a reason */
        assert_null(pubs);
        sum.told += m->recover;
        m->cursor = offset;
    }
    for (size_t i = 0; i < json_size(pubs); i++)
        on_pub(c, ch, json_at(pubs, i));
}

static void on_reply(struct client *c, const struct json *j)
{
    const struct json *push = json_get(j, "push");
    struct slice name;
    uint64_t id;

    if (push) {
        size_t ch;
        assert_true(json_text(json_get(push, "channel"), &name));
        ch = channel_index(name);
        if (json_get(push, "pub")) {
            on_pub(c, ch, json_get(push, "pub"));
            return;
        }
        assert_non_null(json_get(push, "unsubscribe"));
        assert_true(c->subs[ch].active);
        assert_true(has_gap(ch, c->subs[ch].cursor));
        c->subs[ch].active = c->subs[ch].asked = false;
        sum.unsubscribed++;
        return;
    }
    if (!json_get(j, "id"))
        return; /* a ping */
    assert_true(json_u64(json_get(j, "id"), &id));
    assert_null(json_get(j, "error"));
    if (json_get(j, "subscribe"))
        on_subscribed(c, id % CHANNELS, json_get(j, "subscribe"));
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
}

/* ---- what may happen ---- */

static void come(struct client *c)
{
    memset(c->subs, 0, sizeof(c->subs));
    c->next_id = 1;
    fake_open(&x, &c->conn);
    fake_say(&x, &c->conn, "{\"id\":1,\"connect\":{}}");
}

static void go(struct client *c)
{
    size_t who = (size_t)(c - clients);

    read_all(c);
    for (size_t i = 0; i < CHANNELS; i++)
        if (c->subs[i].active)
            cursors[who][i] = c->subs[i].cursor;
    fake_close(&c->conn);
}

static void subscribe(struct client *c, size_t ch)
{
    struct model_sub *m = &c->subs[ch];
    char text[200];

    if (m->asked)
        return;
    *m = (struct model_sub){.asked = true, .cursor = cursors[c - clients][ch]};
    m->recover = m->cursor && rnd(8);
    c->next_id += CHANNELS;
    snprintf(text, sizeof(text),
             "{\"id\":%u,\"subscribe\":{\"channel\":\"%s\",\"recover\":%s,\"epoch\":\"" FAKE_LOG
             "\",\"offset\":%llu}}",
             (unsigned)(c->next_id - c->next_id % CHANNELS + ch), channel(ch),
             m->recover ? "true" : "false", (unsigned long long)m->cursor);
    fake_say(&x, &c->conn, text);
}

static void unsubscribe(struct client *c, size_t ch)
{
    char text[100];

    read_all(c);
    if (!c->subs[ch].active || c->conn.choked || c->conn.s->out.n)
        return; /* what is still on its way would confuse the model */
    cursors[c - clients][ch] = c->subs[ch].cursor;
    c->subs[ch] = (struct model_sub){0};
    snprintf(text, sizeof(text), "{\"id\":7,\"unsubscribe\":{\"channel\":\"%s\"}}", channel(ch));
    fake_say(&x, &c->conn, text);
}

static void disturb(void)
{
    struct fake_stream *s = &x.feed.streams[rnd(FAKE_PARTS)];

    switch (rnd(12)) {
    case 0:
        fake_trim(s, 60 + rnd(200));
        break;
    case 1:
        if (!rnd(40))
            fake_lose(&x, channel(rnd(CHANNELS)));
        break;
    case 2:
        fake_write(&x, channel(rnd(CHANNELS)), rnd(3000), false);
        fake_restart(&x, s);
        break;
    case 3:
    case 4:
        plog_evict(s->p, x.feed.turns);
        break;
    case 5:
        plog_evict_page(s->p, x.feed.turns);
        break;
    default:
        break;
    }
}

static void client_step(struct client *c)
{
    uint32_t what = rnd(20);

    if (!c->conn.s) {
        come(c);
    } else if (c->conn.close_code) {
        fail_msg("closed with %u", (unsigned)c->conn.close_code);
    } else if (what == 0) {
        go(c);
    } else if (what < 8) {
        subscribe(c, rnd(CHANNELS));
    } else if (what == 8) {
        unsubscribe(c, rnd(CHANNELS));
    } else if (what < 13) {
        c->conn.room = rnd(20000);
        sum.chokes++;
    } else if (c->conn.choked) {
        fake_drain(&c->conn, 1 + rnd(30000));
    }
    if (c->conn.s)
        read_all(c);
}

static void write_some(void)
{
    for (uint32_t n = rnd(6); n-- > 0;)
        fake_write(&x, channel(rnd(CHANNELS)), rnd(10) ? rnd(400) : rnd(20000), true);
}

/* The edge's clients all leave; later they resume in one turn, on channels new to the edge, while
 * the pages of before are still there. */
static void storm(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].conn.s)
            go(&clients[i]);
    fake_turn(&x);
    write_some();
    for (size_t i = 0; i < CLIENTS; i++) {
        come(&clients[i]);
        for (size_t ch = 0; ch < CHANNELS; ch++)
            if (rnd(3))
                subscribe(&clients[i], ch);
    }
}

static void step(void)
{
    if (rnd(200) == 0)
        storm();
    write_some();
    client_step(&clients[rnd(CLIENTS)]);
    disturb();
    if (rnd(3) == 0)
        fake_serve(&x);
    if (rnd(3))
        fake_turn(&x);
}

/* Everybody reads all; then each that is subscribed must have everything. */
static void check_end(void)
{
    for (size_t i = 0; i < FAKE_PARTS; i++)
        fake_signal(&x.feed, x.feed.streams[i].p);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            if (!clients[i].conn.s)
                continue;
            clients[i].conn.room = SIZE_MAX;
            fake_drain(&clients[i].conn, SIZE_MAX);
        }
        for (size_t ch = 0; ch < CHANNELS; ch++) /* a record behind any lost one: it tells */
            fake_write(&x, channel(ch), 1, true);
        fake_settle(&x);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        if (!c->conn.s)
            continue;
        read_all(c);
        for (size_t ch = 0; ch < CHANNELS; ch++) {
            assert_true(c->subs[ch].asked == c->subs[ch].active);
            if (c->subs[ch].active)
                assert_null(next_rec(ch, c->subs[ch].cursor));
        }
    }
}

static void run(uint64_t seed)
{
    print_message("seed %llu\n", (unsigned long long)seed);
    rng = seed;
    memset(cursors, 0, sizeof(cursors));
    memset(clients, 0, sizeof(clients));
    fake_init(&x, 0);
    x.conf.write_max = seed % 2 ? 4096 : 20000;
    for (size_t i = 0; i < STEPS; i++)
        step();
    check_end();
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].conn.s)
            go(&clients[i]);
    fake_done(&x);
}

static void test_random(void **state)
{
    const char *one = getenv("FANFARE_TEST_SEED");
    const char *many = getenv("FANFARE_TEST_SEEDS");
    uint64_t seeds = many ? strtoull(many, NULL, 10) : SEEDS;

    (void)state;
    memset(&sum, 0, sizeof(sum));
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run(seed);
    print_message("%zu publications, %zu recovered, %zu told, %zu unsubscribed\n", sum.pubs,
                  sum.recovered, sum.told, sum.unsubscribed);
    /* the runs must have met what they are for */
    assert_true(sum.pubs > 10000 && sum.chokes > 100);
    assert_true(sum.recovered > 100 && sum.told > 10 && sum.unsubscribed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
