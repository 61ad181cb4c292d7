/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c: writing and checked reading of one region-stream entry; entry.h has the drawing.
 *
 * Whatever is decoded here came over a network from a Redis that others may write to: nothing of it
 * is believed before it is checked. No state. @thread any
 */
#include "common/base/entry.h"

#include <errno.h>

#include "common/base/decimal.h"
#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/base/varint.h"

#define ENTRY_KIND_BITS   0x07
#define ENTRY_HEAD_BYTES  2
#define ENTRY_PRINT_BYTES 4

uint32_t entry_fingerprint(struct slice key, struct slice value, int64_t time_ms)
{
    unsigned char le[8];
    uint32_t crc = crc32c(0, key.p, key.n);

    for (int i = 0; i < 8; i++)
        le[i] = (unsigned char)((uint64_t)time_ms >> (8 * i));
    crc = crc32c(crc, value.p, value.n);
    return crc32c(crc, le, sizeof(le));
}

void entry_tag_add(struct buf *tags, struct slice name, struct slice value)
{
    buf_varint(tags, name.n);
    buf_slice(tags, name);
    buf_varint(tags, value.n);
    buf_slice(tags, value);
}

bool entry_tag_next(struct slice *it, struct slice *ret_name, struct slice *ret_value)
{
    return it->n > 0 && varint_take_bytes(it, ret_name) == 0 &&
           varint_take_bytes(it, ret_value) == 0;
}

/* Takes count pairs off *it; false if they aren't there or aren't text. */
static bool tags_skip(struct slice *it, uint64_t count)
{
    struct slice name, value;

    for (; count > 0; count--) {
        if (!entry_tag_next(it, &name, &value) || !utf8_is_valid(name) || !utf8_is_valid(value))
            return false;
    }
    return true;
}

/* What kind, marker and payload must have to do with each other. */
static bool payload_fits(const struct entry *e)
{
    if (e->marker && e->kind != ENTRY_NULL)
        return false;
    switch (e->kind) {
    case ENTRY_JSON:
        return e->payload.n > 0;
    case ENTRY_TEXT:
        return utf8_is_valid(e->payload);
    case ENTRY_BINARY:
        return true;
    case ENTRY_NULL:
        return e->payload.n == 0;
    default:
        return false;
    }
}

static bool entry_is_valid(const struct entry *e)
{
    struct slice tags = e->tags;

    return e->pos >= 1 && e->pos <= INT64_MAX && e->prev < e->pos && e->time_ms >= 0 &&
           utf8_is_name(e->channel) && e->tag_count <= ENTRY_TAGS_MAX &&
           tags_skip(&tags, e->tag_count) && tags.n == 0 && payload_fits(e);
}

void entry_encode(struct buf *out, const struct entry *e)
{
    must(entry_is_valid(e));
    buf_reserve(out, 64 + e->channel.n + e->tags.n + e->payload.n);
    buf_byte(out, ENTRY_VERSION);
    buf_byte(out, (unsigned char)(e->kind | (e->marker ? ENTRY_MARKER : 0)));
    buf_varint(out, e->pos - e->prev);
    for (int i = 0; i < ENTRY_PRINT_BYTES; i++)
        buf_byte(out, (unsigned char)(e->fingerprint >> (8 * i)));
    buf_varint(out, (uint64_t)e->time_ms);
    buf_varint(out, e->channel.n);
    buf_slice(out, e->channel);
    buf_varint(out, e->tag_count);
    buf_slice(out, e->tags);
    buf_slice(out, e->payload);
}

/* Distance and fingerprint. */
static int decode_chain(struct slice *s, struct entry *e)
{
    uint64_t distance;
    int r = varint_take(s, &distance);

    if (r < 0)
        return r;
    if (distance < 1 || distance > e->pos || s->n < ENTRY_PRINT_BYTES)
        return -EBADMSG;
    e->prev = e->pos - distance;
    e->fingerprint = 0;
    for (int i = 0; i < ENTRY_PRINT_BYTES; i++)
        e->fingerprint |= (uint32_t)(unsigned char)s->p[i] << (8 * i);
    s->p += ENTRY_PRINT_BYTES;
    s->n -= ENTRY_PRINT_BYTES;
    return 0;
}

static int decode_body(struct slice *s, struct entry *e)
{
    uint64_t time, tags;

    if (varint_take(s, &time) < 0 || time > INT64_MAX)
        return -EBADMSG;
    if (varint_take_bytes(s, &e->channel) < 0 || varint_take(s, &tags) < 0 || tags > ENTRY_TAGS_MAX)
        return -EBADMSG;
    e->time_ms = (int64_t)time;
    e->tag_count = (uint8_t)tags;
    e->tags.p = s->p;
    if (!utf8_is_name(e->channel) || !tags_skip(s, tags))
        return -EBADMSG;
    e->tags.n = (size_t)(s->p - e->tags.p);
    e->payload = *s;
    return payload_fits(e) ? 0 : -EBADMSG;
}

int entry_decode(struct slice field, uint64_t pos, struct entry *ret)
{
    struct entry e = {.pos = pos};
    unsigned char flags;
    int r;

    if (field.n < 1)
        return -EBADMSG;
    if (field.p[0] != ENTRY_VERSION)
        return -EPROTONOSUPPORT;
    if (field.n < ENTRY_HEAD_BYTES || pos < 1 || pos > INT64_MAX)
        return -EBADMSG;
    flags = (unsigned char)field.p[1];
    if (flags & ~(ENTRY_KIND_BITS | ENTRY_MARKER))
        return -EBADMSG;
    e.kind = flags & ENTRY_KIND_BITS;
    e.marker = flags & ENTRY_MARKER;
    field.p += ENTRY_HEAD_BYTES;
    field.n -= ENTRY_HEAD_BYTES;
    r = decode_chain(&field, &e);
    if (r == 0)
        r = decode_body(&field, &e);
    if (r == 0)
        *ret = e;
    return r;
}

size_t entry_id_print(char *dst, uint64_t pos)
{
    size_t n = 2;

    memcpy(dst, "1-", 2);
    n += decimal_print(dst + n, pos);
    dst[n] = '\0';
    return n;
}

int entry_id_parse(struct slice id, uint64_t *ret_pos)
{
    uint64_t pos;

    if (id.n < 3 || id.p[0] != '1' || id.p[1] != '-')
        return -EBADMSG;
    if (!decimal_parse((struct slice){id.p + 2, id.n - 2}, INT64_MAX, &pos) || pos == 0)
        return -EBADMSG;
    *ret_pos = pos;
    return 0;
}
