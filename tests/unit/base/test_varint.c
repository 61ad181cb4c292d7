/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_varint.c: reading varints back, and refusing what is cut short or too big.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/varint.h"

static void test_round_trip(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t v = ((uint64_t)1 << bit) + (uint64_t)off, got = 0;
            struct buf b = BUF_INIT;
            struct slice s;

            buf_varint(&b, v);
            buf_byte(&b, 0xee);
            s = buf_as_slice(&b);
            assert_int_equal(varint_take(&s, &got), 0);
            assert_true(got == v);
            assert_int_equal(s.n, 1);
            for (size_t cut = 0; cut + 1 < b.n; cut++) {
                struct slice shorter = {b.p, cut};

                assert_int_equal(varint_take(&shorter, &got), -EBADMSG);
                assert_int_equal(shorter.n, cut);
            }
            buf_done(&b);
        }
    }
}

static void test_too_big(void **state)
{
    (void)state;
    struct slice over = SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    struct slice longer = SLICE("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01");
    uint64_t v = 5;

    assert_int_equal(varint_take(&over, &v), -EBADMSG);
    assert_int_equal(varint_take(&longer, &v), -EBADMSG);
    assert_int_equal(v, 5);
}

static void test_bytes(void **state)
{
    (void)state;
    struct slice s = SLICE("\x03"
                           "abc"
                           "\x00"
                           "\x05"
                           "abcd");
    struct slice got;

    assert_int_equal(varint_take_bytes(&s, &got), 0);
    assert_true(slice_eq(got, SLICE("abc")));
    assert_int_equal(varint_take_bytes(&s, &got), 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(varint_take_bytes(&s, &got), -EBADMSG);
    assert_int_equal(s.n, 5);
}

static void test_bytes_huge(void **state)
{
    (void)state;
    struct slice s = SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                           "abc");
    struct slice got;

    assert_int_equal(varint_take_bytes(&s, &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_huge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
