/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_older.c: many who resume at once: none is missed, none is held back by the others, and
 * what a turn costs is bounded. Over a feed made by the test.
 */
#include "common/io/token.h"

#include "tests/unit/edge/edge_tokens.h"
#include "tests/unit/edge/hub_case.h"

static void say_at(struct fake_conn *conn, unsigned id, const char *channel, uint64_t offset)
{
    char text[200];

    (void)snprintf(text, sizeof(text),
                   "{\"id\":%u,\"subscribe\":{\"channel\":\"%s\",\"recover\":true,"
                   "\"epoch\":\"" FAKE_LOG "\",\"offset\":%llu}}",
                   id, channel, (unsigned long long)offset);
    fake_say(&x, conn, text);
}

/* ---- two channels that begin in the same turn, on one page ---- */

/* hide: the call of feed_topic() in that turn for which the topic isn't known yet. */
static void two_new_channels_share_a_page(uint32_t hide)
{
    char other[16], *first, *second;

    begin(100);
    x.feed.page_records = 100; /* all in one page */
    (void)snprintf(other, sizeof(other), "%s", neighbour("a"));
    for (int i = 0; i < 8; i++)
        fake_write(&x, i % 2 ? "a" : other, 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100); /* has the page fetched, and leaves */
    fake_settle(&x);
    take_text(&c);
    say_expect("{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}", "{\"id\":3,\"unsubscribe\":{}}\n");
    say_at(&c, 4, "a", 100);
    say_at(&c, 5, other, 100);
    x.feed.hide = hide;
    fake_turn(&x);
    fake_pass(&x, 200);
    first = mem_strdup(take_text(&c));
    second = strchr(first, '\n');
    assert_non_null(second);
    *second++ = '\0';
    assert_all_after(strstr(first, "\"id\":4") ? "a" : other, 100, first);
    assert_all_after(strstr(first, "\"id\":4") ? other : "a", 100, second);
    free(first);
    end();
}

static void test_two_new_channels_share_a_page(void **state)
{
    (void)state;
    for (uint32_t hide = 0; hide < 5; hide++)
        two_new_channels_share_a_page(hide);
}

/* ---- one that comes behind many ---- */

#define RESUMERS 120

static struct fake_conn many[RESUMERS];

static void connect_many(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fake_open(&x, &many[i]);
        fake_say(&x, &many[i], "{\"id\":1,\"connect\":{}}");
    }
    fake_turn(&x);
    for (size_t i = 0; i < n; i++)
        buf_clear(&many[i].text);
}

static void close_many(size_t n)
{
    for (size_t i = 0; i < n; i++)
        fake_close(&many[i]);
}

#define LONG_RESUMERS 30

/* Long resumes, each somewhere else on the same partition, one page after the other. */
static void test_a_newcomer_is_not_held_back(void **state)
{
    char other[16];
    int rounds = 0;

    (void)state;
    begin(100);
    (void)snprintf(other, sizeof(other), "%s", neighbour("a"));
    for (int i = 0; i < 40; i++)
        fake_write(&x, other, 1, false);
    for (int i = 0; i < 7 * 40 * LONG_RESUMERS; i++)
        fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    connect_many(LONG_RESUMERS);
    for (size_t i = 0; i < LONG_RESUMERS; i++)
        say_at(&many[i], 2, "a", fake_stream_of(&x, "a")->v[40 + 280 * i].pos);
    for (int i = 0; i < 20; i++) {
        fake_turn(&x);
        fake_serve(&x);
    }
    say_at(&c, 2, other, 100);
    for (; !c.text.n && rounds < 100; rounds++) {
        fake_turn(&x);
        fake_serve(&x);
    }
    assert_in_range(rounds, 1, 2 + LONG_RESUMERS / PLOG_WANTS);
    fake_settle(&x);
    assert_all_after(other, 100, take_text(&c));
    for (size_t i = 0; i < LONG_RESUMERS; i++)
        assert_all_after("a", fake_stream_of(&x, "a")->v[40 + 280 * i].pos, take_text(&many[i]));
    close_many(LONG_RESUMERS);
    end();
}

/* ---- a reconnect storm on one busy channel, all of it in the plog ---- */

