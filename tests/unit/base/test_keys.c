/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_keys.c: keys as they are drawn, and beacon rows, valid and broken.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/keys.h"

static void test_keys(void **state)
{
    (void)state;
    char key[KEY_MAX], topic[TOPIC_MAX + 1];

    assert_int_equal(key_stream(key, "abcd1234", 7), 15);
    assert_string_equal(key, "ff:{abcd1234:7}");
    assert_int_equal(key_side(key, "abcd1234", INT32_MAX), 29);
    assert_string_equal(key, "ff:{abcd1234:2147483647}:side");
    assert_int_equal(key_index(key, "abcd1234", 7), strlen("ff:{abcd1234:7}:last"));
    assert_string_equal(key, "ff:{abcd1234:7}:last");
    assert_int_equal(key_index_old(key, "abcd1234", 7), strlen("ff:{abcd1234:7}:last:old"));
    assert_string_equal(key, "ff:{abcd1234:7}:last:old");
    assert_int_equal(key_topic(key, "quakes"), 15);
    assert_string_equal(key, "ff:topic:quakes");
    memset(topic, 't', TOPIC_MAX);
    topic[TOPIC_MAX] = '\0';
    assert_int_equal(key_topic(key, topic), 9 + TOPIC_MAX);
    assert_int_equal(beacon_field(key, "abcd1234", 0), 12);
    assert_string_equal(key, "p:abcd1234:0");
}

static void test_log_id(void **state)
{
    (void)state;
    assert_true(log_id_is_valid(SLICE("09azAZ5x")));
    assert_false(log_id_is_valid(SLICE("09azAZ5")));
    assert_false(log_id_is_valid(SLICE("09azAZ5xy")));
    assert_false(log_id_is_valid(SLICE("09azAZ5_")));
    assert_false(log_id_is_valid(SLICE("09azAZ\xc3\xa9")));
    assert_false(log_id_is_valid(SLICE("")));
}

static void test_beacon_round_trip(void **state)
{
    (void)state;
    struct beacon_row row = {.log = "abcd1234", .partition = 3, .state = BEACON_STALLED}, got;
    char field[KEY_MAX], value[256];
    size_t nf, nv;

    row.counter = UINT64_MAX;
    row.low = 1;
    row.end = row.last = row.age_ms = INT64_MAX;
    memset(row.worker, 'w', WORKER_ID_MAX - 1);
    nf = beacon_field(field, row.log, row.partition);
    nv = beacon_print(value, &row);
    memset(&got, 0xaa, sizeof(got));
    assert_int_equal(beacon_parse((struct slice){field, nf}, (struct slice){value, nv}, &got), 0);
    assert_string_equal(got.log, row.log);
    assert_string_equal(got.worker, row.worker);
    assert_int_equal(got.partition, 3);
    assert_int_equal(got.state, BEACON_STALLED);
    assert_true(got.counter == row.counter && got.low == 1 && got.end == INT64_MAX &&
                got.last == INT64_MAX && got.age_ms == INT64_MAX);
}

static void test_beacon_text(void **state)
{
    (void)state;
    struct beacon_row row = {
        .counter = 5, .state = BEACON_REBUILD, .low = 1, .end = 9, .last = 7, .age_ms = 30};
    char value[256];

    strcpy(row.worker, "host-1");
    beacon_print(value, &row);
    assert_string_equal(value, "5 host-1 rebuild 1 9 7 30");
    assert_int_equal(beacon_parse(SLICE("p:abcd1234:0"), SLICE("1 w live 1 0 0 0"), &row), 0);
    assert_int_equal(row.state, BEACON_LIVE);
    assert_int_equal(row.end, 0);
    assert_int_equal(beacon_parse(SLICE("p:abcd1234:0"), SLICE("1 w live 1 2 3"), &row), 0);
    assert_true(row.last == 3 && row.age_ms == BEACON_AGE_UNKNOWN); /* an older worker's */
}

static void test_beacon_fields(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "p",
        "p:",
        "p:abcd1234",
        "p:abcd1234:",
        "p:abcd1234:x",
        "p:abcd1234:-1",
        "p:abcd1234:01",
        "p:abcd1234:2147483648",
        "p:abcd1234:1:",
        "p:abcd1234:1:2",
        "p:abc:1",
        "q:abcd1234:1",
        "w",
        "W:x",
        "p:abcd1234:1 ",
    };
    struct beacon_row row;

    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(beacon_parse(slice_of(broken[i]), SLICE("1 w live 1 2 2 0"), &row),
                         -EBADMSG);
    assert_int_equal(beacon_parse(SLICE("w:host-1"), SLICE("1 16"), &row), -ENOENT);
}

static void test_beacon_values(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "1",
        "1 w",
        "1 w live",
        "1 w live 1",
        "1 w live 1 2",
        "1 w live 1 2 ",
        "1 w live 1 2 3 ",
        "1 w live 1 2 3 4 ",
        "1 w live 1 2 3 4 5",
        "x w live 1 2 3 4",
        " 1 w live 1 2 3 4",
        "1  live 1 2 3 4",
        "1 w dead 1 2 3 4",
        "1 w Live 1 2 3 4",
        "1 w live -1 2 3 4",
        "1 w live 1 +2 3 4",
        "1 w live 1 2 03 4",
        "1 w live 1 2 3 9223372036854775808",
        "18446744073709551616 w live 1 2 3 4",
    };
    struct beacon_row row = {.counter = 77};
    char worker[128];

    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        assert_int_equal(beacon_parse(SLICE("p:abcd1234:1"), slice_of(broken[i]), &row), -EBADMSG);
    assert_int_equal(row.counter, 77);
    worker[0] = '1';
    worker[1] = ' ';
    memset(worker + 2, 'w', WORKER_ID_MAX);
    memcpy(worker + 2 + WORKER_ID_MAX, " live 1 2 3 4", sizeof(" live 1 2 3 4"));
    assert_int_equal(beacon_parse(SLICE("p:abcd1234:1"), slice_of(worker), &row), -EBADMSG);
    assert_int_equal(beacon_parse(SLICE("p:abcd1234:1"), SLICE("1 a\0b live 1 2 3 4"), &row),
                     -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_log_id),
        cmocka_unit_test(test_beacon_round_trip),
        cmocka_unit_test(test_beacon_text),
        cmocka_unit_test(test_beacon_fields),
        cmocka_unit_test(test_beacon_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
