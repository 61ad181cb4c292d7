/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shard_lws.c: how many libwebsockets contexts a shard has, for each limit of open files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/runtime/proc.h"

#include "edge-node/shard_lws.h"

static size_t tables(uint64_t most)
{
    uint64_t v[SHARD_LWS_TABLES];
    size_t n = shard_lws_tables(most, v);

    assert_in_range(n, 1, SHARD_LWS_TABLES);
    assert_int_equal(v[n - 1], most);
    for (size_t i = 0; i + 1 < n; i++)
        assert_int_equal(v[i], v[i + 1] / 4);
    return n;
}

static void as_many_as_the_limit_is_worth(void **state)
{
    (void)state;
    assert_int_equal(tables(256), 1);
    assert_int_equal(tables(1024), 1);
    assert_int_equal(tables(5000), 1);
    assert_int_equal(tables(20000), 2);
    assert_int_equal(tables(65536), 3);
    assert_int_equal(tables(524288), 5);
    assert_int_equal(tables(PROC_FD_MAX), 5);
}

/* Who has few descriptors in use is never searched for in a long table. */
static void the_shortest_is_short(void **state)
{
    (void)state;
    for (uint64_t most = 64; most <= PROC_FD_MAX; most += 61) {
        uint64_t v[SHARD_LWS_TABLES];
        (void)shard_lws_tables(most, v);
        assert_true(v[0] < 8192);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_the_limit_is_worth),
        cmocka_unit_test(the_shortest_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
