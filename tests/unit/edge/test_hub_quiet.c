/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_quiet.c: clients of quiet channels come back with cursors that nothing reaches any more
 * but the last-position index; and what may not come of it.
 */
#include "tests/unit/edge/hub_case.h"

static struct fake_stream *s;

/* A record of "a" at 101, then neighbours only, most of them trimmed; the edge has just begun at
 * the stream's end. The index covers (100, its end - lag]. */
static void begin_quiet(size_t neighbours, uint64_t lag)
{
    const char *other;

    begin(100);
    s = fake_stream_of(&x, "a");
    other = neighbour("a");
    fake_write(&x, "a", 1, false);
    for (size_t i = 0; i < neighbours; i++)
        fake_write(&x, other, 1, false);
    fake_trim(s, 5);
    fake_restart(&x, s);
    s->index_since = 100;
    s->index_upto = s->last - lag;
    fake_turn(&x);
}

static size_t wants(void)
{
    return x.feed.wants_n[s->p->id];
}

static void write_and_expect_one(void)
{
    uint64_t pos = fake_write(&x, "a", 1, true), got[4];

    fake_settle(&x);
    assert_int_equal(positions(take_text(&c), got, 4), 1);
    assert_int_equal(got[0], pos);
}

static void expect_recovered(uint64_t offset)
{
    char expect[200];
    const char *text = take_text(&c);

    (void)snprintf(expect, sizeof(expect), "\"offset\":%llu,\"was_recovering\":true",
                   (unsigned long long)offset);
    if (!strstr(text, "\"recovered\":true") || !strstr(text, expect))
        fail_msg("not recovered at %llu: %s", (unsigned long long)offset, text);
    assert_null(strstr(text, "{\"n\":"));
}

static void it_missed_nothing(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    subscribe_at("a", 101);
    fake_turn(&x);
    assert_string_equal(take_text(&c), ""); /* it is looked up first */
    assert_int_equal(wants(), 0);
    fake_serve(&x);
    fake_turn(&x);
    assert_int_equal(wants(), 0); /* no page was read for it */
    expect_recovered(101);
    write_and_expect_one();
    end();
}

/* What moved since the index was brought forward is read from the stream. */
static void it_goes_on_where_the_index_ends(void **state)
{
    uint64_t got[4];

    (void)state;
    begin_quiet(20, 0);
    fake_write(&x, "a", 1, false);
    fake_restart(&x, s);
    subscribe_at("a", 101);
    fake_turn(&x);
    fake_serve(&x);
    fake_turn(&x);
    assert_int_equal(wants(), 1);
    assert_int_equal(x.feed.wants[s->p->id][0].pos, s->index_upto);
    fake_settle(&x);
    assert_int_equal(positions(take_text(&c), got, 4), 1);
    assert_int_equal(got[0], s->last);
    write_and_expect_one();
    end();
}

static void one_that_moved_is_told(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    subscribe_at("a", 100); /* it lacks 101 */
    fake_settle(&x);
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    write_and_expect_one();
    end();
}

static void what_the_index_does_not_cover_is_told(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    s->index_since = 102;
    subscribe_at("a", 101);
    fake_settle(&x);
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    end();
}

/* It lags behind the stream's beginning: what lies between is anybody's guess. */
static void an_index_that_lags_proves_too_little(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    s->index_upto = s->v[s->first].prev - 1;
    subscribe_at("a", 101);
    fake_settle(&x);
    assert_null(strstr(take_text(&c), "\"recovered\":true"));
    end();
}

/* Another edge, or a worker that is faster: the index is ahead of what this edge has read. */
static void an_index_ahead_of_the_edge(void **state)
{
    uint64_t read, got[4], pos;

    (void)state;
    begin_quiet(20, 0);
    read = s->last;
    for (int i = 0; i < 3; i++)
        fake_write(&x, neighbour("a"), 1, false);
    s->index_upto = s->last;
    pos = fake_write(&x, "a", 1, false);
    subscribe_at("a", 101);
    fake_turn(&x);
    fake_serve(&x);
    fake_turn(&x);
    assert_true(plog_view(s->p).upto == read);
    expect_recovered(101);
    fake_catch_up(&x, s);
    fake_settle(&x);
    assert_int_equal(positions(take_text(&c), got, 4), 1);
    assert_int_equal(got[0], pos);
    write_and_expect_one();
    end();
}

/* A range that says more than there is (whoever wrote it) doesn't silence a client for ever. */
static void an_index_without_end(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    s->index_upto = INT64_MAX;
    subscribe_at("a", 101);
    fake_settle(&x);
    expect_recovered(101);
    write_and_expect_one();
    end();
}

/* Somebody met a hole there and was told; of this channel nothing was in it. */
static void it_is_proved_over_a_hole_that_was_told(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    plog_set_lost(s->p, s->index_upto - 1);
    subscribe_at("a", 101);
    fake_settle(&x);
    expect_recovered(101);
    end();
}

/* Without an answer nothing is said but what is said without an index. */
static void no_answer_is_no_proof(void **state)
{
    (void)state;
    begin_quiet(20, 0);
    subscribe_at("a", 101);
    for (uint64_t end_ms = x.now_ms + 2100; x.now_ms < end_ms;) {
        x.now_ms += 100;
        hub_tick(&x.hub, x.now_ms);
        fake_turn(&x);
    }
    assert_non_null(strstr(take_text(&c), "\"error\":{\"code\":100"));
    end();
}

/* A client that lags is asked for once more when what it lacks has gone. */
static void one_that_fell_behind(void **state)
{
    (void)state;
    begin(100);
    s = fake_stream_of(&x, "a");
    fake_say(&x, &c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fake_settle(&x);
    take_text(&c);
    for (int i = 0; i < 20; i++) /* the edge doesn't read them: Redis was away */
        fake_write(&x, neighbour("a"), 1, false);
    fake_trim(s, 5);
    s->index_since = 100;
    s->index_upto = s->last;
    fake_catch_up(&x, s); /* behind a hole */
    fake_settle(&x);
    assert_string_equal(take_text(&c), "");
    write_and_expect_one();
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_missed_nothing),
        cmocka_unit_test(it_goes_on_where_the_index_ends),
        cmocka_unit_test(one_that_moved_is_told),
        cmocka_unit_test(what_the_index_does_not_cover_is_told),
        cmocka_unit_test(an_index_that_lags_proves_too_little),
        cmocka_unit_test(an_index_ahead_of_the_edge),
        cmocka_unit_test(an_index_without_end),
        cmocka_unit_test(it_is_proved_over_a_hole_that_was_told),
        cmocka_unit_test(no_answer_is_no_proof),
        cmocka_unit_test(one_that_fell_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
