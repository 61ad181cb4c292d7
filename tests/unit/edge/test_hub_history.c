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

static uint64_t offset_of(const char *text)
{
    static const char before[] = "],\"epoch\":\"" FAKE_LOG "\",\"offset\":";

    text = strstr(text, before);
    assert_non_null(text);
    return strtoull(text + sizeof(before) - 1, NULL, 10);
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

/* Nor for what comes before, whether it is met between pages, or where the plog ends. */
static void test_in_reverse_too(void **state)
{
    uint64_t after = 0;
    char text[200];

    (void)state;
    for (int inside = 0; inside < 2; inside++) {
        begin(100);
        for (int i = 0; i < 20; i++)
            fake_write(&x, "a", 1, false);
        fake_lose(&x, "a");
        if (inside) /* the plog begins at the hole */
            fake_restart(&x, fake_stream_of(&x, "a"));
        after = fake_write(&x, "a", 1, inside);
        for (int i = 0; i < 19; i++)
            fake_write(&x, "a", 1, inside);
        if (!inside)
            fake_restart(&x, fake_stream_of(&x, "a"));
        fake_say(&x, &c,
                 "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":-1,\"reverse\":true}}");
        fake_settle(&x);
        assert_int_equal(last_of(take_text(&c)), after);
        (void)snprintf(text, sizeof(text),
                       "{\"id\":6,\"history\":{\"channel\":\"a\",\"limit\":-1,\"reverse\":true,"
                       "\"since\":{\"offset\":%llu}}}",
                       (unsigned long long)after);
        fake_say(&x, &c, text);
        fake_settle(&x);
        assert_non_null(strstr(take_text(&c), "\"code\":112"));
        end();
    }
}

/* A plog that began where Kafka ended, while its stream was being written anew. */
static void test_a_beginning_without_an_entry_is_no_hole(void **state)
{
    uint64_t first = 0;
    struct fake_stream *s;

    (void)state;
    begin(100);
    s = fake_stream_of(&x, "a");
    first = fake_write(&x, "a", 1, false);
    for (int i = 0; i < 10; i++)
        fake_write(&x, "a", 1, false);
    s->last++; /* a position without an entry */
    atomic_store(&s->p->loose, s->last);
    fake_restart(&x, s);
    for (int i = 0; i < 10; i++)
        fake_write(&x, "a", 1, true);
    fake_say(&x, &c, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":-1,\"reverse\":true}}");
    fake_settle(&x);
    assert_int_equal(last_of(take_text(&c)), first);
    end();
}

/* A page may have what the tail hasn't read yet. */
static void test_the_offset_covers_the_publications(void **state)
{
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
    assert_int_equal(offset_of(text), last);
    end();
}

/* Who asks for the newest, and then subscribes from the reply's offset, has all. */
static void test_reverse_tells_where_it_began(void **state)
{
    uint64_t newest = 0;

    (void)state;
    begin(100);
    for (int i = 0; i < 40; i++)
        fake_write(&x, "a", 1, false);
    fake_restart(&x, fake_stream_of(&x, "a"));
    newest = fake_stream_of(&x, "a")->last;
    fake_say(&x, &c, "{\"id\":5,\"history\":{\"channel\":\"a\",\"limit\":20,\"reverse\":true}}");
    fake_turn(&x); /* it waits for a page */
    for (int i = 0; i < 5; i++)
        fake_write(&x, "a", 1, true);
    fake_settle(&x);
    assert_int_equal(offset_of(take_text(&c)), newest);
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
        cmocka_unit_test(test_in_reverse_too),
        cmocka_unit_test(test_a_beginning_without_an_entry_is_no_hole),
        cmocka_unit_test(test_the_offset_covers_the_publications),
        cmocka_unit_test(test_reverse_tells_where_it_began),
        cmocka_unit_test(test_a_slow_one_at_the_end_of_a_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
