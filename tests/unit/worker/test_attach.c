/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_attach.c: where a partition goes on: every small combination of stream and log, against
 * rules that are stated here once more, plus the cases by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/attach.h"

static struct attach_plan decide(uint64_t last, int64_t low, int64_t end, enum attach_check check,
                                 int64_t share)
{
    struct attach_facts f = {last, low, end, check, share};

    return attach_decide(&f);
}

static void check_run(const struct attach_plan *p, uint64_t last, int64_t low, int64_t end,
                      int64_t share)
{
    assert_true(p->start >= low && p->start <= end);
    assert_int_equal(p->chain, p->start); /* the first entry is at least start + 1 */
    if (last == 0) {
        assert_true(p->start == low || p->start == end - share);
        assert_true(end - p->start <= share || p->start == low);
        assert_int_equal(p->rebuild, p->start < end);
        assert_false(p->gap);
    } else {
        assert_false(p->rebuild);
        assert_true(p->start >= (int64_t)last);             /* never again */
        assert_int_equal(p->gap, p->start > (int64_t)last); /* never a jump untold */
        assert_true(!p->gap || low > (int64_t)last);        /* never a gap unneeded */
    }
}

static void test_all_small_cases(void **state)
{
    size_t runs = 0;

    (void)state;
    for (uint64_t last = 0; last <= 7; last++)
        for (int64_t low = 0; low <= 6; low++)
            for (int64_t end = low; end <= 7; end++)
                for (int64_t share = 0; share <= 8; share++) {
                    enum attach_check check = attach_place(last, low, end);
                    struct attach_plan p = decide(last, low, end, check, share);

                    if (last && (int64_t)last > end) {
                        assert_int_equal(check, CHECK_BEYOND);
                        assert_int_equal(p.verdict, ATTACH_BEYOND);
                        continue;
                    }
                    assert_int_equal(p.verdict, ATTACH_RUN);
                    check_run(&p, last, low, end, share);
                    p = decide(last, low, end, CHECK_DIFFERENT, share);
                    assert_int_equal(p.verdict, ATTACH_NEWLOG);
                    p = decide(last, low, end, CHECK_BEYOND, share);
                    assert_int_equal(p.verdict, ATTACH_BEYOND);
                    runs++;
                }
    assert_true(runs > 1000);
}

static void test_place(void **state)
{
    (void)state;
    assert_int_equal(attach_place(0, 0, 9), CHECK_NONE);
    assert_int_equal(attach_place(1, 0, 9), CHECK_SAME); /* offset 0 */
    assert_int_equal(attach_place(9, 0, 9), CHECK_SAME); /* the last record */
    assert_int_equal(attach_place(10, 0, 9), CHECK_BEYOND);
    assert_int_equal(attach_place(4, 4, 9), CHECK_GONE); /* offset 3 is below low */
    assert_int_equal(attach_place(5, 4, 9), CHECK_SAME);
    assert_int_equal(attach_place(1, 0, 0), CHECK_BEYOND); /* recreated and empty */
}

static void test_retention_overtook(void **state)
{
    struct attach_plan p = decide(10, 50, 80, CHECK_GONE, 1000);

    (void)state;
    assert_int_equal(p.start, 50);
    assert_int_equal(p.chain, 50);
    assert_true(p.gap);
    p = decide(50, 50, 80, CHECK_GONE, 1000); /* only what was carried is gone */
    assert_int_equal(p.start, 50);
    assert_false(p.gap);
}

static void test_absent_stream_checks_the_commit(void **state)
{
    struct attach_plan p = decide(0, 0, 80, CHECK_SAME, 30);

    (void)state;
    assert_int_equal(p.start, 50); /* the commit is checked, never started from */
    assert_int_equal(decide(0, 0, 80, CHECK_DIFFERENT, 30).verdict, ATTACH_NEWLOG);
    assert_int_equal(decide(0, 0, 80, CHECK_BEYOND, 30).verdict, ATTACH_BEYOND);
}

static void test_lasts(void **state)
{
    uint64_t since = 0;

    (void)state;
    assert_false(attach_lasts(&since, true, 1000, 2000));
    assert_false(attach_lasts(&since, true, 2999, 2000));
    assert_true(attach_lasts(&since, true, 3000, 2000));
    assert_false(attach_lasts(&since, false, 3001, 2000));
    assert_false(attach_lasts(&since, true, 9000, 2000)); /* it begins anew */
    assert_true(attach_lasts(&since, true, 11000, 2000));
}

/* Each partition once in so many beats, and never many of them in one. */
static void test_checks_are_spread(void **state)
{
    enum {
        PARTITIONS = 64,
        TOPICS = 3
    };
    unsigned of[TOPICS][PARTITIONS] = {0};

    (void)state;
    for (uint64_t beat = 1000; beat < 1000 + ATTACH_CHECK_BEATS; beat++) {
        unsigned now = 0, due;

        for (uint32_t t = 0; t < TOPICS; t++) {
            for (int32_t p = 0; p < PARTITIONS; p++) {
                due = attach_check_is_due(beat, t, p);
                of[t][p] += due;
                now += due;
                assert_int_equal(due, attach_check_is_due(beat + ATTACH_CHECK_BEATS, t, p));
            }
        }
        assert_true(now <= TOPICS * PARTITIONS / 5 + TOPICS);
    }
    for (uint32_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            assert_int_equal(of[t][p], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_small_cases),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_retention_overtook),
        cmocka_unit_test(test_absent_stream_checks_the_commit),
        cmocka_unit_test(test_lasts),
        cmocka_unit_test(test_checks_are_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
