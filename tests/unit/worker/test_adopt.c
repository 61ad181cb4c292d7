/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_adopt.c: who is dead, and whose turn it is to carry on what it left.
 *
 * Each test plays readings of a beacon, 100 ms apart, as one worker ("me") sees them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fanout-worker/adopt.h"

#define T0 1000000u

struct scene {
    struct adopt a;
    uint64_t now;
    unsigned beat;
};

static void begin(struct scene *s, const char *self)
{
    *s = (struct scene){.now = T0};
    adopt_init(&s->a, self);
}

static void worker(struct scene *s, const char *id, unsigned counter)
{
    char value[32];

    snprintf(value, sizeof(value), "%u 4", counter);
    adopt_worker(&s->a, slice_of(id), slice_of(value));
}

static struct beacon_row row(const char *writer, int32_t partition, uint64_t counter)
{
    struct beacon_row r = {.partition = partition, .counter = counter, .log = "abcd1234"};

    snprintf(r.worker, sizeof(r.worker), "%s", writer);
    return r;
}

static enum adopt_say look(struct scene *s, const char *writer, int32_t partition, uint64_t counter)
{
    struct beacon_row r = row(writer, partition, counter);

    return adopt_look(&s->a, &r);
}

/* A whole reading in which `other` moves, if it is given, and `still` doesn't. */
static void reading(struct scene *s, uint64_t step, const char *other, const char *still)
{
    s->now += step;
    s->beat++;
    adopt_begin(&s->a, s->now);
    worker(s, "me", s->beat);
    if (other)
        worker(s, other, s->beat);
    if (still)
        worker(s, still, 7);
    adopt_end(&s->a, true);
}

static void both_move(struct scene *s)
{
    for (int i = 0; i < 3; i++)
        reading(s, 100, "dead", NULL);
}

static void test_one_that_moved_and_stands_still(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    assert_int_equal(look(&s, "me", 0, 1), ADOPT_OTHERS);
    reading(&s, 100, NULL, "dead"); /* another value: it moved for the last time */
    for (uint32_t age = 100; age <= 700; age += 100) {
        reading(&s, 100, NULL, "dead");
        assert_int_equal(look(&s, "dead", 0, 1), age < ADOPT_STALE_MS ? ADOPT_YIELD : ADOPT_TAKE);
    }
    reading(&s, 100, "dead", NULL);
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    adopt_clear(&s.a);
}

static void test_a_cold_start_is_no_death(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    for (int i = 0; i < 100; i++) {
        reading(&s, 100, NULL, "old");
        assert_int_equal(look(&s, "old", 0, 1), ADOPT_YIELD);
        assert_int_equal(look(&s, "unknown", 1, 1), ADOPT_YIELD);
    }
    adopt_clear(&s.a);
}

static void test_one_that_leaves_is_gone_at_once(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    reading(&s, 100, NULL, NULL);
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_TAKE);
    reading(&s, 100, "dead", NULL); /* its row was only lost */
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    adopt_clear(&s.a);
}

/* Only rows of some were read: nobody has left because of that. */
static void test_what_was_not_read_is_not_gone(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    adopt_begin(&s.a, s.now += 100);
    adopt_end(&s.a, false);
    assert_true(adopt_has_news(&s.a)); /* reason to read all */
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    reading(&s, 100, "dead", NULL);
    assert_false(adopt_has_news(&s.a));
    adopt_clear(&s.a);
}

static void test_our_own_sleep_kills_nobody(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    reading(&s, 100, NULL, "dead");
    reading(&s, 60000, NULL, "dead"); /* a Redis that stood still looks the same */
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    reading(&s, 100, NULL, "dead");
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    for (int i = 0; i < 2; i++)
        reading(&s, 100, NULL, "dead");
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_TAKE);
    adopt_clear(&s.a);
}

/* Of each partition exactly one of three living workers is the first, and all agree; the next ones
 * wait longer, each by a turn. */
static void test_the_living_agree_on_an_order(void **state)
{
    static const char *const names[] = {"alpha", "beta", "gamma"};
    unsigned firsts[3] = {0};
    struct scene s[3];

    (void)state;
    for (int me = 0; me < 3; me++) {
        begin(&s[me], names[me]);
        for (unsigned beat = 1; beat < 20; beat++) {
            adopt_begin(&s[me].a, s[me].now += 100);
            for (int k = 0; k < 3; k++)
                worker(&s[me], names[k], beat);
            worker(&s[me], "dead", beat < 4 ? beat : 4); /* moved for the last time at 4 */
            adopt_end(&s[me].a, true);
            if (beat == 10) { /* 600 ms */
                for (int32_t p = 0; p < 300; p++)
                    firsts[me] += look(&s[me], "dead", p, 1) == ADOPT_TAKE;
            }
        }
    }
    assert_int_equal(firsts[0] + firsts[1] + firsts[2], 300);
    for (int me = 0; me < 3; me++)
        assert_in_range(firsts[me], 60, 140);
    for (int32_t p = 0; p < 300; p++) { /* 1,500 ms: every turn has come */
        for (int me = 0; me < 3; me++)
            assert_int_equal(look(&s[me], "dead", p, 1), ADOPT_TAKE);
    }
    for (int me = 0; me < 3; me++)
        adopt_clear(&s[me].a);
}

