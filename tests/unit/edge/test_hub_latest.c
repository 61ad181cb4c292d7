/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_latest.c: resumes in a namespace with history latest: the newest record behind the
 * cursor, wherever it is, and no gap for what is gone before it.
 * length: one promise, and the rig that all of it shares
 */
#include "tests/unit/edge/hub_case.h"

static uint64_t random_state = 88172645463325252;

static uint64_t rnd(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static void begin_latest(void)
{
    begin(100);
    x.ns_conf[FAKE_DEFAULT].history = NS_HISTORY_LATEST;
}

static void write_some(const char *channel, int n, bool seen)
{
    for (int i = 0; i < n; i++) {
        fake_write(&x, channel, 1, seen);
        fake_write(&x, neighbour(channel), 1, seen);
    }
}

/* The reply to subscribe_at(…, asked): recovered, with the record at `pos` alone; 0: with none. */
static void expect_latest(uint64_t asked, uint64_t pos)
{
    const char *text = take_text(&c);
    uint64_t got[4];
    char head[200];

    snprintf(head, sizeof(head),
             "{\"id\":2,\"subscribe\":{" HEAD
             ",\"offset\":%llu,\"was_recovering\":true,\"recovered\":true",
             (unsigned long long)asked);
    assert_non_null(strstr(text, head));
    assert_null(strstr(text, "gap"));
    assert_int_equal(positions(text, got, ARRAY_LEN(got)), pos ? 1 : 0);
    if (pos)
        assert_int_equal(got[0], pos);
}

static void expect_live(const char *channel)
{
    uint64_t got[4], pos = fake_write(&x, channel, 1, true);

    fake_settle(&x);
    assert_int_equal(positions(take_text(&c), got, ARRAY_LEN(got)), 1);
    assert_int_equal(got[0], pos);
}

static void test_from_memory(void **state)
{
    uint64_t last;

    (void)state;
    begin_latest();
    write_some("a", 9, true);
    last = fake_write(&x, "a", 1, true);
    fake_write(&x, neighbour("a"), 1, true);
    fake_settle(&x);
    subscribe_at("a", 100);
    fake_settle(&x);
    expect_latest(100, last);
    expect_live("a");
    end();
}

static void test_nothing_newer(void **state)
{
    uint64_t last;

    (void)state;
    begin_latest();
    last = fake_write(&x, "a", 1, true);
    fake_write(&x, neighbour("a"), 1, true);
    subscribe_at("a", last);
    fake_settle(&x);
    expect_latest(last, 0);
    expect_live("a");
    end();
}

static void test_from_the_region(void **state)
{
    uint64_t last;

    (void)state;
    begin_latest();
    write_some("a", 20, false);
    last = fake_write(&x, "a", 1, false);
    for (int i = 0; i < 30; i++)
        fake_write(&x, neighbour("a"), 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100);
    fake_settle(&x);
    expect_latest(100, last);
    expect_live("a");
    end();
}

/* What is gone is older than the latest: nothing is missing. */
static void test_behind_what_is_gone(void **state)
{
    uint64_t last;

    (void)state;
    begin_latest();
    write_some("a", 20, false);
    last = fake_write(&x, "a", 1, false);
    write_some(neighbour("a"), 2, false);
    fake_trim(fake_stream_of(&x, "a"), 8);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100);
    fake_settle(&x);
    expect_latest(100, last);
    end();
}

/* The latest may be among what is gone. */
static void test_told_if_nothing_is_left(void **state)
{
    char expect[200];

    (void)state;
    begin_latest();
    write_some("a", 3, false);
    for (int i = 0; i < 20; i++)
        fake_write(&x, neighbour("a"), 1, false);
    fake_trim(fake_stream_of(&x, "a"), 8);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100);
    fake_settle(&x);
    snprintf(expect, sizeof(expect),
             "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":%llu,\"was_recovering\":true,"
             "\"gap\":{\"from\":100,\"to\":%llu}}}\n",
             (unsigned long long)fake_stream_of(&x, "a")->last,
             (unsigned long long)fake_stream_of(&x, "a")->last);
    assert_string_equal(take_text(&c), expect);
    end();
}

