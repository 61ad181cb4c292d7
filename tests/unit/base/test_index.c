/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c: what is read from a last-position index, and what it proves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/index.h"

static struct index_says says(const char *range, const char *last)
{
    struct index_says s = {.last = last ? index_last(slice_of(last)) : 0};

    (void)index_take_range(&s, range ? slice_of(range) : (struct slice){NULL, 0});
    return s;
}

static void test_a_range_is_three_numbers(void **state)
{
    static const char *const bad[] = {
        "",
        "1 2",
        "1 2 ",
        "1 2 3 ",
        "1 2 3 4",
        " 1 2 3",
        "1  2 3",
        "-1 2 3",
        "01 2 3",
        "2 1 3",
        "1 2 0x3",
        "a b c",
        "1\t2\t3",
        "1 2 3\n",
        "+1 2 3",
        "1 2 -",
        "1 9223372036854775808 0",
    };
    struct index_says s = says("7 9223372036854775807 123", NULL);

    (void)state;
    assert_true(s.is_there);
    assert_int_equal(s.since, 7);
    assert_int_equal(s.upto, INT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        s = (struct index_says){.is_there = true, .upto = 5};
        assert_false(index_take_range(&s, slice_of(bad[i])));
        assert_false(s.is_there);
    }
    assert_false(says(NULL, NULL).is_there);
}

static void test_what_is_no_position_proves_nothing(void **state)
{
    static const char *const bad[] = {"", "0", "x", "12 ", "-3", "012", "9223372036854775808"};

    (void)state;
    assert_int_equal(index_last(SLICE("1")), 1);
    assert_int_equal(index_last(SLICE("9223372036854775807")), INT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(index_last(slice_of(bad[i])), UINT64_MAX);
}

static void test_one_index(void **state)
{
    struct index_says none = {.is_there = false};
    struct index_says absent = says("10 100 0", NULL), moved = says("10 100 0", "50");

    (void)state;
    assert_int_equal(index_proves(&absent, &none, 9), 9); /* since: it doesn't know of 10 */
    assert_int_equal(index_proves(&absent, &none, 10), 100);
    assert_int_equal(index_proves(&moved, &none, 49), 49);
    assert_int_equal(index_proves(&moved, &none, 50), 100); /* the cursor is its last record */
    assert_int_equal(index_proves(&moved, &none, 100), 100);
    assert_int_equal(index_proves(&moved, &none, 101), 101); /* never back */
    assert_int_equal(index_proves(&none, &none, 10), 10);
    assert_int_equal(index_proves(&none, &absent, 10), 10); /* the old one alone: no */
}

static void test_the_old_one_and_the_new_one(void **state)
{
    struct index_says now = says("100 200 0", NULL), moved = says("100 200 0", "150");
    struct index_says old = says("10 100 0", NULL), before = says("10 100 0", "50");
    struct index_says apart = says("10 99 0", NULL), further = says("10 120 0", NULL);

    (void)state;
    assert_int_equal(index_proves(&now, &old, 10), 200);
    assert_int_equal(index_proves(&now, &old, 9), 9);
    assert_int_equal(index_proves(&moved, &old, 10), 10);
    assert_int_equal(index_proves(&moved, &old, 150), 200);
    assert_int_equal(index_proves(&now, &before, 49), 49);
    assert_int_equal(index_proves(&now, &before, 50), 200);
    assert_int_equal(index_proves(&now, &apart, 10), 10); /* nobody knows of 100 */
    assert_int_equal(index_proves(&now, &further, 10), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_range_is_three_numbers),
        cmocka_unit_test(test_what_is_no_position_proves_nothing),
        cmocka_unit_test(test_one_index),
        cmocka_unit_test(test_the_old_one_and_the_new_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