/* Of two that carry the same partition one gives way, and both to an owner. */
static void test_who_gives_way(void **state)
{
    struct scene s, other;
    enum adopt_say mine, its;

    (void)state;
    begin(&s, "me");
    begin(&other, "other");
    for (unsigned beat = 1; beat < 4; beat++) {
        reading(&s, 100, "other", NULL);
        adopt_begin(&other.a, other.now += 100);
        worker(&other, "me", beat);
        adopt_end(&other.a, true);
    }
    for (int32_t p = 0; p < 50; p++) {
        mine = look(&s, "other+", p, 1);
        its = look(&other, "me+", p, 1);
        assert_true((mine == ADOPT_YIELD) != (its == ADOPT_YIELD));
        assert_int_equal(look(&s, "other", p, 1), ADOPT_YIELD);
        assert_int_equal(look(&s, "me+", p, 1), ADOPT_OTHERS);
    }
    adopt_clear(&s.a);
    adopt_clear(&other.a);
}

/* Whoever gave way lives on, and its row stands still: the row's own counter tells. */
static void test_an_adopted_row_that_stands_still(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    for (uint32_t age = 0; age <= 1000; age += 100) {
        reading(&s, 100, NULL, NULL);
        assert_int_equal(look(&s, "me+", 3, 9), age < ADOPT_STALE_MS ? ADOPT_OTHERS : ADOPT_TAKE);
    }
    assert_int_equal(look(&s, "me+", 3, 10), ADOPT_OTHERS);
    for (uint32_t i = 0; i < 20; i++) { /* it moves */
        reading(&s, 100, NULL, NULL);
        assert_int_equal(look(&s, "me+", 3, 11 + i), ADOPT_OTHERS);
    }
    adopt_clear(&s.a);
}

static void test_an_adopter_that_dies(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    for (int i = 0; i < 5; i++)
        reading(&s, 100, NULL, i < 4 ? "dead" : NULL);
    assert_int_equal(look(&s, "dead+", 0, 1), ADOPT_TAKE);
    adopt_clear(&s.a);
}

/* A full Redis, or one that was made a replica, answers readers and takes no rows: ours stands
 * still as well. Time goes on with the first row of ours that gets there. */
static void test_a_redis_that_takes_no_rows_kills_nobody(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    assert_int_equal(look(&s, "me+", 1, 5), ADOPT_OTHERS);
    for (int i = 0; i < 100; i++) {
        adopt_begin(&s.a, s.now += 100);
        worker(&s, "dead", s.beat);
        worker(&s, "me", s.beat);
        adopt_end(&s.a, true);
        assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
        assert_int_equal(look(&s, "me+", 1, 5), ADOPT_OTHERS);
    }
    for (uint32_t age = ADOPT_STEP_MS; age <= 700; age += 100) {
        reading(&s, 100, "dead", NULL);
        assert_int_equal(look(&s, "me+", 1, 5) == ADOPT_OTHERS, age < ADOPT_STALE_MS);
    }
    adopt_clear(&s.a);
}

/* Emptied: who writes first is no proof that the others left. */
static void test_a_redis_that_was_emptied_kills_nobody(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, "me");
    both_move(&s);
    adopt_begin(&s.a, s.now += 100);
    adopt_end(&s.a, true);
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    reading(&s, 100, "dead", NULL);
    assert_int_equal(look(&s, "dead", 0, 1), ADOPT_YIELD);
    adopt_clear(&s.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_moved_and_stands_still),
        cmocka_unit_test(test_a_cold_start_is_no_death),
        cmocka_unit_test(test_one_that_leaves_is_gone_at_once),
        cmocka_unit_test(test_what_was_not_read_is_not_gone),
        cmocka_unit_test(test_our_own_sleep_kills_nobody),
        cmocka_unit_test(test_the_living_agree_on_an_order),
        cmocka_unit_test(test_who_gives_way),
        cmocka_unit_test(test_an_adopted_row_that_stands_still),
        cmocka_unit_test(test_an_adopter_that_dies),
        cmocka_unit_test(test_a_redis_that_takes_no_rows_kills_nobody),
        cmocka_unit_test(test_a_redis_that_was_emptied_kills_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
