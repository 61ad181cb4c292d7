/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_buf.c: growth, numbers, JSON strings, base64 (RFC 4648 section 10), varints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/buf.h"

static void expect(struct buf *b, const char *text)
{
    assert_int_equal(b->n, strlen(text));
    assert_memory_equal(buf_as_slice(b).p, text, b->n);
    buf_done(b);
}

static void test_growth(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;

    for (int i = 0; i < 100000; i++)
        buf_byte(&b, (unsigned char)i);
    assert_int_equal(b.n, 100000);
    assert_true(b.cap >= b.n);
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal((unsigned char)b.p[i], i % 256);
    buf_consume(&b, 99999);
    assert_int_equal(b.n, 1);
    assert_int_equal((unsigned char)b.p[0], 99999 % 256);
    buf_consume(&b, 1);
    buf_shrink(&b, b.cap);
    assert_non_null(b.p);
    buf_shrink(&b, 10);
    assert_null(b.p);
    assert_int_equal(b.cap, 0);
}

static void test_shrink_keeps_content(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;

    buf_lit(&b, "content");
    buf_shrink(&b, 0);
    expect(&b, "content");
}

static void test_empty(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;

    buf_slice(&b, (struct slice){NULL, 0});
    assert_non_null(buf_as_slice(&b).p);
    assert_int_equal(buf_as_slice(&b).n, 0);
    expect(&b, "");
}

static void test_numbers(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;

    buf_u64(&b, 0);
    buf_byte(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_byte(&b, ' ');
    buf_i64(&b, INT64_MIN);
    buf_byte(&b, ' ');
    buf_i64(&b, INT64_MAX);
    buf_byte(&b, ' ');
    buf_i64(&b, -7);
    expect(&b, "0 18446744073709551615 -9223372036854775808 9223372036854775807 -7");
}

static void test_printf(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    char longer[300];

    memset(longer, 'x', sizeof(longer));
    buf_printf(&b, "%d-%s", 5, "a");
    buf_printf(&b, "%.*s", (int)sizeof(longer), longer);
    assert_int_equal(b.n, 3 + sizeof(longer));
    assert_memory_equal(b.p, "5-a", 3);
    assert_memory_equal(b.p + 3, longer, sizeof(longer));
    buf_done(&b);
}

/* 0..63 bytes in front of it: the special byte stands at every place of a 16-byte step. */
static void expect_escape(const char *raw, size_t n, const char *escaped)
{
    char in[80], out[96];

    for (size_t before = 0; before < 64; before++) {
        struct buf b = BUF_INIT;

        memset(in, 'x', before);
        memcpy(in + before, raw, n);
        out[0] = '"';
        memset(out + 1, 'x', before);
        (void)snprintf(out + 1 + before, sizeof(out) - 1 - before, "%s\"", escaped);
        buf_json_string(&b, (struct slice){in, before + n});
        expect(&b, out);
    }
}

static void test_json_string(void **state)
{
    (void)state;
    expect_escape("", 0, "");
    expect_escape("\"", 1, "\\\"");
    expect_escape("\\", 1, "\\\\");
    expect_escape("\b\t\n\f\r", 5, "\\b\\t\\n\\f\\r");
    expect_escape("\0", 1, "\\u0000");
    expect_escape("\x1f", 1, "\\u001f");
    expect_escape("\x7f /", 3, "\x7f /");
    expect_escape("\xc3\xa9\xe2\x82\xac", 5, "\xc3\xa9\xe2\x82\xac");
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };

    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct buf b = BUF_INIT;

        buf_base64(&b, slice_of(vectors[i][0]));
        expect(&b, vectors[i][1]);
    }
}

static void test_varint(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;

    buf_varint(&b, 0);
    buf_varint(&b, 127);
    buf_varint(&b, 128);
    buf_varint(&b, 300);
    buf_varint(&b, UINT64_MAX);
    assert_int_equal(b.n, 16);
    assert_memory_equal(b.p, "\x00\x7f\x80\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                        16);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth), cmocka_unit_test(test_shrink_keeps_content),
        cmocka_unit_test(test_empty),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_printf), cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_base64), cmocka_unit_test(test_varint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
