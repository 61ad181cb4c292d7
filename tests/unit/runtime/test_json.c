/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_json.c: what the strict tree takes and refuses, exact integers, values in a row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/runtime/json.h"

static void refuse(struct slice text)
{
    struct json_error err;
    struct json *j = json_parse(text, &err);

    assert_null(j);
    assert_true(err.text[0]);
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[01]",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"\t\"",
        "\"\xff\"",
        "\"\xc0\xaf\"",
        "1 2",
        "{}x",
        "nul",
        "[1e999]",
        "+1",
        ".5",
        "\"\\ud800\"",
        "\"\\x\"",
        "{\"a\":1,\"a\":2}",
        "9223372036854775808",
        "-9223372036854775809",
        "\"\\u0000\"",
        "{\"a\\u0000b\":1}",
        "// x\n1",
        "NaN",
        "\xef\xbb\xbf{}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refuse(slice_of(bad[i]));
    refuse((struct slice){NULL, 0});
    refuse((struct slice){"1\0", 2});
}

static void test_depth_is_bounded(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_byte(&b, '[');
    refuse(buf_as_slice(&b));
    buf_done(&b);
}

static void test_error_place_without_input(void **state)
{
    struct json_error err;

    (void)state;
    assert_null(json_parse(SLICE("{\n  \"password\": \"hunter2\" hunter3\n}"), &err));
    assert_int_equal(err.line, 2);
    assert_true(err.column > 20);
    assert_null(strstr(err.text, "hunter"));
    assert_null(json_parse(SLICE("{\"password\": \"hunter2"), &err));
    assert_null(strstr(err.text, "hunter"));
    assert_int_equal(err.line, 1);
}

static void test_exact_integers(void **state)
{
    struct json_error err;
    struct json *j = json_parse(
        SLICE("[9007199254740993, 9223372036854775807, -9223372036854775808, -1, 1.0]"), &err);
    int64_t v;
    uint64_t u;
    double d;

    (void)state;
    assert_non_null(j);
    assert_true(json_i64(json_at(j, 0), &v) && v == 9007199254740993);
    assert_true(json_i64(json_at(j, 1), &v) && v == INT64_MAX);
    assert_true(json_i64(json_at(j, 2), &v) && v == INT64_MIN);
    assert_true(json_u64(json_at(j, 1), &u) && u == INT64_MAX);
    assert_false(json_u64(json_at(j, 3), &u));
    assert_false(json_i64(json_at(j, 4), &v));
    assert_true(json_number(json_at(j, 4), &d) && d > 0.99 && d < 1.01);
    assert_true(json_number(json_at(j, 3), &d) && d < 0);
    assert_null(json_at(j, 5));
    json_free(j);
}

static void test_readers(void **state)
{
    struct json_error err;
    struct json *j = json_parse(
        SLICE("{\"z\":null,\"a\":true,\"m\":\"x\xc3\xa9\",\"l\":[1],\"r\":1.5,\"o\":{}}"), &err);
    static const char *const names[] = {"z", "a", "m", "l", "r", "o"};
    static const enum json_kind kinds[] = {JSON_T_NULL,  JSON_T_BOOL, JSON_T_STRING,
                                           JSON_T_ARRAY, JSON_T_REAL, JSON_T_OBJECT};
    const struct json *value;
    struct slice name, text;
    void *it = NULL;
    size_t n = 0;
    bool b;

    (void)state;
    assert_non_null(j);
    while (json_next(j, &it, &name, &value)) {
        assert_true(slice_eq(name, slice_of(names[n])));
        assert_int_equal(json_kind(value), kinds[n]);
        n++;
    }
    assert_int_equal(n, 6);
    assert_int_equal(json_size(j), 6);
    assert_int_equal(json_size(json_get(j, "l")), 1);
    assert_int_equal(json_size(json_get(j, "m")), 0);
    assert_true(json_bool(json_get(j, "a"), &b) && b);
    assert_false(json_bool(json_get(j, "z"), &b));
    assert_true(json_text(json_get(j, "m"), &text) && slice_eq(text, SLICE("x\xc3\xa9")));
    assert_null(json_get(j, "none"));
    assert_null(json_get(json_get(j, "l"), "a"));
    assert_null(json_get(NULL, "a"));
    assert_false(json_text(NULL, &text));
    assert_string_equal(json_type_name(json_get(j, "o")), "object");
    json_free(j);
    json_free(NULL);
}

static void test_print(void **state)
{
    static const char text[] = "{\"b\":[1,null,\"\xe2\x82\xac\\n\"],\"a\":false}";
    struct json_error err;
    struct json *j = json_parse(SLICE(text), &err);
    char *printed;

    (void)state;
    printed = json_print(j);
    assert_string_equal(printed, text);
    free(printed);
    json_free(j);
}

static void test_take_several(void **state)
{
    struct slice text = SLICE(" {\"id\":1}\n{\"id\":2}\r\n\t[3] 4 \"\xc3\xa9\"5{\"id\":6} \n");
    static const char *const want[] = {"{\"id\":1}",   "{\"id\":2}", "[3]",       "4",
                                       "\"\xc3\xa9\"", "5",          "{\"id\":6}"};
    struct json_error err;
    struct json *j;
    size_t n = 0;

    (void)state;
    while ((j = json_take(&text, &err))) {
        char *printed = json_print(j);

        assert_true(n < ARRAY_LEN(want));
        assert_string_equal(printed, want[n++]);
        free(printed);
        json_free(j);
    }
    assert_int_equal(n, ARRAY_LEN(want));
    assert_int_equal(text.n, 0);
    assert_int_equal(err.text[0], 0);
}

static void test_take_stops_at_the_bad_one(void **state)
{
    struct slice text = SLICE("{}\n{]\n{}");
    struct json_error err;
    struct json *j = json_take(&text, &err);

    (void)state;
    assert_non_null(j);
    json_free(j);
    assert_null(json_take(&text, &err));
    assert_true(err.text[0]);
    text = (struct slice){"[1\0,2]", 6};
    assert_null(json_take(&text, &err));
    assert_string_equal(err.text, "NUL byte");
    text = SLICE("");
    assert_null(json_take(&text, &err));
    assert_int_equal(err.text[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_error_place_without_input),
        cmocka_unit_test(test_exact_integers),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_take_several),
        cmocka_unit_test(test_take_stops_at_the_bad_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
