/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_lane.c: when something that is asked again and again is down, and what is news of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io/coord_impl.h"

/* Of each answer in turn: '.' a good one, a letter a failure of that kind; what is then so: '-' up,
 * 'd' down, 'n' down and that is news. */
static void expect(const char *answers, const char *want)
{
    struct coord_lane l = {0};

    for (size_t i = 0; answers[i]; i++) {
        bool is_news = false;
        char is;

        if (answers[i] == '.')
            coord_lane_succeeded(&l);
        else
            is_news = coord_lane_failed(&l, answers[i]);
        is = is_news ? 'n' : l.down ? 'd' : '-';
        if (is != want[i])
            fail_msg("%s: %c instead of %s at %zu", answers, is, want, i);
        if (answers[i] != '.')
            assert_int_equal(l.kind, answers[i]);
    }
}

static void down_by_one_failure_or_two(void **state)
{
    (void)state;
    expect("a", "n"); /* it never succeeded */
    expect(".a", "--");
    expect(".aa", "--n");
    expect(".ab", "--n");
    expect(".a.a.a", "------");
    expect(".aa.aa", "--n--n");
}

static void news_is_what_lasts(void **state)
{
    (void)state;
    expect(".aab", "--nd"); /* on the way back */
    expect(".aabb", "--ndn");
    expect(".aab.", "--nd-");
    expect("aaa", "nnn");
}

static void kinds_that_take_turns_are_told_too(void **state)
{
    (void)state;
    expect(".abababababa", "--nddnddddnd"); /* each fifth */
    expect("abababababab", "ndddnddddndd");
}

static void backing_off_is_bounded_and_jittered(void **state)
{
    uint64_t sum = 0;

    (void)state;
    for (uint64_t r = 0; r < 1000; r++) {
        assert_in_range(coord_backoff_ms(1, 200, 2000, r * 7919), 1, 200);
        assert_in_range(coord_backoff_ms(3, 200, 2000, r * 7919), 1, 800);
        assert_in_range(coord_backoff_ms(9, 200, 2000, r * 7919), 1, 2000);
        assert_in_range(coord_backoff_ms(UINT32_MAX, 200, 2000, UINT64_MAX - r), 1, 2000);
        sum += coord_backoff_ms(9, 200, 2000, r * 7919);
    }
    assert_in_range(sum / 1000, 800, 1200);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(down_by_one_failure_or_two),
        cmocka_unit_test(news_is_what_lasts),
        cmocka_unit_test(kinds_that_take_turns_are_told_too),
        cmocka_unit_test(backing_off_is_bounded_and_jittered),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
