/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c: writing and checked reading of a segment; segment.h has the drawing.
 *
 * What is read came from a Redis that others may write to: nothing is believed before it is
 * checked. No state. @thread any
 */
#include "common/base/segment.h"

#include <errno.h>

#include "common/base/varint.h"

static uint64_t first_chain(uint64_t from, uint64_t low)
{
    return low > from + 1 ? low - 1 : from;
}

void segment_add(struct buf *records, struct entry *e, uint64_t *last, uint64_t *chain)
{
    size_t at = records->n, n, head;
    char lengths[20]; /* two varints */

    must(e->pos > *last && *chain < e->pos);
    e->prev = *chain;
    /* Its length is known once it is there: the two numbers are written behind it, then before. */
    entry_encode(records, e);
    n = records->n - at;
    buf_varint(records, e->pos - *last);
    buf_varint(records, n);
    head = records->n - at - n;
    memcpy(lengths, records->p + at + n, head);
    memmove(records->p + at + head, records->p + at, n);
    memcpy(records->p + at, lengths, head);
    *last = *chain = e->pos;
}

void segment_head(struct buf *out, uint8_t flags, uint64_t from, uint64_t upto, uint64_t low)
{
    must(upto >= from && low >= 1);
    buf_byte(out, SEGMENT_VERSION);
    buf_byte(out, flags);
    buf_varint(out, from);
    buf_varint(out, upto - from);
    buf_varint(out, low);
}

int segment_open(struct slice value, struct segment *ret)
{
    struct segment s = {.rest = value};
    uint64_t length;

    if (value.n < 2)
        return -EBADMSG;
    if (value.p[0] != SEGMENT_VERSION)
        return -EPROTONOSUPPORT;
    s.flags = (uint8_t)value.p[1];
    s.rest.p += 2;
    s.rest.n -= 2;
    if ((s.flags & ~(SEGMENT_END | SEGMENT_FULL)) != 0 || varint_take(&s.rest, &s.from) < 0 ||
        varint_take(&s.rest, &length) < 0 || varint_take(&s.rest, &s.low) < 0)
        return -EBADMSG;
    if (s.from > INT64_MAX || length > INT64_MAX - s.from || s.low < 1 || s.low > INT64_MAX)
        return -EBADMSG;
    if (length > segment_row(s.from) + SEGMENT_POSITIONS - s.from)
        return -EBADMSG;
    s.upto = s.from + length;
    s.last = s.from;
    s.chain = first_chain(s.from, s.low);
    *ret = s;
    return 0;
}

int segment_next(struct segment *s, struct entry *ret)
{
    struct slice field;
    uint64_t step;
    int r;

    if (s->rest.n == 0)
        return -ENOENT;
    if (varint_take(&s->rest, &step) < 0 || varint_take_bytes(&s->rest, &field) < 0)
        return -EBADMSG;
    if (step < 1 || step > s->upto - s->last)
        return -EBADMSG;
    r = entry_decode(field, s->last + step, ret);
    if (r < 0)
        return -EBADMSG;
    if (ret->prev != s->chain)
        return -EBADMSG;
    s->last = s->chain = ret->pos;
    return 0;
}
