/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hist.c: percentiles against sorted values, the promised precision, merging, the edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "loadgen/hist.h"

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void assert_close(uint64_t got, uint64_t want)
{
    assert_true(got >= want);
    assert_true((double)(got - want) <= (double)want * 0.001);
}

static void test_percentiles(void **state)
{
    (void)state;
    enum {
        N = 20000
    };
    static uint64_t v[N];
    struct hist *h = malloc(sizeof *h);
    hist_init(h);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < N; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v[i] = x >> (24 + x % 40); /* many magnitudes */
        hist_add(h, v[i]);
    }
    qsort(v, N, sizeof v[0], compare);
    assert_int_equal(h->count, N);
    assert_int_equal(h->min, v[0]);
    assert_int_equal(h->max, v[N - 1]);
    static const double percents[] = {0.005, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < ARRAY_LEN(percents); i++) {
        size_t rank = (size_t)(percents[i] / 100 * N + 0.999999);
        assert_close(hist_at(h, percents[i]), v[rank - 1]);
    }
    free(h);
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    struct hist *h = malloc(sizeof *h);
    hist_init(h);
    for (uint64_t i = 1; i <= 2000; i++)
        hist_add(h, i);
    assert_int_equal(hist_at(h, 50), 1000);
    assert_int_equal(hist_at(h, 99.95), 1999);
    assert_int_equal(hist_at(h, 100), 2000);
    assert_true(hist_mean(h) == 1000.5);
    free(h);
}

static void test_merge_is_adding_all(void **state)
{
    (void)state;
    struct hist *a = malloc(sizeof *a), *b = malloc(sizeof *b), *all = malloc(sizeof *all);
    hist_init(a);
    hist_init(b);
    hist_init(all);
    for (uint64_t i = 0; i < 5000; i++) {
        hist_add(i % 3 ? a : b, i * i * 31);
        hist_add(all, i * i * 31);
    }
    hist_merge(a, b);
    assert_memory_equal(a, all, sizeof *a);
    free(a);
    free(b);
    free(all);
}

static void test_buckets_as_json(void **state)
{
    (void)state;
    struct hist *h = malloc(sizeof *h);
    struct buf out = BUF_INIT;
    hist_init(h);
    hist_buckets_json(h, &out);
    hist_add(h, 7);
    hist_add(h, 7);
    hist_add(h, 4097); /* shares its bucket with three others */
    hist_buckets_json(h, &out);
    buf_byte(&out, 0);
    assert_string_equal(out.p, "[][[7,2],[4099,1]]");
    buf_done(&out);
    free(h);
}

static void test_empty_and_huge(void **state)
{
    (void)state;
    struct hist *h = malloc(sizeof *h);
    hist_init(h);
    assert_int_equal(hist_at(h, 50), 0);
    assert_true(hist_mean(h) == 0.0);
    hist_add(h, 0);
    assert_int_equal(hist_at(h, 50), 0);
    hist_add(h, UINT64_MAX);
    assert_int_equal(hist_at(h, 100), ((uint64_t)1 << HIST_BITS) - 1);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles),         cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_merge_is_adding_all), cmocka_unit_test(test_buckets_as_json),
        cmocka_unit_test(test_empty_and_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
