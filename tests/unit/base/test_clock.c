/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_clock.c: clocks that go on, in the unit they say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/clock.h"

static void test_monotonic(void **state)
{
    (void)state;
    uint64_t before_ms = clock_mono_ms(), before = clock_mono_ns(), after = clock_mono_ns();

    assert_true(before > 0);
    assert_true(after >= before);
    assert_true(before / 1000000 >= before_ms);
    assert_true(clock_mono_ms() >= after / 1000000);
}

static void test_wall(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL) - 1;
    int64_t now = clock_wall_ms();

    assert_true(now / 1000 >= before);
    assert_true(now / 1000 <= (int64_t)time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_wall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
