/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c: lookups as shards and feed share them: one at a time, each channel once, bounded.
 */
#include "edge-node/index.h"
#include "tests/unit/edge/edge_test.h"

static struct index_asks *a;
static struct turns *turns;

static int begin(void **state)
{
    (void)state;
    a = index_asks_new();
    turns = turns_new(1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    index_asks_free(a);
    turns_free(turns);
    return 0;
}

static void ask(const char *name, uint64_t pos)
{
    struct channel_key key = key_of_name(name);

    index_ask(a, &key, pos);
}

static bool answered(const char *name, uint64_t pos, uint64_t *ret)
{
    struct channel_key key = key_of_name(name);

    return index_answered(a, &key, pos, ret);
}

static void one_lookup_at_a_time(void **state)
{
    struct index_set *set;
    uint64_t upto;

    (void)state;
    assert_null(index_take(a));
    ask("a", 50);
    ask("b", 40);
    ask("a", 60);
    set = index_take(a);
    assert_int_equal(set->n, 2);
    assert_int_equal(set->lowest, 40);
    assert_int_equal(set->v[0]->n, 1);
    assert_int_equal(set->v[0]->name[0], 'a');
    ask("a", 10); /* is under way */
    ask("c", 70);
    assert_null(index_take(a));
    set->now = (struct index_says){true, 45, 100, 0};
    set->v[0]->last = 55;
    index_publish(a, set, 1);
    assert_false(answered("c", 70, &upto));
    assert_true(answered("a", 54, &upto));
    assert_int_equal(upto, 54);
    assert_true(answered("a", 55, &upto));
    assert_int_equal(upto, 100);
    assert_true(answered("b", 45, &upto));
    assert_int_equal(upto, 100);
    assert_true(answered("b", 44, &upto));
    assert_int_equal(upto, 44);
    set = index_take(a);
    assert_int_equal(set->n, 1);
    index_give_up(a, set);
    ask("c", 70); /* anew */
}

/* The old index was of no interest to those who asked: it is to one with an older cursor. */
static void an_answer_for_younger_cursors(void **state)
{
    struct index_set *set;
    uint64_t upto;

    (void)state;
    ask("a", 50);
    set = index_take(a);
    set->now = (struct index_says){true, 50, 100, 0};
    index_publish(a, set, 1);
    assert_true(answered("a", 60, &upto));
    assert_false(answered("a", 49, &upto));
    ask("a", 49);
    set = index_take(a);
    set->now = (struct index_says){true, 50, 100, 0};
    set->old = (struct index_says){true, 10, 50, 0};
    index_publish(a, set, 2);
    assert_true(answered("a", 49, &upto));
    assert_int_equal(upto, 100);
}

static void the_newest_answer_goes(void **state)
{
    struct index_set *set;
    uint64_t upto;

    (void)state;
    for (uint64_t i = 1; i <= 2; i++) {
        ask("a", 1);
        set = index_take(a);
        set->now = (struct index_says){true, 0, i * 100, 0};
        index_publish(a, set, i);
    }
    assert_true(answered("a", 1, &upto));
    assert_int_equal(upto, 200);
}

static void a_set_is_bounded(void **state)
{
    struct index_set *set;
    char name[16];

    (void)state;
    for (int i = 0; i < INDEX_CHANNELS + 5; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        ask(name, 1);
    }
    set = index_take(a);
    assert_int_equal(set->n, INDEX_CHANNELS);
    ask("n1028", 1); /* who had no room asks again */
    index_publish(a, set, 1);
}

static void answers_are_bounded_in_number_and_age(void **state)
{
    uint64_t upto;
    size_t bytes;

    (void)state;
    for (uint64_t i = 0; i < INDEX_ANSWERS + 2; i++) {
        ask("a", 1);
        index_publish(a, index_take(a), 1000 + i);
    }
    bytes = index_evict(a, 1050, turns);
    assert_true(bytes > sizeof(struct index_set));
    assert_int_equal(index_evict(a, 1050, turns), bytes);
    assert_int_equal(index_evict(a, 1050, turns), 0); /* young, and not too many */
    for (int i = 0; i < INDEX_ANSWERS; i++) {
        assert_true(answered("a", 1, &upto));
        assert_int_equal(index_evict(a, 1100 + INDEX_KEEP_MS, turns), bytes);
    }
    assert_false(answered("a", 1, &upto));
    assert_int_equal(index_evict(a, 1100 + INDEX_KEEP_MS, turns), 0);
    assert_int_equal(turns_reclaim(turns), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_lookup_at_a_time, begin, end),
        cmocka_unit_test_setup_teardown(an_answer_for_younger_cursors, begin, end),
        cmocka_unit_test_setup_teardown(the_newest_answer_goes, begin, end),
        cmocka_unit_test_setup_teardown(a_set_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(answers_are_bounded_in_number_and_age, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
