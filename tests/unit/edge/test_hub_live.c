/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_live.c: the live push, slow clients, holes, the end of a log, server-side
 * subscriptions and pings, over a feed made by the test.
 */
#include <malloc.h>

#include "common/io/token.h"

#include "edge-node/publish.h"
#include "tests/unit/edge/edge_tokens.h"
#include "tests/unit/edge/hub_case.h"

/* ---- what happens to the live ---- */

static void test_gathered(void **state)
{
    size_t writes;

    (void)state;
    begin(100);
    fake_say(&x, &c,
             "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
             "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
             "{\"id\":4,\"subscribe\":{\"channel\":\"c\"}}");
    fake_settle(&x);
    take_text(&c);
    writes = c.writes;
    for (int i = 0; i < 9; i++)
        fake_write(&x, (const char *[]){"a", "b", "c"}[i % 3], 10, true);
    fake_turn(&x);
    assert_int_equal(c.writes, writes + 1); /* three channels, three records each, one write */
    {
        uint64_t pos[20];
        assert_int_equal(positions(take_text(&c), pos, 20), 9);
    }
    end();
}

/* Who has one subscription needn't be gathered; some of them, and one who has both, are choked. */
static void test_one_or_several(void **state)
{
    static struct fake_conn many[700]; /* more than go out together */
    static const char *const names[] = {"a", "b"};

    (void)state;
    begin(100);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        fake_open(&x, &many[i]);
        fake_say(&x, &many[i], "{\"id\":1,\"connect\":{}}");
        if (i % 5 != 1)
            fake_say(&x, &many[i], "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        if (i % 5 <= 1)
            fake_say(&x, &many[i], "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}");
    }
    fake_settle(&x);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        take_text(&many[i]);
        many[i].writes = 0;
        many[i].room = i % 3 ? SIZE_MAX : 1;
    }
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 8; i++)
            fake_write(&x, names[i % 2], 10, true);
        fake_turn(&x);
    }
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_int_equal(many[i].writes, i % 3 ? 3 : 1);
    for (size_t i = 0; i < ARRAY_LEN(many); i += 3)
        fake_drain(&many[i], SIZE_MAX);
    fake_settle(&x);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        uint64_t pos[30];
        assert_int_equal(positions(take_text(&many[i]), pos, 30), i % 5 ? 12 : 24);
        for (size_t k = 1; k < (i % 5 ? 12 : 4); k++) /* of each channel's in order */
            assert_true(pos[k] > pos[k - 1]);
        fake_close(&many[i]);
    }
    end();
}

static void test_choked_mid_turn(void **state)
{
    static struct buf all;

    (void)state;
    begin(100);
    x.conf.write_max = 4096;
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    buf_clear(&all);
    c.room = 5000; /* two chunks of 4 KiB: the second chokes it */
    for (int i = 0; i < 20; i++)
        fake_write(&x, "a", 1000, true);
    fake_settle(&x);
    assert_true(c.choked && c.wants);
    assert_true(c.write_max <= 4096 + 4);
    for (int i = 0; i < 5; i++) /* goes on without it */
        fake_write(&x, "a", 1000, true);
    fake_settle(&x);
    buf_str(&all, take_text(&c));
    assert_true(all.n < 10000);
    for (int i = 0; i < 100 && (c.choked || c.wants); i++) {
        fake_drain(&c, 3000);
        fake_settle(&x);
        buf_str(&all, take_text(&c));
        assert_true(c.write_max <= 2UL * 4096);
    }
    fake_write(&x, "a", 10, true);
    fake_settle(&x);
    buf_str(&all, take_text(&c));
    buf_byte(&all, 0);
    assert_all_after("a", 100, all.p);
    buf_done(&all);
    end();
}

/* A shard that was away for long: what it publishes in a turn has a bound, and no partition waits
 * until another one has nothing left. */
static void test_a_turn_is_bounded(void **state)
{
    static struct fake_conn two;
    static struct buf all;
    size_t turns = 0, got_b = 0;

    (void)state;
    begin(100);
    assert_int_not_equal(fake_part_of(&x, "a"), fake_part_of(&x, "b"));
    fake_open(&x, &two);
    fake_say(&x, &two, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"b\"}}");
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    take_text(&two);
    buf_clear(&all);
    for (int i = 0; i < 2 * 330; i++) /* 10 MiB each */
        fake_write(&x, i % 2 ? "a" : "b", KIB(30), true);
    do {
        size_t was = all.n;
        fake_turn(&x);
        buf_str(&all, take_text(&c));
        assert_true(all.n - was + two.text.n - got_b < LIVE_A_TURN + LIVE_A_TURN / 4);
        got_b = two.text.n;
        turns++;
        assert_true(turns < 2 || (all.n && got_b));
    } while (x.again);
    assert_in_range(turns, 5, 7);
    buf_byte(&all, 0);
    assert_all_after("a", 100, all.p);
    assert_all_after("b", 100, take_text(&two));
    buf_done(&all);
    fake_close(&two);
    end();
}

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* Of a hundred channels another one has a large record each turn: what turns leave behind isn't a
 * hundred of those. (A sanitizer's malloc tells nothing.) */
static void test_memory_of_turns(void **state)
{
    char text[64];
    size_t before;

    (void)state;
    begin(100);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text), "{\"id\":2,\"subscribe\":{\"channel\":\"m%d\"}}", i);
        fake_say(&x, &c, text);
    }
    fake_settle(&x);
    for (int large = 0; large < 100; large++) {
        for (int i = 0; i < 100; i++) {
            (void)snprintf(text, sizeof(text), "m%d", i);
            fake_write(&x, text, i == large ? KIB(200) : 10, true);
        }
        fake_turn(&x);
        take_text(&c);
    }
    before = in_use();
    publish_free(x.hub.publish);
    x.hub.publish = publish_new();
    assert_in_range(before - in_use(), 0, MIB(33));
    end();
}

