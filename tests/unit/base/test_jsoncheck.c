/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jsoncheck.c: what RFC 8259 allows and what it doesn't, depth, line breaks, every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/jsoncheck.h"

static void expect(enum jsoncheck result, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (jsoncheck(slice_of(texts[i])) != result)
            fail_msg("%s", texts[i]);
    }
}

static void test_valid(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "1",
        "-12.5e+3",
        "1E9",
        "0.0001",
        "123456789012345678901234567890",
        "1e999",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        " [ ] ",
        "\t{ } ",
        "[[],{}]",
        "[1,2,3]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":\"e\"}",
        "[1 , 2]",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABCD\"",
        "\"\\ud800\"",
        "\"\x7f\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xba\"",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
    };

    expect(JSONCHECK_OK, texts, ARRAY_LEN(texts));
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "{a:1}",
        "'a'",
        "01",
        "[01]",
        "-",
        "-a",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "tru",
        "trueX",
        "True",
        "nul",
        "NaN",
        "Infinity",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u123",
        "\"a\tb\"",
        "\"a\nb\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "\xef\xbb\xbf[]",
        "[1]x",
        "[]]",
        "[1]\v",
        "\f[]",
        "/* c */ 1",
        "[\"a\":1]",
        "\xc3\xa9",
    };

    expect(JSONCHECK_INVALID, texts, ARRAY_LEN(texts));
    assert_int_equal(jsoncheck((struct slice){NULL, 0}), JSONCHECK_INVALID);
    assert_int_equal(jsoncheck(SLICE("1\0")), JSONCHECK_INVALID);
    assert_int_equal(jsoncheck(SLICE("\"a\0b\"")), JSONCHECK_INVALID);
    assert_int_equal(jsoncheck(SLICE("[0\0,1]")), JSONCHECK_INVALID);
}

static void test_lines(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\n1",         "1\r",         "[\n]",        "[1\n,2]",     "[1,\r\n2]",
        "{\n\"a\":1}", "{\"a\"\n:1}", "{\"a\":\n1}", "{\"a\":1\n}",
    };
    char out[16];

    expect(JSONCHECK_LINES, texts, ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size_t n = jsoncheck_strip_lines(out, slice_of(texts[i]));

        assert_int_equal(jsoncheck((struct slice){out, n}), JSONCHECK_OK);
    }
    assert_int_equal(jsoncheck_strip_lines(out, SLICE("[1,\r\n 2]")), 6);
    assert_memory_equal(out, "[1, 2]", 6);
    assert_int_equal(jsoncheck(SLICE("\"\\n\\r\"")), JSONCHECK_OK);
}

static enum jsoncheck nested(size_t depth, const char *open, const char *close)
{
    struct buf b = BUF_INIT;
    enum jsoncheck result;

    for (size_t i = 0; i < depth; i++)
        buf_str(&b, open);
    buf_byte(&b, '1');
    for (size_t i = 0; i < depth; i++)
        buf_str(&b, close);
    result = jsoncheck(buf_as_slice(&b));
    buf_done(&b);
    return result;
}

static void test_depth(void **state)
{
    (void)state;
    assert_int_equal(nested(JSONCHECK_DEPTH, "[", "]"), JSONCHECK_OK);
    assert_int_equal(nested(JSONCHECK_DEPTH, "{\"a\":", "}"), JSONCHECK_OK);
    assert_int_equal(nested(JSONCHECK_DEPTH / 2, "[{\"a\":", "}]"), JSONCHECK_OK);
    assert_int_equal(nested(JSONCHECK_DEPTH + 1, "[", "]"), JSONCHECK_INVALID);
    assert_int_equal(nested(JSONCHECK_DEPTH + 1, "{\"a\":", "}"), JSONCHECK_INVALID);
    assert_int_equal(nested(100000, "[", "]"), JSONCHECK_INVALID);
    /* Depth is not count: many containers after one another are fine. */
    assert_int_equal(nested(1, "[[],[],{},[[]],[{}],[],[],[],[],[],[],[],[],[],[],[],", "]"),
                     JSONCHECK_OK);
}

/* A byte that no string may hold as it is, at every place of strings of every length. */
static void test_every_place(void **state)
{
    (void)state;
    static const char bad[] = {'"', '\\', '\n', 0x1f, 0, (char)0xff, (char)0x80};
    char text[70];

    for (size_t n = 2; n <= sizeof(text); n++) {
        memset(text, 'x', sizeof(text));
        text[0] = text[n - 1] = '"';
        assert_int_equal(jsoncheck((struct slice){text, n}), JSONCHECK_OK);
        assert_int_equal(jsoncheck((struct slice){text, n - 1}), JSONCHECK_INVALID);
        for (size_t at = 1; at + 1 < n; at++) {
            for (size_t i = 0; i < sizeof(bad); i++) {
                text[at] = bad[i];
                assert_int_equal(jsoncheck((struct slice){text, n}), JSONCHECK_INVALID);
            }
            text[at] = 'x';
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),       cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_depth),
        cmocka_unit_test(test_every_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
