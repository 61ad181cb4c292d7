/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h: strict UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). @thread any
 */
#pragma once

#include "common/base/base.h"

bool utf8_is_valid(struct slice s);
/* A name that may travel as a channel: 1..255 bytes of valid UTF-8 without control characters
 * (below U+0020, U+007F). */
bool utf8_is_name(struct slice s);
#define NAME_MAX_BYTES 255

/* Length (2..4) of the valid character of more than one byte at p < end, 0 if there is none. */
static inline size_t utf8_long_char(const unsigned char *p, const unsigned char *end)
{
    size_t n = *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    unsigned char low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
    unsigned char high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;

    if (n == 0 || (size_t)(end - p) < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}
