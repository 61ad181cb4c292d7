/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.c: growth, and the text forms that are written into a buffer.
 *
 * Capacity doubles, so n appends cost O(n) in all. No state of its own. @thread of the buf's owner
 */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/decimal.h"
#include "common/base/scan.h"

#define BUF_MIN_CAP 64

void buf_done(struct buf *b)
{
    free(b->p);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
}

void buf_shrink(struct buf *b, size_t keep)
{
    if (b->n == 0 && b->cap > keep)
        buf_done(b);
}

void buf_reserve_slow(struct buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : BUF_MIN_CAP;

    must(more <= SIZE_MAX / 4 && b->n <= SIZE_MAX / 4);
    while (cap < b->n + more)
        cap *= 2;
    if (cap != b->cap) {
        b->p = mem_realloc(b->p, cap);
        b->cap = cap;
    }
}

void buf_consume(struct buf *b, size_t n)
{
    must(n <= b->n);
    b->n -= n;
    if (n > 0 && b->n > 0)
        memmove(b->p, b->p + n, b->n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    buf_reserve(b, BUF_MIN_CAP);
    n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    must(n >= 0);
    if ((size_t)n >= b->cap - b->n) {
        buf_reserve(b, (size_t)n + 1);
        n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
        must(n >= 0);
    }
    b->n += (size_t)n;
    va_end(again);
    va_end(ap);
}

void buf_u64(struct buf *b, uint64_t v)
{
    b->n += decimal_print(buf_reserve(b, DECIMAL_MAX), v);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_byte(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void buf_json_escape(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = c < 0x20 ? letters[c] : (char)c;

    if (letter) {
        buf_byte(b, '\\');
        buf_byte(b, (unsigned char)letter);
        return;
    }
    buf_lit(b, "\\u00");
    buf_byte(b, (unsigned char)hex[c >> 4]);
    buf_byte(b, (unsigned char)hex[c & 15]);
}

void buf_json_string(struct buf *b, struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    const unsigned char *end = s.n ? p + s.n : p;

    buf_reserve(b, s.n + 2);
    buf_byte(b, '"');
    while (p < end) {
        const unsigned char *stop = scan_string(p, end, false);

        buf_add(b, p, (size_t)(stop - p));
        p = stop;
        if (p < end)
            buf_json_escape(b, *p++);
    }
    buf_byte(b, '"');
}

void buf_base64(struct buf *b, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)s.p;
    size_t groups = s.n / 3, rest = s.n % 3;
    char *to = buf_reserve(b, groups * 4 + 4);

    b->n += groups * 4 + (rest ? 4 : 0);
    for (; groups > 0; groups--, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = digits[v >> 6 & 63];
        *to++ = digits[v & 63];
    }
    if (rest) {
        uint32_t v = (uint32_t)p[0] << 16 | (rest == 2 ? (uint32_t)p[1] << 8 : 0);

        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = rest == 2 ? digits[v >> 6 & 63] : '=';
        *to = '=';
    }
}

void buf_varint(struct buf *b, uint64_t v)
{
    char *to = buf_reserve(b, 10);

    for (; v >= 0x80; v >>= 7) {
        *to++ = (char)(v | 0x80);
        b->n++;
    }
    *to = (char)v;
    b->n++;
}