static void test_a_storm_on_a_busy_channel(void **state)
{
    const struct fake_stream *s;
    uint32_t most = 0;

    (void)state;
    begin(100);
    for (int i = 0; i < 5 * SCAN_STEPS; i++)
        fake_write(&x, "a", 1, true);
    fake_turn(&x);
    s = fake_stream_of(&x, "a");
    connect_many(RESUMERS);
    for (size_t i = RESUMERS; i-- > 0;) /* each somewhere else, the newest first */
        say_at(&many[i], 2, "a", s->v[i * 25].pos);
    for (int i = 0; i < 1000 && (x.again || !i); i++) {
        fake_turn(&x);
        if (x.hub.scans_turn == x.hub.turn && x.hub.scans_n > most)
            most = x.hub.scans_n;
        if (i == 0)
            assert_true(x.hub.scans_n <= 3); /* 3000 records, twice as many positions */
    }
    assert_in_range(most, 1, SCANS_A_TURN);
    for (size_t i = 0; i < RESUMERS; i++)
        assert_all_after("a", s->v[i * 25].pos, take_text(&many[i]));
    close_many(RESUMERS);
    end();
}

/* Nor may all of them be served in one turn: what they get is in memory until its end, and the live
 * wait for it. But all are answered at once, and those who got nothing else come first in the next
 * one. */
static void test_a_storm_is_served_in_parts(void **state)
{
    size_t sum = 0, got = 0;

    (void)state;
    begin(100);
    for (int i = 0; i < 100; i++)
        fake_write(&x, "a", 1000, true);
    fake_turn(&x);
    connect_many(RESUMERS);
    for (size_t i = 0; i < RESUMERS; i++)
        say_at(&many[i], 2, "a", 100);
    fake_turn(&x);
    for (size_t i = 0; i < RESUMERS; i++) {
        sum += many[i].text.n;
        got += many[i].text.n > 1000;
        assert_in_range(many[i].text.n, 100, 2 * (size_t)x.conf.write_max);
    }
    assert_in_range(sum, PULL_A_TURN,
                    PULL_A_TURN + (size_t)x.conf.write_max + (size_t)RESUMERS * 200);
    assert_true(got < RESUMERS);
    fake_turn(&x);
    for (size_t i = 0; i < RESUMERS; i++)
        assert_true(many[i].text.n > 1000);
    fake_settle(&x);
    for (size_t i = 0; i < RESUMERS; i++)
        assert_all_after("a", 100, take_text(&many[i]));
    close_many(RESUMERS);
    end();
}

/* ---- more come back than the rate takes in ---- */

static size_t count_of(const char *word)
{
    size_t n = 0;

    for (size_t i = 0; i < 8; i++) {
        n += strstr(take_text(&many[i]), word) != NULL;
        buf_clear(&many[i].text);
    }
    return n;
}

static void resume_eight(void)
{
    for (unsigned i = 0; i < 8; i++)
        say_at(&many[i], 10 + i, "a", 100);
    fake_settle(&x);
}

static void test_resumes_are_admitted_by_rate(void **state)
{
    (void)state;
    begin(100);
    fake_write(&x, "a", 1, true);
    x.conf.resume_rate = 5;
    connect_many(8);
    resume_eight();
    assert_int_equal(count_of("\"error\":{\"code\":111,\"message\":\"too many requests\","
                              "\"temporary\":true}"),
                     3);
    fake_pass(&x, 400); /* two more */
    resume_eight();     /* the five: already subscribed */
    assert_int_equal(count_of("\"recovered\":true"), 2);
    fake_say(&x, &c, "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}"); /* no resume */
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "{\"id\":3,\"subscribe\":"));
    close_many(8);
    end();
}

/* Its token grants more channels than the rate admits in a second: a connect is one client's, and
 * begins or doesn't. Else it never would. */
static void test_a_connect_is_admitted_as_a_whole(void **state)
{
    static const char connect[] =
        "{\"id\":1,\"connect\":{\"token\":\"" TOKEN_SUBS "\",\"subs\":{"
        "\"a\":{\"recover\":true,\"epoch\":\"" FAKE_LOG "\",\"offset\":100},"
        "\"c\":{\"recover\":true,\"epoch\":\"" FAKE_LOG "\",\"offset\":100}}}}";
    struct token_keys *keys;
    char why[128];

    (void)state;
    begin(100);
    keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));
    x.hub.keys = keys;
    x.conf.resume_rate = 1;
    for (int i = 0; i < 2; i++) {
        fake_close(&c);
        fake_open(&x, &c);
        fake_say(&x, &c, connect);
        fake_settle(&x);
        assert_int_equal(c.close_code, i ? DISCONNECT_SERVER_ERROR : 0);
        assert_int_equal(strstr(take_text(&c), "\"recovered\":true") != NULL, !i);
    }
    end();
    token_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_new_channels_share_a_page),
        cmocka_unit_test(test_resumes_are_admitted_by_rate),
        cmocka_unit_test(test_a_connect_is_admitted_as_a_whole),
        cmocka_unit_test(test_a_newcomer_is_not_held_back),
        cmocka_unit_test(test_a_storm_on_a_busy_channel),
        cmocka_unit_test(test_a_storm_is_served_in_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
