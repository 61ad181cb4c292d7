/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_logs.c: the first record of a (topic, n) wins, and what is no record is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/boot.h"
#include "fanout-worker/logs.h"

static struct log_record rec(const char *topic, uint32_t n, const char *log, int32_t partitions)
{
    struct log_record r = {.n = n, .partitions = partitions};

    memcpy(r.topic, topic, strlen(topic));
    memcpy(r.log, log, strlen(log));
    return r;
}

static void test_first_wins(void **state)
{
    struct logs ls = {NULL, 0, 0};
    struct log_record a = rec("t", 1, "aaaaaaaa", 4), b = rec("t", 1, "bbbbbbbb", 4);
    struct log_record c = rec("t", 2, "cccccccc", 8), d = rec("u", 7, "dddddddd", 1);
    int32_t earlier[LOGS_EARLIER_MAX];

    (void)state;
    assert_null(logs_newest(&ls, "t"));
    assert_true(logs_add(&ls, &c));
    assert_true(logs_add(&ls, &a));
    assert_false(logs_add(&ls, &b));
    assert_true(logs_add(&ls, &d));
    assert_string_equal(logs_get(&ls, "t", 1)->log, "aaaaaaaa");
    assert_int_equal(logs_newest(&ls, "t")->n, 2);
    assert_int_equal(logs_newest(&ls, "u")->n, 7);
    assert_int_equal(logs_earlier(&ls, "t", 2, earlier), 1);
    assert_int_equal(earlier[0], 4);
    assert_int_equal(logs_earlier(&ls, "t", 1, earlier), 0);
    logs_done(&ls);
}

static void test_text_round_trip(void **state)
{
    struct log_record r = rec("a\"b", 3, "Az09Az09", 16), back;
    struct buf b = BUF_INIT;

    (void)state;
    memcpy(r.cluster, "MkU3", 5);
    logs_print(&b, &r);
    assert_int_equal(logs_parse(buf_as_slice(&b), &back), 0);
    assert_string_equal(back.topic, r.topic);
    assert_string_equal(back.log, r.log);
    assert_string_equal(back.cluster, r.cluster);
    assert_int_equal(back.n, 3);
    assert_int_equal(back.partitions, 16);
    buf_done(&b);
}

static void test_refused_texts(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"topic\":\"t\",\"n\":0,\"log\":\"aaaaaaaa\",\"partitions\":4}",
        "{\"topic\":\"t\",\"n\":1,\"log\":\"aaaaaaa\",\"partitions\":4}",
        "{\"topic\":\"t\",\"n\":1,\"log\":\"aaaa-aaa\",\"partitions\":4}",
        "{\"topic\":\"t\",\"n\":1,\"log\":\"aaaaaaaa\",\"partitions\":0}",
        "{\"topic\":\"\",\"n\":1,\"log\":\"aaaaaaaa\",\"partitions\":4}",
        "{\"topic\":\"t\",\"n\":\"1\",\"log\":\"aaaaaaaa\",\"partitions\":4}",
        "{\"topic\":\"t\",\"n\":1,\"log\":\"aaaaaaaa\",\"partitions\":4,\"cluster\":7}",
        "{\"topic\":\"t\",\"n\":4294967297,\"log\":\"aaaaaaaa\",\"partitions\":4}",
    };
    struct log_record r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(logs_parse(slice_of(bad[i]), &r), -EBADMSG);
    assert_int_equal(
        logs_parse(
            SLICE("{\"topic\":\"t\",\"n\":1,\"log\":\"aaaaaaaa\",\"partitions\":4,\"later\":1}"),
            &r),
        0);
}

static void test_fit(void **state)
{
    struct log_record r = rec("t", 1, "aaaaaaaa", 4);

    (void)state;
    assert_int_equal(logs_fits(&r, 4, ""), LOGS_FIT);
    assert_int_equal(logs_fits(&r, 5, ""), LOGS_GROWN);
    assert_int_equal(logs_fits(&r, 3, ""), LOGS_SMALLER);
    memcpy(r.cluster, "one", 4);
    assert_int_equal(logs_fits(&r, 4, "two"), LOGS_GROWN);
    assert_int_equal(logs_fits(&r, 4, ""), LOGS_FIT);
}

static void test_boot_numbers(void **state)
{
    struct slice info =
        SLICE("# Memory\r\nused_memory:1\r\nmaxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n");

    (void)state;
    assert_int_equal(boot_info_number(info, "maxmemory"), 1048576);
    assert_int_equal(boot_info_number(info, "used_memory"), 1);
    assert_int_equal(boot_info_number(info, "memory"), -1);
    assert_int_equal(boot_info_number(info, "maxmemory_policy"), -1);
    assert_int_equal(boot_stream_bytes(777, 0, 4), 777);
    assert_int_equal(boot_stream_bytes(0, MIB(800), 4), MIB(100));
    assert_int_equal(boot_stream_bytes(0, 0, 4), MIB(64));
    assert_int_equal(boot_stream_bytes(0, 0, 100000), KIB(256));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_wins),    cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_refused_texts), cmocka_unit_test(test_fit),
        cmocka_unit_test(test_boot_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
