/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_slow.c: what slow_clients makes of a client that reads slowly: every record
 * comes, or is told, or the client is closed in time and for no other reason.
 */
#include "edge-node/edge_metric.h"
#include "tests/unit/edge/hub_case.h"

static uint64_t random_state;

static uint64_t rnd(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static int64_t skips_counted(void)
{
    return metric_read(&edge_metrics.slow_skips);
}

static void begin_with(int policy)
{
    begin(100);
    x.ns_conf[FAKE_DEFAULT].slow_clients = policy;
    x.ns_conf[FAKE_DEFAULT].slow_time = 10000;
    x.conf.write_max = 4096;
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
}

/* Twenty records of 1 KB to a client that takes five; returns the last position that it got. */
static uint64_t choke(void)
{
    uint64_t pos[20];
    size_t n;

    c.room = 5000;
    for (int i = 0; i < 20; i++)
        fake_write(&x, "a", 1000, true);
    fake_settle(&x);
    assert_true(c.choked && c.wants);
    n = positions(take_text(&c), pos, ARRAY_LEN(pos));
    assert_in_range(n, 1, 19);
    return pos[n - 1];
}

/* ---- latest ---- */

static void expect_latest(uint64_t from, uint64_t at)
{
    char gap[100], tag[100];
    const char *text = take_text(&c);
    uint64_t pos[20];

    assert_int_equal(positions(text, pos, ARRAY_LEN(pos)), 1);
    assert_int_equal(pos[0], at);
    snprintf(gap, sizeof(gap), ",\"gap\":{\"from\":%llu,\"to\":%llu},", (unsigned long long)from,
             (unsigned long long)at - 1);
    snprintf(tag, sizeof(tag), "\"tags\":{\"fanfare-gap\":\"%llu-%llu\"}}",
             (unsigned long long)from, (unsigned long long)at - 1);
    assert_non_null(strstr(text, gap));
    assert_non_null(strstr(text, tag));
}

static void test_latest_skips(void **state)
{
    int64_t skips = skips_counted();
    uint64_t had, last;

    (void)state;
    begin_with(NS_SLOW_LATEST);
    had = choke();
    last = fake_write(&x, "a", 10, true);
    fake_write(&x, neighbour("a"), 10, true);
    fake_settle(&x);
    fake_drain(&c, SIZE_MAX);
    fake_settle(&x);
    expect_latest(had, last);
    assert_int_equal(skips_counted(), skips + 1);
    last = fake_write(&x, "a", 10, true); /* live again, and nothing is told any more */
    fake_settle(&x);
    {
        const char *text = take_text(&c);
        uint64_t pos[2];
        assert_int_equal(positions(text, pos, 2), 1);
        assert_int_equal(pos[0], last);
        assert_null(strstr(text, "gap"));
    }
    end();
}

/* One record owed: it comes, and there is nothing to tell. */
static void test_latest_of_one(void **state)
{
    const char *text;
    uint64_t pos[2], last;

    (void)state;
    begin_with(NS_SLOW_LATEST);
    c.room = 100;
    fake_write(&x, "a", 200, true);
    fake_settle(&x);
    take_text(&c);
    last = fake_write(&x, "a", 10, true);
    fake_settle(&x);
    fake_drain(&c, SIZE_MAX);
    fake_settle(&x);
    text = take_text(&c);
    assert_int_equal(positions(text, pos, 2), 1);
    assert_int_equal(pos[0], last);
    assert_null(strstr(text, "gap"));
    end();
}

/* What was skipped left the edge's memory meanwhile: nobody fetches it. */
static void test_latest_beyond_the_plog(void **state)
{
    uint64_t had, last;

    (void)state;
    begin_with(NS_SLOW_LATEST);
    had = choke();
    fake_restart(&x, fake_stream_of(&x, "a"));
    last = fake_write(&x, "a", 10, true);
    fake_settle(&x);
    fake_drain(&c, SIZE_MAX);
    fake_settle(&x);
    expect_latest(had, last);
    end();
}

/* Its pages brought it further than this edge has read: it took all there is, so it is slow no
 * more, and is owed each record again. */
static void test_ahead_is_not_slow(void **state)
{
    struct fake_stream *s;
    uint64_t pos[8], first;

    (void)state;
    begin_with(NS_SLOW_LATEST);
    x.feed.page_records = 100;
    choke();
    s = fake_stream_of(&x, "a");
    fake_restart(&x, s);
    fake_write(&x, "a", 10, false);
    fake_drain(&c, SIZE_MAX);
    fake_settle(&x);
    take_text(&c);
    first = fake_write(&x, "a", 10, false);
    for (int i = 0; i < 2; i++)
        fake_write(&x, "a", 10, false);
    fake_catch_up(&x, s);
    fake_settle(&x);
    assert_int_equal(positions(take_text(&c), pos, ARRAY_LEN(pos)), 3);
    assert_int_equal(pos[0], first);
    end();
}

/* From and to of the gap that belongs to the publication at p; false: it has none. */
static bool gap_of(const char *p, uint64_t *from, uint64_t *to)
{
    const char *end = strchr(p, '\n'), *g = strstr(p, "\"gap\":{\"from\":");

    if (!g || g > end)
        return false;
    *from = strtoull(g + 14, NULL, 10);
    *to = strtoull(strstr(g, "\"to\":") + 5, NULL, 10);
    return true;
}

/* Every record of "a" up to `upto` came or is in a told gap; what came ascends. */
static size_t assert_all_or_told(const char *text, uint64_t upto)
{
    const struct fake_stream *s = fake_stream_of(&x, "a");
    uint64_t at = 100, told = 0;
    size_t i = 0, count = 0;

    for (const char *p = text; (p = strstr(p, "{\"n\":")); p++) {
        uint64_t pos = strtoull(p + 5, NULL, 10), from = 0, to = 0;
        assert_true(pos > at);
        if (gap_of(p, &from, &to)) {
            assert_int_equal(to, pos - 1);
            assert_true(from >= at);
            told++;
        }
        for (; i < s->n && s->v[i].pos < pos; i++)
            if (!strcmp(s->v[i].channel, "a"))
                assert_true(s->v[i].pos > from && s->v[i].pos <= to);
        i++;
        at = pos;
        count++;
    }
    assert_int_equal(at, upto);
    assert_true(told > 0 && count > told);
    return count;
}

static void test_latest_at_random(void **state)
{
    static struct buf all;
    uint64_t last;

    (void)state;
    random_state = 88172645463325252;
    begin_with(NS_SLOW_LATEST);
    x.hub.scan_steps = 16; /* links often don't reach */
    for (int i = 0; i < 4000; i++) {
        uint64_t what = rnd(12);
        if (what < 6)
            fake_write(&x, "a", rnd(900), true);
        else if (what < 9)
            fake_write(&x, neighbour("a"), 5, true);
        else if (what == 9 && !rnd(4))
            fake_restart(&x, fake_stream_of(&x, "a"));
        else if (what == 10)
            c.room = rnd(4000);
        else if (c.choked)
            fake_drain(&c, rnd(6000));
        if (rnd(2))
            fake_settle(&x);
        buf_str(&all, take_text(&c));
    }
    while (c.choked || c.wants) {
        fake_drain(&c, SIZE_MAX);
        fake_settle(&x);
    }
    last = fake_write(&x, "a", 1, true);
    fake_settle(&x);
    buf_str(&all, take_text(&c));
    buf_byte(&all, 0);
    assert_null(strstr(all.p, "unsubscribe"));
    assert_all_or_told(all.p, last);
    buf_done(&all);
    end();
}

/* ---- disconnect ---- */

static void test_disconnect_in_time(void **state)
{
    (void)state;
    begin_with(NS_SLOW_DISCONNECT);
    choke();
    fake_pass(&x, 9800);
    assert_int_equal(c.close_code, 0);
    fake_pass(&x, 400);
    assert_int_equal(c.close_code, DISCONNECT_SLOW);
    end();
}

/* What was buffered is in the kernel now, which doesn't call the socket writable yet. */
static void test_disconnect_of_one_that_is_not_choked(void **state)
{
    (void)state;
    begin_with(NS_SLOW_DISCONNECT);
    choke();
    c.choked = false;
    fake_pass(&x, 10200);
    assert_int_equal(c.close_code, DISCONNECT_SLOW);
    end();
}

/* It keeps reading, but never catches up: the time runs on. */
static void test_disconnect_of_a_reader(void **state)
{
    (void)state;
    begin_with(NS_SLOW_DISCONNECT);
    choke();
    for (int i = 0; i < 120 && !c.close_code; i++) {
        for (int k = 0; k < 6; k++) /* a write takes four */
            fake_write(&x, "a", 1000, true);
        fake_drain(&c, 1000);
        fake_settle(&x);
        fake_pass(&x, 100);
    }
    assert_int_equal(c.close_code, DISCONNECT_SLOW);
    end();
}

static void test_no_disconnect_once_live(void **state)
{
    (void)state;
    begin_with(NS_SLOW_DISCONNECT);
    for (int i = 0; i < 4; i++) {
        choke();
        fake_pass(&x, 6000);
        while (c.choked || c.wants) {
            fake_drain(&c, SIZE_MAX);
            fake_settle(&x);
        }
        take_text(&c);
    }
    assert_int_equal(c.close_code, 0);
    end();
}

/* Who waits for older records, and reads well, isn't slow. */
static void test_no_disconnect_while_records_are_fetched(void **state)
{
    struct fake_stream *s;

    (void)state;
    begin_with(NS_SLOW_DISCONNECT);
    choke();
    s = fake_stream_of(&x, "a");
    fake_restart(&x, s);
    c.room = SIZE_MAX;
    c.choked = false;
    session_on_writable(c.s);
    for (int i = 0; i < 150; i++) { /* no page comes */
        x.now_ms += 100;
        hub_tick(&x.hub, x.now_ms);
        fake_turn(&x);
        if (!(i % 50))
            fake_say(&x, &c, "{}"); /* its pong */
    }
    assert_int_equal(c.close_code, 0);
    fake_settle(&x);
    end();
}

static void test_catch_up_is_never_closed(void **state)
{
    (void)state;
    begin_with(NS_SLOW_CATCH_UP);
    choke();
    x.ns_conf[FAKE_DEFAULT].slow_time = 100;
    fake_pass(&x, 15000);
    assert_int_equal(c.close_code, 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latest_skips),
        cmocka_unit_test(test_latest_of_one),
        cmocka_unit_test(test_latest_beyond_the_plog),
        cmocka_unit_test(test_ahead_is_not_slow),
        cmocka_unit_test(test_latest_at_random),
        cmocka_unit_test(test_disconnect_in_time),
        cmocka_unit_test(test_disconnect_of_one_that_is_not_choked),
        cmocka_unit_test(test_disconnect_of_a_reader),
        cmocka_unit_test(test_no_disconnect_once_live),
        cmocka_unit_test(test_no_disconnect_while_records_are_fetched),
        cmocka_unit_test(test_catch_up_is_never_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
