/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_history.c: history commands over holes, over pages that reach further than this edge has
 * read, and at the end of a log. test_hub_random.c does them against its model.
 */
#include "tests/unit/edge/hub_case.h"

static uint64_t last_of(const char *text)
{
    static uint64_t pos[100];
    size_t n = positions(text, pos, ARRAY_LEN(pos));

    assert_true(n > 0);
    return pos[n - 1];
}

/* Nobody may take what is behind a hole for what follows: the next command's `since` is told. */
static void test_it_ends_before_a_hole(void **state)
{
    char text[200];
    uint64_t before = 0;

    (void)state;
    begin(100);
    for (int i = 0; i < 20; i++)
        before = fake_write(&x, "a", 1, false);
    fake_lose(&x, "a");
    for (int i = 0; i < 20; i++)
        fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_say(&x, &c, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":-1}}");
    fake_settle(&x);
    assert_int_equal(last_of(take_text(&c)), before);
    (void)snprintf(
        text, sizeof(text),
        "{\"id\":6,\"history\":{\"channel\":\"a\",\"limit\":-1,\"since\":{\"offset\":%llu}}}",
        (unsigned long long)before);
    fake_say(&x, &c, text);
    fake_settle(&x);
    assert_non_null(strstr(take_text(&c), "\"code\":112"));
    end();
}

/* A page may have what the tail hasn't read yet. */
static void test_the_offset_covers_the_publications(void **state)
{
    static const char before_end[] = "],\"epoch\":\"" FAKE_LOG "\",\"offset\":";
    const char *text;
    uint64_t last = 0;

    (void)state;
    begin(100);
    x.feed.page_records = 100;
    fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    fake_turn(&x);
    for (int i = 0; i < 5; i++)
        last = fake_write(&x, "a", 1, false);
    fake_say(&x, &c, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":-1}}");
    fake_settle(&x);
    text = take_text(&c);
    assert_int_equal(last_of(text), last);
    text = strstr(text, before_end);
    assert_non_null(text);
    assert_int_equal(strtoull(text + sizeof(before_end) - 1, NULL, 10), last);
    end();
}

/* One whose client reads slowly keeps the channel at its old log; others must not wait for that. */
static void test_a_slow_one_at_the_end_of_a_log(void **state)
{
    static struct fake_conn slow;

    (void)state;
    begin(100);
    for (int i = 0; i < 100; i++)
        fake_write(&x, "a", 1000, true);
    fake_open(&x, &slow);
    fake_say(&x, &slow, "{\"id\":1,\"connect\":{}}");
    fake_turn(&x);
    slow.room = 1;
    for (int i = 0; i < 4; i++)
        fake_say(&x, &slow, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":-1}}");
    fake_settle(&x);
    assert_true(slow.choked && slow.s->requests > 0);
    fake_new_log(&x, 0);
    fake_settle(&x);
    say_expect("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
               "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":"
               "\"LogAAAAB\"}}\n");
    fake_close(&slow);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_ends_before_a_hole),
        cmocka_unit_test(test_the_offset_covers_the_publications),
        cmocka_unit_test(test_a_slow_one_at_the_end_of_a_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
