/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub.c: each way in which a subscribe is answered, over a feed made by the test.
 * test_hub_live.c goes on from there; test_hub_random.c does it at random against a model.
 */
#include "tests/unit/edge/hub_case.h"

/* ---- answers ---- */

static void test_no_cursor(void **state)
{
    (void)state;
    begin(100);
    fake_write(&x, "a", 1, true); /* old: not news */
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
               "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":101}}\n");
    assert_int_equal(fake_write(&x, "a", 1, true), 103);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"n\":103,"
                                       "\"pad\":\"0\"},\"offset\":103}}}\n");
    end();
}

static void test_inside_plog(void **state)
{
    (void)state;
    begin(100);
    fake_write(&x, "a", 1, true);
    fake_write(&x, "a", 1, true);
    subscribe_at("a", 101);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":101,"
                                       "\"was_recovering\":true,\"recovered\":true,"
                                       "\"publications\":[{\"data\":{\"n\":103,\"pad\":\"0\"},"
                                       "\"offset\":103}]}}\n");
    end();
}

static void test_older_pages(void **state)
{
    const char *text;

    (void)state;
    begin(100);
    for (int i = 0; i < 100; i++)
        fake_write(&x, i % 3 ? "a" : "b", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_restart(&x, fake_stream_of(&x, "b"));
    for (int i = 0; i < 5; i++)
        fake_write(&x, "a", 1, true);
    subscribe_at("a", 110);
    fake_turn(&x);
    assert_string_equal(take_text(&c), ""); /* waits for the first page */
    assert_true(x.feed.wants_n[fake_stream_of(&x, "a")->p->id] > 0);
    fake_settle(&x);
    text = take_text(&c);
    assert_non_null(strstr(text, "\"offset\":110,\"was_recovering\":true,\"recovered\":true"));
    assert_all_after("a", 110, text);
    fake_write(&x, "a", 1, true); /* and is live */
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"push\""));
    end();
}

static void test_trimmed(void **state)
{
    struct fake_stream *s;

    (void)state;
    begin(100);
    for (int i = 0; i < 30; i++)
        fake_write(&x, "a", 1, false);
    s = fake_stream_of(&x, "a");
    fake_trim(s, 5);
    fake_restart(&x, s);
    subscribe_at("a", s->v[s->n - 6].pos); /* the last one trimmed: covered by prev */
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"recovered\":true"));
    say_expect("{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}", "{\"id\":3,\"unsubscribe\":{}}\n");
    subscribe_at("a", s->v[s->n - 7].pos); /* one earlier: something is missing */
    fake_settle(&x);
    {
        char expect[200];
        snprintf(expect, sizeof(expect),
                 "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":%llu,\"was_recovering\":true,"
                 "\"gap\":{\"from\":%llu,\"to\":%llu}}}\n",
                 (unsigned long long)s->last, (unsigned long long)s->v[s->n - 7].pos,
                 (unsigned long long)s->last);
        assert_string_equal(take_text(&c), expect);
    }
    end();
}

static void test_ahead_of_region(void **state)
{
    struct plog *p;

    (void)state;
    begin(100);
    p = fake_stream_of(&x, "a")->p;
    atomic_store(&p->kafka_end, 110);
    subscribe_at("a", 103);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "{\"id\":2,\"subscribe\":{" HEAD
                                       ",\"offset\":103,\"was_recovering\":true,\"recovered\":"
                                       "true}}\n");
    fake_write(&x, "a", 1, true); /* 101 and 103: it has them */
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "");
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_all_after("a", 103, take_text(&c));
    end();
}

/* after_ms: when Kafka's end was so, counted from the subscribe. */
static void beyond_end(const char *channel, int after_ms, const char *expect)
{
    struct plog *p;

    begin(100);
    p = fake_stream_of(&x, channel)->p;
    atomic_store(&p->kafka_end, 110);
    subscribe_at(channel, 111);
    atomic_store(&p->end_ms, (uint64_t)((int64_t)x.hub.now_ms + after_ms));
    fake_pass(&x, 1800);
    assert_string_equal(take_text(&c), ""); /* the beacon may be late */
    fake_pass(&x, 400);
    assert_string_equal(take_text(&c), expect);
    end();
}

#define ERROR_100 \
    "{\"id\":2,\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}}\n"

static void test_beyond_kafkas_end(void **state)
{
    (void)state;
    beyond_end("a", 10,
               "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":100,\"was_recovering\":true}}\n");
    beyond_end("a", -50, ERROR_100);      /* the cursor may be younger */
    beyond_end("ahead:a", 10, ERROR_100); /* a mirror may lag */
}

static void test_epochs(void **state)
{
    static const char *const foreign[] = {"LogAAAAB", "", "_", "LogAAAAAx"};
    char text[200];

    (void)state;
    begin(100);
    fake_write(&x, "a", 1, true);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        snprintf(text, sizeof(text),
                 "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"%s\","
                 "\"offset\":100}}",
                 foreign[i]);
        say_expect(text,
                   "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":101,\"was_recovering\":true}}\n");
        say_expect("{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}",
                   "{\"id\":3,\"unsubscribe\":{}}\n");
    }
    end();
}

/* The client may come from an edge that knows a newer log: only a reading of the topic that is
 * younger than its command can tell. */