static void test_without_a_cursor_of_this_log(void **state)
{
    static const char *const epochs[] = {"", "LogAAAAB", "_"};
    char text[200], expect[300];
    uint64_t last, got[2];

    (void)state;
    begin_latest();
    fake_write(&x, neighbour("a"), 1, true);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true}}");
    fake_settle(&x); /* there is none yet */
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    fake_say(&x, &c, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    write_some("a", 5, true);
    last = fake_write(&x, "a", 1, true);
    for (size_t i = 0; i < ARRAY_LEN(epochs); i++) {
        fake_settle(&x);
        take_text(&c);
        snprintf(text, sizeof(text),
                 "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"%s\","
                 "\"offset\":5000}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"b\"}}",
                 epochs[i]);
        fake_say(&x, &c, text);
        fake_settle(&x);
        snprintf(expect, sizeof(expect),
                 "{" HEAD ",\"offset\":%llu,\"was_recovering\":true,\"recovered\":true,",
                 (unsigned long long)last);
        assert_non_null(strstr(c.text.p, expect));
        assert_int_equal(positions(take_text(&c), got, 2), 1);
        assert_int_equal(got[0], last);
        fake_say(&x, &c, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    }
    end();
}

/* Of many channels at once, no more goes into a client's replies than it may be written at a time;
 * the others' records are pushed. */
static void test_many_at_once(void **state)
{
    uint64_t got[20], sum = 0;
    char text[3000];
    size_t at = 0;

    (void)state;
    begin_latest();
    x.conf.write_max = 4096;
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "q%d", i);
        sum += fake_write(&x, text, 3000, true);
    }
    fake_settle(&x);
    for (int i = 0; i < 10; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "{\"id\":%d,\"subscribe\":{\"channel\":\"q%d\",\"recover\":true,"
                               "\"epoch\":\"%s\",\"offset\":%d}}\n",
                               i + 2, i, i % 2 ? FAKE_LOG : "", i % 2 ? 100 : 0);
    text[at - 1] = '\0';
    fake_say(&x, &c, text);
    fake_settle(&x);
    assert_in_range(c.write_max, 3000, 10000);
    assert_int_equal(positions(c.text.p, got, ARRAY_LEN(got)), 10);
    for (int i = 0; i < 10; i++)
        sum -= got[i];
    assert_int_equal(sum, 0);
    at = 0;
    for (const char *p = take_text(&c); (p = strstr(p, "\"recovered\":true")); p++)
        at++;
    assert_int_equal(at, 10);
    end();
}

/* A first subscription asks for nothing, and is given nothing. */
static void test_without_recover(void **state)
{
    (void)state;
    begin_latest();
    write_some("a", 5, true);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    assert_null(strstr(take_text(&c), "publications"));
    expect_live("a");
    end();
}

/* The edge begins behind what was written, Kafka has all of it. */
static void begin_at_end(const char *channel)
{
    struct fake_stream *s = fake_stream_of(&x, channel);

    fake_restart(&x, s);
    atomic_store(&s->p->kafka_low, 1);
    atomic_store(&s->p->kafka_end, s->last);
}

/* Until what isn't known is answered, and no page comes. */
static void pass_without_pages(const char *channel)
{
    for (int i = 0; i < 22; i++) {
        x.now_ms += 100;
        atomic_store(&fake_stream_of(&x, channel)->p->beacon_ms, x.now_ms);
        hub_tick(&x.hub, x.now_ms);
        fake_turn(&x);
    }
}

/* No page comes in time: Kafka has all of it, so the reply says so, and the latest is pushed. */
static void test_found_late(void **state)
{
    uint64_t last, got[8];
    size_t n;

    (void)state;
    begin_latest();
    write_some("a", 20, false);
    last = fake_write(&x, "a", 1, false);
    begin_at_end("a");
    subscribe_at("a", 100);
    pass_without_pages("a");
    expect_latest(100, 0);
    fake_settle(&x);
    n = positions(take_text(&c), got, ARRAY_LEN(got));
    assert_in_range(n, 1, 6); /* of each page its last */
    assert_int_equal(got[n - 1], last);
    expect_live("a");
    end();
}

/* What a client has of another log isn't the latest of this one, as long as none was found. */
static void test_another_log_and_found_late(void **state)
{
    uint64_t last, got[8];
    const char *text;
    size_t n;

    (void)state;
    begin(0);
    x.ns_conf[FAKE_DEFAULT].history = NS_HISTORY_LATEST;
    write_some("a", 20, false);
    last = fake_write(&x, "a", 1, false);
    begin_at_end("a");
    fake_say(&x, &c,
             "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"LogAAAAB\","
             "\"offset\":110}}");
    pass_without_pages("a");
    text = take_text(&c);
    assert_non_null(strstr(text, "{" HEAD ",\"was_recovering\":true}}"));
    fake_settle(&x);
    n = positions(take_text(&c), got, ARRAY_LEN(got));
    assert_in_range(n, 1, 6);
    assert_int_equal(got[n - 1], last);
    expect_live("a");
    end();
}

