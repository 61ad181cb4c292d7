/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h: a growable byte buffer, and JSON text written into one.
 *
 * Owns its bytes. The caller bounds the size: buf itself only grows. @thread of its owner
 */
#pragma once

#include "common/base/base.h"

struct buf {
    char *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
};

#define BUF_INIT ((struct buf){NULL, 0, 0})

void buf_done(struct buf *b);                /* frees; b is BUF_INIT again */
void buf_clear(struct buf *b);               /* n = 0, keeps the memory */
void buf_shrink(struct buf *b, size_t keep); /* frees the memory if cap > keep and n == 0 */
void buf_reserve_slow(struct buf *b, size_t more);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
void buf_printf(struct buf *b, const char *fmt, ...) _printf_like_(2, 3);
void buf_u64(struct buf *b, uint64_t v); /* decimal */
void buf_i64(struct buf *b, int64_t v);

/* Room for `more` further bytes; returns where they go. The caller adds to b->n what it used. */
static inline char *buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->n < more)
        buf_reserve_slow(b, more);
    return b->p + b->n;
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->n += n;
}

static inline void buf_byte(struct buf *b, unsigned char c)
{
    *buf_reserve(b, 1) = (char)c;
    b->n++;
}

#define buf_lit(b, lit) buf_add(b, lit, sizeof(lit) - 1)

static inline void buf_slice(struct buf *b, struct slice s)
{
    buf_add(b, s.p, s.n);
}

static inline void buf_str(struct buf *b, const char *cstr)
{
    buf_add(b, cstr, strlen(cstr));
}

static inline struct slice buf_as_slice(const struct buf *b)
{
    return (struct slice){b->p ? b->p : "", b->n};
}

/* A JSON string, quotes included. The input must be valid UTF-8 (utf8_is_valid); bytes below 0x20,
 * '"' and '\\' are escaped, everything else is copied. */
void buf_json_string(struct buf *b, struct slice s);
/* Standard base64 with padding (RFC 4648 section 4), without quotes. */
void buf_base64(struct buf *b, struct slice s);
/* LEB128, as in Protocol Buffers; 1..10 bytes. */
void buf_varint(struct buf *b, uint64_t v);
