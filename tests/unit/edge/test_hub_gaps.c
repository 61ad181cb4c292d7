/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_gaps.c: what may not be silent, and what one client may not make the edge hold: a hole
 * inside a page, a topic that becomes unmapped, sixty resumes in one frame, an unsubscribe of a
 * channel that the connect reply still waits for.
 */
#include "common/io/token.h"

#include "tests/unit/edge/edge_tokens.h"
#include "tests/unit/edge/hub_case.h"

static void test_hole_inside_a_page(void **state)
{
    const char *text;

    (void)state;
    begin(100);
    fake_write(&x, "a", 1, false);
    fake_lose(&x, "a");
    fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100);
    fake_settle(&x);
    text = take_text(&c);
    assert_non_null(strstr(text, "\"recovered\":true"));
    assert_non_null(strstr(text, "\"unsubscribe\":{\"code\":2500"));
    end();
}

/* Deep history has no room, and goes on having none: the answered client isn't left waiting. */
static void test_a_refusal_that_lasts_is_told(void **state)
{
    struct plog *p;

    (void)state;
    begin(100);
    for (int i = 0; i < 5; i++)
        fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    p = fake_stream_of(&x, "a")->p;
    x.feed.deaf = true;
    atomic_store(&p->kafka_low, 1);
    subscribe_at("a", 100);
    for (int i = 0; i < 25; i++) {
        atomic_store(&p->beacon_ms, x.hub.now_ms);
        fake_pass(&x, 100);
    }
    assert_non_null(strstr(take_text(&c), "\"recovered\":true"));
    for (int i = 0; i < 70; i++) {
        atomic_store(&p->refused_ms, x.hub.now_ms);
        fake_pass(&x, 100);
    }
    assert_null(strstr(take_text(&c), "unsubscribe"));
    for (int i = 0; i < 60; i++) {
        atomic_store(&p->refused_ms, x.hub.now_ms);
        fake_pass(&x, 100);
    }
    assert_non_null(strstr(take_text(&c), "\"unsubscribe\":{\"code\":2500"));
    end();
}

/* The cursor stays before the hole: the next reply tells, the client isn't sent round for ever. */
static void test_a_hole_is_told_once(void **state)
{
    (void)state;
    begin(100);
    fake_write(&x, "a", 1, false);
    fake_write(&x, neighbour("a"), 1, false);
    fake_lose(&x, "a");
    fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    subscribe_at("a", 100);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"unsubscribe\":{\"code\":2500"));
    subscribe_at("a", 101);
    fake_settle(&x);
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    end();
}

static void test_history_over_a_page_without_the_channel(void **state)
{
    (void)state;
    begin(100);
    for (int i = 0; i < 9; i++)
        fake_write(&x, neighbour("a"), 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_say(&x, &c, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":10}}");
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"history\":{\"publications\":[]"));
    end();
}

static void test_topic_becomes_unmapped_while_one_lags(void **state)
{
    (void)state;
    begin(100);
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_turn(&x);
    x.feed.views[FAKE_DEFAULT]->map = TOPIC_UNMAPPED;
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"unsubscribe\":{\"code\":2500"));
    end();
}

#define RESUMES 60

static void test_many_resumes_in_one_frame_are_bounded(void **state)
{
    static char text[KIB(64)];
    char name[16];
    size_t n = 0;

    (void)state;
    begin(100);
    for (int k = 0; k < RESUMES; k++) {
        (void)snprintf(name, sizeof(name), "c%d", k);
        for (int i = 0; i < 70; i++)
            fake_write(&x, name, 1000, true);
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "%s{\"id\":%d,\"subscribe\":{\"channel\":\"c%d\",\"recover\":true,"
                              "\"epoch\":\"" FAKE_LOG "\",\"offset\":100}}",
                              k ? "\n" : "", k + 2, k);
    }
    fake_turn(&x);
    c.room = 1;
    fake_say(&x, &c, text);
    fake_turn(&x);
    fake_turn(&x);
    /* the replies themselves, and one write's worth of records */
    assert_true(c.s->out.n + c.text.n < 3 * (size_t)x.conf.write_max);
    end();
}

static void test_unsubscribe_while_connect_waits(void **state)
{
    static char text[2000];
    char why[128];
    struct token_keys *keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));

    (void)state;
    fake_init(&x, 100);
    x.hub.keys = keys;
    fake_open(&x, &c);
    (void)snprintf(text, sizeof(text),
                   "{\"id\":1,\"connect\":{\"token\":\"%s\"}}\n"
                   "{\"id\":2,\"unsubscribe\":{\"channel\":\"a\"}}",
                   TOKEN_USER);
    fake_say(&x, &c, text);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "{\"id\":2,\"unsubscribe\":{}}"));
    assert_int_equal(c.s->sub_count, 0);
    end();
    token_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hole_inside_a_page),
        cmocka_unit_test(test_a_hole_is_told_once),
        cmocka_unit_test(test_a_refusal_that_lasts_is_told),
        cmocka_unit_test(test_history_over_a_page_without_the_channel),
        cmocka_unit_test(test_topic_becomes_unmapped_while_one_lags),
        cmocka_unit_test(test_many_resumes_in_one_frame_are_bounded),
        cmocka_unit_test(test_unsubscribe_while_connect_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
