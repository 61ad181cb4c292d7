/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stores.c: where partitions are is a format; a server more moves its share and nothing else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/stores.h"

#define PARTITIONS 1000

static struct stores with(size_t n)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct stores st = {0};

    for (size_t i = n; i-- > 0;) /* the order doesn't matter */
        assert_int_equal(stores_add(&st, slice_of(names[i]), slice_of(names[i])), 0);
    return st;
}

static void without_a_table_all_is_at_home(void **state)
{
    const struct stores st = {0};

    (void)state;
    assert_string_equal(stores_url(&st, "abcdefgh", 3), STORE_HOME);
}

static void one_more_takes_its_share(void **state)
{
    (void)state;
    for (size_t n = 1; n < 4; n++) {
        struct stores few = with(n), more = with(n + 1);
        size_t moved = 0, share = PARTITIONS / (n + 1);

        for (int32_t p = 0; p < PARTITIONS; p++) {
            const char *before = stores_url(&few, "abcdefgh", p);
            const char *after = stores_url(&more, "abcdefgh", p);

            if (strcmp(before, after) == 0)
                continue;
            moved++;
            assert_string_equal(after, more.v[n].name); /* to the new one only */
        }
        assert_true(moved > share * 8 / 10 && moved < share * 12 / 10);
        stores_done(&few);
        stores_done(&more);
    }
}

/* Workers and edges of other versions must find the same. */
static void the_places_are_a_format(void **state)
{
    struct stores st = with(4);
    char got[9] = "";

    (void)state;
    for (int32_t p = 0; p < 8; p++)
        got[p] = stores_url(&st, "Zb3xQ0k9", p)[0];
    assert_string_equal(got, "dccdabbd");
    stores_done(&st);
}

static void a_table_is_read_from_its_hash(void **state)
{
    struct stores st = {0}, other = with(2);

    (void)state;
    assert_int_equal(stores_take(&st, SLICE("version"), SLICE("12")), 0);
    assert_int_equal(stores_take(&st, SLICE("s:b"), SLICE("b")), 0);
    assert_int_equal(stores_take(&st, SLICE("later"), SLICE("x")), 0);
    assert_false(stores_are_same(&st, &other));
    assert_int_equal(stores_take(&st, SLICE("s:a"), SLICE("a")), 0);
    assert_true(stores_are_same(&st, &other));
    assert_int_equal(st.version, 12);
    assert_int_equal(stores_take(&st, SLICE("s:a"), SLICE("z")), -EINVAL);
    assert_int_equal(stores_take(&st, SLICE("s:a b"), SLICE("z")), -EINVAL);
    assert_int_equal(stores_take(&st, SLICE("version"), SLICE("-1")), -EINVAL);
    for (int i = 0; i < STORES_MAX - 2; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(stores_add(&st, slice_of(name), SLICE("u")), 0);
    }
    assert_int_equal(stores_add(&st, SLICE("more"), SLICE("u")), -ENOSPC);
    stores_done(&st);
    stores_done(&other);
}

static void the_greater_version_counts(void **state)
{
    struct stores used = {.version = 2}, read = {.version = 2}, none = {.version = 0};

    (void)state;
    assert_int_equal(stores_add(&used, SLICE("a"), SLICE("u")), 0);
    assert_int_equal(stores_add(&read, SLICE("a"), SLICE("u")), 0);
    assert_true(stores_replace(&read, &none));
    assert_false(stores_replace(&none, &none));
    assert_false(stores_replace(&none, &used)); /* home forgot it */
    assert_false(stores_replace(&read, &used));
    assert_int_equal(stores_add(&read, SLICE("b"), SLICE("v")), 0);
    assert_true(stores_replace(&read, &used)); /* two of one version: all follow the one at home */
    read.version = 1;
    assert_false(stores_replace(&read, &used));
    stores_done(&used);
    stores_done(&read);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(without_a_table_all_is_at_home),
        cmocka_unit_test(one_more_takes_its_share),
        cmocka_unit_test(the_places_are_a_format),
        cmocka_unit_test(a_table_is_read_from_its_hash),
        cmocka_unit_test(the_greater_version_counts),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
