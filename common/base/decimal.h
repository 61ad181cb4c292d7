/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal.h: whole numbers as the texts in Redis have them: digits only, no sign, no leading zero.
 * For codecs and for what is sent to Redis. @thread any
 */
#pragma once

#include "common/base/base.h"

/* False if s isn't exactly one number of 0..max. */
static inline bool decimal_parse(struct slice s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint64_t digit = (unsigned char)s.p[i] - (uint64_t)'0';

        if (digit > 9 || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

#define DECIMAL_MAX 20 /* digits of the greatest uint64_t */

/* Writes the digits, without a NUL; returns how many. */
static inline size_t decimal_print(char dst[DECIMAL_MAX], uint64_t v)
{
    char digits[DECIMAL_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    memcpy(dst, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

static inline struct slice decimal_slice(char dst[DECIMAL_MAX], uint64_t v)
{
    return (struct slice){dst, decimal_print(dst, v)};
}