static void test_hole_later(void **state)
{
    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    take_text(&c);
    fake_lose(&x, "a");
    fake_write(&x, "a", 1, true); /* its prev is the lost one */
    fake_settle(&x);
    assert_string_equal(take_text(&c),
                        "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,"
                        "\"reason\":\"insufficient state\",\"gap\":{\"from\":101,\"to\":103}}}}\n");
    end();
}

static void test_restart_without_loss(void **state)
{
    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    for (int i = 0; i < 20; i++) /* not read by the tail, but Redis has them */
        fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_settle(&x);
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_all_after("a", 100, take_text(&c));
    end();
}

static void test_superseded(void **state)
{
    struct topic_view *v;

    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    for (int i = 0; i < FAKE_PARTS; i++) {
        atomic_store(&x.feed.streams[i].p->state, PLOG_GONE);
        fake_signal(&x.feed, x.feed.streams[i].p);
    }
    v = x.feed.views[0];
    x.feed.views[0] = NULL;
    fake_settle(&x);
    assert_string_equal(take_text(&c),
                        "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,"
                        "\"reason\":\"insufficient state\"}}}\n");
    x.feed.views[0] = v;
    end();
}

/* ---- server-side subscriptions ---- */

static void begin_server_side(const char *subs)
{
    struct token_keys *keys;
    char why[100], text[600];

    fake_init(&x, 100);
    fake_write(&x, "a", 1, true);
    fake_write(&x, "a", 1, true);
    keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));
    assert_non_null(keys);
    x.hub.keys = keys;
    fake_open(&x, &c);
    snprintf(text, sizeof(text),
             "{\"id\":1,\"connect\":{\"token\":\"%s\"%s}}\n{\"id\":2,\"ping\":{}}", TOKEN_USER,
             subs);
    fake_say(&x, &c, text);
    fake_settle(&x);
}

static void end_server_side(void)
{
    token_keys_free((struct token_keys *)(uintptr_t)x.hub.keys);
    end();
}

static void test_server_side(void **state)
{
    const char *text;

    (void)state;
    begin_server_side("");
    text = take_text(&c);
    assert_non_null(strstr(text, "\"subs\":{\"a\":{" HEAD ",\"offset\":103}}"));
    assert_non_null(strstr(text, "}}\n{\"id\":2,\"ping\":{}}\n")); /* kept until then */
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "{\"push\":{\"channel\":\"a\",\"pub\":"));
    fake_lose(&x, "a");
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_string_equal(take_text(&c),
                        "{\"push\":{\"channel\":\"a\",\"gap\":{\"from\":106,\"to\":107}}}\n");
    assert_int_equal(c.close_code, DISCONNECT_INSUFFICIENT_STATE);
    end_server_side();
}

static void test_server_side_recovers(void **state)
{
    (void)state;
    begin_server_side(",\"subs\":{\"a\":{\"recover\":true,\"epoch\":\"" FAKE_LOG
                      "\",\"offset\":101}}");
    assert_non_null(strstr(take_text(&c), "\"subs\":{\"a\":{" HEAD
                                          ",\"offset\":101,\"was_recovering\":true,\"recovered\":"
                                          "true,\"publications\":[{\"data\":{\"n\":103,"));
    end_server_side();
}

/* ---- time ---- */

static bool is_pinged(uint64_t within_ms)
{
    for (uint64_t ms = 0; ms < within_ms; ms += 100) {
        fake_pass(&x, 100);
        if (c.text.n) {
            assert_string_equal(take_text(&c), "{}\n");
            return true;
        }
    }
    return false;
}

static void test_pings(void **state)
{
    (void)state;
    begin(100);
    assert_true(is_pinged(26000));
    fake_pass(&x, 7000);
    fake_say(&x, &c, "{}");
    assert_false(is_pinged(24000));
    assert_true(is_pinged(2000));
    assert_int_equal(c.close_code, 0);
    fake_pass(&x, 7000);
    assert_int_equal(c.close_code, 0);
    fake_pass(&x, 2000);
    assert_int_equal(c.close_code, DISCONNECT_NO_PONG);
    end();
}

static void test_no_connect(void **state)
{
    (void)state;
    fake_init(&x, 100);
    fake_open(&x, &c);
    fake_pass(&x, 4900);
    assert_int_equal(c.close_code, 0);
    fake_pass(&x, 1000);
    assert_int_equal(c.close_code, DISCONNECT_STALE);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathered),
        cmocka_unit_test(test_one_or_several),
        cmocka_unit_test(test_choked_mid_turn),
        cmocka_unit_test(test_a_turn_is_bounded),
        cmocka_unit_test(test_memory_of_turns),
        cmocka_unit_test(test_hole_later),
        cmocka_unit_test(test_restart_without_loss),
        cmocka_unit_test(test_superseded),
        cmocka_unit_test(test_server_side),
        cmocka_unit_test(test_server_side_recovers),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_no_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
