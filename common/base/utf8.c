/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.c: strict UTF-8, ASCII sixteen bytes at a time, the rest a character at a time.
 *
 * Table 3-7 of the Unicode standard: only the second byte's range depends on the first. No state.
 * @thread any
 */
#include "common/base/utf8.h"

#include "common/base/scan.h"

bool utf8_is_valid(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    const unsigned char *end = s.n ? p + s.n : p;

    while (p < end) {
        size_t n;

        if (*p < 0x80) {
            p = scan_ascii(p, end);
            continue;
        }
        n = utf8_long_char(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

bool utf8_is_name(struct slice s)
{
    if (s.n < 1 || s.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return utf8_is_valid(s);
}
