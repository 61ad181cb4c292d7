/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coord_consul_entry.c: a key of Consul's, as it is answered.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/io/coord_consul.h"

static const char long_session[] =
    "[{\"ModifyIndex\":7,\"Session\":\"01234567890123456789012345678901"
    "23456789012345678901234567890123\"}]";

static void test_read(void **state)
{
    static const struct {
        const char *value;
        struct slice want;
    } good[] = {{"null", {"", 0}},
                {"\"\"", {"", 0}},
                {"\"YQ==\"", {"a", 1}},
                {"\"YWI=\"", {"ab", 2}},
                {"\"YWJj\"", {"abc", 3}},
                {"\"+/+/AA==\"", {"\xfb\xff\xbf\0", 4}},
                {"\"YWJjZA==\"", {"abcd", 4}}};
    static const char *const bad[] = {
        "",
        "[]",
        "[{}]",
        "[{\"ModifyIndex\":-1}]",
        "[{\"ModifyIndex\":7,\"Value\":3}]",
        "[{\"ModifyIndex\":7,\"Value\":\"YQ\"}]",
        "[{\"ModifyIndex\":7,\"Value\":\"Y===\"}]",
        "[{\"ModifyIndex\":7,\"Value\":\"Y Q=\"}]",
        long_session,
    };
    struct consul_entry e;
    char body[160];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(body, sizeof(body),
                 "[{\"Key\":\"k\",\"ModifyIndex\":7,\"Session\":\"s\",\"Value\":%s}]",
                 good[i].value);
        assert_int_equal(consul_entry(slice_of(body), &e), 0);
        assert_int_equal(e.index, 7);
        assert_string_equal(e.session, "s");
        if (!slice_eq(buf_as_slice(&e.value), good[i].want))
            fail_msg("%s: %.*s", good[i].value, (int)e.value.n, e.value.p);
        consul_entry_done(&e);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (consul_entry(slice_of(bad[i]), &e) != -EBADMSG)
            fail_msg("%s is good", bad[i]);
}

/* The greatest value that Consul takes is read; what no Consul says isn't even parsed. */
static void test_large(void **state)
{
    static const size_t sizes[] = {KIB(512), MIB(1)};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf body = BUF_INIT;
        struct consul_entry e;

        buf_lit(&body, "[{\"ModifyIndex\":7,\"Value\":\"");
        for (size_t n = 0; n < sizes[i] / 3 * 4; n += 4)
            buf_lit(&body, "YWJj");
        buf_lit(&body, "\"}]");
        assert_int_equal(consul_entry(buf_as_slice(&body), &e), i ? -EBADMSG : 0);
        if (!i)
            consul_entry_done(&e);
        buf_done(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_large)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
