/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h: how far may this run of bytes be copied as it is? Sixteen bytes at a time where there is
 * SSE2 (every x86-64), eight elsewhere; never reads outside [p, end). For base's own codecs.
 *
 * @thread any
 */
#pragma once

#include "common/base/base.h"

#ifdef __SSE2__
#    include <emmintrin.h>
#endif

#define SCAN_ONES  0x0101010101010101u
#define SCAN_HIGHS 0x8080808080808080u

/* Eight bytes as a number; which byte is lowest doesn't matter to the callers. */
static inline uint64_t scan_word(const unsigned char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* Not 0 if a byte of w is c (exact as a yes or no, not as to which byte). */
static inline uint64_t scan_has(uint64_t w, unsigned char c)
{
    uint64_t x = w ^ (SCAN_ONES * c);

    return (x - SCAN_ONES) & ~x & SCAN_HIGHS;
}

/* The first byte of 0x80 and more, or end. */
static inline const unsigned char *scan_ascii(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        int bits = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p));

        if (bits)
            return p + __builtin_ctz((unsigned)bits);
    }
#endif
    while (end - p >= 8 && !(scan_word(p) & SCAN_HIGHS))
        p += 8;
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* The first byte that a JSON string can't hold as it is (below 0x20, '"', '\\'), or end. With
 * stop_high, bytes of 0x80 and more stop it too. Give stop_high as a constant. */
static inline const unsigned char *scan_string(const unsigned char *p, const unsigned char *end,
                                               bool stop_high)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20), control = _mm_set1_epi8(0x1f);

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* As signed numbers, bytes of 0x80 and more are below the space too. */
        __m128i low =
            stop_high ? _mm_cmplt_epi8(v, space) : _mm_cmpeq_epi8(_mm_min_epu8(v, control), v);
        __m128i hit =
            _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
        int bits = _mm_movemask_epi8(hit);

        if (bits)
            return p + __builtin_ctz((unsigned)bits);
    }
#else
    for (; end - p >= 8; p += 8) {
        uint64_t w = scan_word(p);
        uint64_t low = (w - SCAN_ONES * 0x20) & ~w & SCAN_HIGHS;

        if (low | scan_has(w, '"') | scan_has(w, '\\') | (stop_high ? w & SCAN_HIGHS : 0))
            break;
    }
#endif
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\' && !(stop_high && *p >= 0x80))
        p++;
    return p;
}