static void test_epoch_of_a_log_not_seen_yet(void **state)
{
    static const char subscribe[] =
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"LogAAAAB\","
        "\"offset\":5}}";

    (void)state;
    begin(100);
    x.feed.late = true;
    fake_say(&x, &c, subscribe);
    fake_pass(&x, 300);
    assert_string_equal(take_text(&c), "");
    x.feed.late = false; /* it was read: there is none */
    fake_pass(&x, 100);
    assert_string_equal(take_text(&c), "{\"id\":2,\"subscribe\":{" HEAD
                                       ",\"offset\":100,\"was_recovering\":true}}\n");
    say_expect("{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}", "{\"id\":3,\"unsubscribe\":{}}\n");
    x.feed.late = true; /* Redis doesn't answer */
    fake_say(&x, &c, subscribe);
    fake_pass(&x, 2100);
    assert_string_equal(take_text(&c), ERROR_100);
    fake_say(&x, &c, subscribe);
    fake_pass(&x, 300);
    fake_new_log(&x, 5);
    fake_pass(&x, 100);
    assert_string_equal(take_text(&c), ERROR_100); /* temporary: now its cursor is known */
    fake_say(&x, &c, subscribe);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"recovered\":true"));
    end();
}

static void test_epoch_without_offset(void **state)
{
    const char *text;

    (void)state;
    begin(0);
    for (int i = 0; i < 30; i++)
        fake_write(&x, "a", 1, i > 20);
    fake_say(&x, &c,
             "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"" FAKE_LOG
             "\"}}");
    fake_settle(&x);
    text = take_text(&c);
    assert_non_null(strstr(text, "\"was_recovering\":true,\"recovered\":true"));
    assert_all_after("a", 0, text);
    end();
}

static void test_no_topic(void **state)
{
    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"none:a\"}}");
    fake_pass(&x, 1800);
    assert_string_equal(take_text(&c), "");
    fake_pass(&x, 400);
    assert_string_equal(take_text(&c), ERROR_100);
    end();
}

static void test_topic_comes_late(void **state)
{
    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"none:a\"}}");
    fake_pass(&x, 1000);
    x.feed.views[FAKE_NONE] = fake_view(&x, PARTITIONER_MURMUR2);
    fake_pass(&x, 200);
    assert_string_equal(take_text(&c), "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":100}}\n");
    fake_pass(&x, 3000); /* not answered twice */
    assert_string_equal(take_text(&c), "");
    end();
}

static void test_unmapped(void **state)
{
    (void)state;
    begin(100);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"um:a\"}}",
               "{\"id\":2,\"error\":{\"code\":108,\"message\":\"not available: producers must use "
               "partitioner=murmur2_random (Java's murmur2)\"}}\n");
    x.feed.views[FAKE_UNMAPPED]->partitioner = PARTITIONER_CRC32;
    say_expect("{\"id\":3,\"history\":{\"channel\":\"um:a\"}}",
               "{\"id\":3,\"error\":{\"code\":108,\"message\":\"not available: producers must use "
               "partitioner=consistent_random (librdkafka's crc32)\"}}\n");
    x.feed.views[FAKE_UNMAPPED]->map = TOPIC_DIFFERS;
    say_expect(
        "{\"id\":4,\"subscribe\":{\"channel\":\"um:a\"}}",
        "{\"id\":4,\"error\":{\"code\":108,\"message\":\"not available: workers and edges must "
        "be given the same namespace (the edge's log says what differs)\"}}\n");
    end();
}

static void test_live_only(void **state)
{
    (void)state;
    begin(100);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"any:a\"}}", "{\"id\":2,\"subscribe\":{}}\n");
    fake_write(&x, "any:a", 1, true);
    fake_settle(&x);
    assert_string_equal(take_text(&c), "{\"push\":{\"channel\":\"any:a\",\"pub\":{\"data\":{\"n\":"
                                       "101,\"pad\":\"0\"}}}}\n");
    end();
}

static void test_rebuild_is_no_news(void **state)
{
    struct plog *p;

    (void)state;
    begin(100);
    p = fake_stream_of(&x, "a")->p;
    atomic_store(&p->kafka_end, 105);
    atomic_store(&p->beacon_state, BEACON_REBUILD);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
               "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":105}}\n");
    while (fake_write(&x, "a", 1, true) < 105)
        fake_settle(&x);
    fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_all_after("a", 105, take_text(&c));
    end();
}

static void test_command_errors(void **state)
{
    (void)state;
    begin(100);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
               "{\"id\":3,\"subscribe\":{\"channel\":\"a\"}}\n"
               "{\"id\":4,\"subscribe\":{}}\n{\"id\":5,\"rpc\":{}}\n{\"id\":6,\"wat\":{}}\n"
               "{\"id\":7,\"subscribe\":{\"channel\":\"priv:a\"}}\n{\"id\":8,\"ping\":{}}",
               "{\"id\":3,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}\n"
               "{\"id\":4,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n"
               "{\"id\":5,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
               "{\"id\":6,\"error\":{\"code\":104,\"message\":\"method not found\"}}\n"
               "{\"id\":7,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n"
               "{\"id\":8,\"ping\":{}}\n"
               "{\"id\":2,\"subscribe\":{" HEAD ",\"offset\":100}}\n");
    fake_say(&x, &c, "{\"subscribe\":{\"channel\":\"b\"}}"); /* no id */
    assert_int_equal(c.close_code, DISCONNECT_BAD_REQUEST);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_cursor),
        cmocka_unit_test(test_inside_plog),
        cmocka_unit_test(test_older_pages),
        cmocka_unit_test(test_trimmed),
        cmocka_unit_test(test_ahead_of_region),
        cmocka_unit_test(test_beyond_kafkas_end),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_epoch_of_a_log_not_seen_yet),
        cmocka_unit_test(test_epoch_without_offset),
        cmocka_unit_test(test_no_topic),
        cmocka_unit_test(test_topic_comes_late),
        cmocka_unit_test(test_unmapped),
        cmocka_unit_test(test_live_only),
        cmocka_unit_test(test_rebuild_is_no_news),
        cmocka_unit_test(test_command_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