/* The same, and its time is up before it could be looked at all. */
static void test_another_log_and_known_late(void **state)
{
    struct fake_stream *s;

    (void)state;
    begin_latest();
    write_some(neighbour("a"), 20, false);
    begin_at_end("a");
    s = fake_stream_of(&x, "a");
    x.feed.hide = 1; /* the topic isn't known */
    fake_say(&x, &c,
             "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"LogAAAAB\","
             "\"offset\":110}}");
    fake_turn(&x);
    fake_say(&x, &c, "{\"id\":3,\"history\":{\"channel\":\"a\",\"limit\":0}}");
    fake_turn(&x); /* now it is, but not to the one that waits */
    x.now_ms += ANSWER_MS;
    atomic_store(&s->p->beacon_ms, x.now_ms);
    hub_tick(&x.hub, x.now_ms);
    fake_turn(&x);
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    end();
}

/* While Kafka is asked for what the region lacked, the region loses the next stretch, with the
 * latest in it, and another reader's page shows what is behind that. */
static void test_another_hole_meanwhile(void **state)
{
    struct fake_stream *s;
    uint64_t upto, last;

    (void)state;
    begin_latest();
    s = fake_stream_of(&x, "a");
    for (int i = 0; i < 12; i++)
        fake_write(&x, neighbour("a"), 1, false);
    fake_trim_region(s, 6);
    fake_restart(&x, s);
    upto = s->last;
    subscribe_at("a", 100);
    for (int i = 0; i < 2; i++) {
        while (!x.feed.wants_n[s->p->id]) /* who was given a page asks in the next turn */
            fake_turn(&x);
        assert_int_equal(x.feed.wants[s->p->id][0].region, !i);
        if (!i)
            fake_serve(&x);
    }
    last = fake_write(&x, "a", 1, false);
    for (int i = 0; i < 6; i++)
        fake_write(&x, neighbour("a"), 1, false);
    fake_trim_region(s, 5);
    fake_catch_up(&x, s);
    feed_want(&x.feed, 0, s->p, upto, PLOG_WANT_REGION);
    fake_settle(&x);
    expect_latest(100, last);
    expect_live("a");
    end();
}

/* Of all that Kafka ever had. */
static const struct fake_rec *newest_after(const struct fake_stream *s, uint64_t pos)
{
    for (size_t i = s->n; i-- > 0 && s->v[i].pos > pos;)
        if (!strcmp(s->v[i].channel, "a"))
            return &s->v[i];
    return NULL;
}

static bool is_gone_after(const struct fake_stream *s, uint64_t pos)
{
    for (size_t i = s->n; i-- > 0 && s->v[i].pos > pos;)
        if (s->v[i].lost || i < s->first)
            return true;
    return false;
}

/* In memory, in Redis, or nowhere: the newest that there ever was, or told. */
static void test_at_random(void **state)
{
    size_t found = 0, told = 0;

    (void)state;
    begin_latest();
    x.hub.scan_steps = 16;
    for (int i = 0; i < 1500; i++) {
        struct fake_stream *s = fake_stream_of(&x, "a");
        const struct fake_rec *want;
        uint64_t at, got[2];
        const char *text;
        for (uint64_t k = rnd(30); k; k--)
            fake_write(&x, rnd(12) ? neighbour("a") : "a", 1, rnd(40));
        if (!rnd(3))
            fake_restart(&x, s);
        if (!rnd(8))
            fake_trim(s, 1 + rnd(60));
        if (!rnd(20)) {
            fake_lose(&x, "a");
            fake_write(&x, neighbour("a"), 1, true);
        }
        fake_catch_up(&x, s);
        fake_settle(&x);
        at = plog_view(s->p).upto - rnd(plog_view(s->p).upto - 100 + 1);
        want = newest_after(s, at);
        subscribe_at("a", at);
        fake_settle(&x);
        text = take_text(&c);
        if (strstr(text, "\"recovered\":true")) {
            assert_int_equal(positions(text, got, 2), want ? 1 : 0);
            assert_true(!want || (got[0] == want->pos && !want->lost));
            found++;
        } else {
            assert_true(is_gone_after(s, at));
            assert_non_null(strstr(text, "\"gap\":"));
            told++;
        }
        say_expect("{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}",
                   "{\"id\":3,\"unsubscribe\":{}}\n");
    }
    print_message("%zu found, %zu told\n", found, told);
    assert_true(found > 500 && told > 20);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_memory),
        cmocka_unit_test(test_nothing_newer),
        cmocka_unit_test(test_from_the_region),
        cmocka_unit_test(test_behind_what_is_gone),
        cmocka_unit_test(test_told_if_nothing_is_left),
        cmocka_unit_test(test_without_a_cursor_of_this_log),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_without_recover),
        cmocka_unit_test(test_found_late),
        cmocka_unit_test(test_another_hole_meanwhile),
        cmocka_unit_test(test_another_log_and_found_late),
        cmocka_unit_test(test_another_log_and_known_late),
        cmocka_unit_test(test_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
