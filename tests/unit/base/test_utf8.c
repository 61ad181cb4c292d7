/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_utf8.c: every code point and every two- and three-byte sequence, and names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/utf8.h"

static size_t put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Everything that fits the four forms; valid exactly if it is a scalar value. */
static void test_every_code_point(void **state)
{
    (void)state;
    char text[4];

    for (uint32_t c = 0; c < 0x200000; c++) {
        size_t n = put(text, c);
        bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);

        if (utf8_is_valid((struct slice){text, n}) != valid)
            fail_msg("U+%X", c);
        if (n > 1 && utf8_is_valid((struct slice){text, n - 1}))
            fail_msg("U+%X cut short", c);
    }
}

/* Two bytes: valid are two ASCII bytes, or a lead of c2..df with a trail. */
static void test_every_pair(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[2] = {(char)a, (char)b};
            bool valid =
                (a < 0x80 && b < 0x80) || (a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf);

            assert_int_equal(utf8_is_valid((struct slice){text, 2}), valid);
        }
    }
}

static void test_overlong(void **state)
{
    (void)state;
    assert_false(utf8_is_valid(SLICE("\xc0\x80")));
    assert_false(utf8_is_valid(SLICE("\xc1\xbf")));
    assert_false(utf8_is_valid(SLICE("\xe0\x9f\xbf")));
    assert_false(utf8_is_valid(SLICE("\xf0\x8f\xbf\xbf")));
    assert_false(utf8_is_valid(SLICE("\xed\xa0\x80")));
    assert_false(utf8_is_valid(SLICE("\xf4\x90\x80\x80")));
    assert_false(utf8_is_valid(SLICE("\xff")));
    assert_false(utf8_is_valid(SLICE("\x80")));
}

/* A bad byte at every place of a text longer than the widest step. */
static void test_every_place(void **state)
{
    (void)state;
    char text[70];

    for (size_t n = 0; n <= sizeof(text); n++) {
        memset(text, 'x', sizeof(text));
        assert_true(utf8_is_valid((struct slice){text, n}));
        for (size_t at = 0; at < n; at++) {
            text[at] = (char)0xff;
            assert_false(utf8_is_valid((struct slice){text, n}));
            text[at] = 'x';
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    char longest[NAME_MAX_BYTES + 1];

    memset(longest, 'n', sizeof(longest));
    assert_true(utf8_is_name((struct slice){longest, NAME_MAX_BYTES}));
    assert_false(utf8_is_name((struct slice){longest, NAME_MAX_BYTES + 1}));
    assert_false(utf8_is_name(SLICE("")));
    assert_true(utf8_is_name(SLICE(" ")));
    assert_true(utf8_is_name(SLICE("quakes:t\xc5\x8dky\xc5\x8d")));
    assert_false(utf8_is_name(SLICE("a\x7f")));
    assert_false(utf8_is_name(SLICE("a\nb")));
    assert_false(utf8_is_name(SLICE("a\0b")));
    assert_false(utf8_is_name(SLICE("a\xc5")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
