/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sweep.c: rows that stand still for a minute are left over, and no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fanout-worker/sweep.h"

#define T0 1000000u

static bool row(struct sweep *s, const char *field, unsigned counter, uint64_t now_ms)
{
    char value[32];

    snprintf(value, sizeof(value), "%u 4", counter);
    return sweep_row(s, slice_of(field), slice_of(value), now_ms);
}

static void test_who_stands_still(void **state)
{
    struct sweep s;

    (void)state;
    sweep_init(&s);
    for (uint32_t t = 0; t <= 2 * SWEEP_MS; t += 5000) {
        bool late = t >= SWEEP_MS;
        assert_false(row(&s, "w:alive", t, T0 + t));
        assert_int_equal(row(&s, "w:dead", 7, T0 + t), late);
        assert_int_equal(row(&s, "p:abcd1234:3", 7, T0 + t), late);
        assert_false(row(&s, "q:of another version", 7, T0 + t));
        assert_false(row(&s, "p:slow", t / (SWEEP_MS - 5000), T0 + t));
        sweep_end(&s);
    }
    assert_true(row(&s, "w:dead", 7, T0 + 2 * SWEEP_MS + 1));
    assert_false(row(&s, "w:dead", 8, T0 + 2 * SWEEP_MS + 2)); /* it came back */
    sweep_clear(&s);
}

static void test_a_row_that_was_away_begins_anew(void **state)
{
    struct sweep s;

    (void)state;
    sweep_init(&s);
    assert_false(row(&s, "w:a", 1, T0));
    sweep_end(&s);
    assert_false(row(&s, "w:b", 1, T0 + 1));
    sweep_end(&s); /* w:a isn't there */
    assert_false(row(&s, "w:a", 1, T0 + SWEEP_MS));
    assert_true(row(&s, "w:b", 1, T0 + 1 + SWEEP_MS));
    sweep_end(&s);
    sweep_clear(&s); /* the connection was another one meanwhile */
    assert_false(row(&s, "w:b", 1, T0 + 2 * SWEEP_MS));
    sweep_clear(&s);
}

static void test_many(void **state)
{
    struct sweep s;
    char field[16];

    (void)state;
    sweep_init(&s);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            snprintf(field, sizeof(field), "p:%u", i);
            assert_int_equal(row(&s, field, 0, T0 + round * SWEEP_MS), round > 0);
        }
        sweep_end(&s);
        assert_int_equal(s.by_field.count, 5000);
    }
    sweep_end(&s);
    assert_int_equal(s.by_field.count, 0);
    sweep_clear(&s);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_who_stands_still),
        cmocka_unit_test(test_a_row_that_was_away_begins_anew),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
