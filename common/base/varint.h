/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varint.h: reading LEB128 (unsigned, 1..10 bytes, as in Protocol Buffers) from a bounded cursor.
 *
 * @thread any
 */
#pragma once

#include "common/base/base.h"

int varint_take_long(struct slice *s, uint64_t *ret) _must_check_; /* varint_take()'s, any length */

/* Takes a varint off the front of *s. 0, or -EBADMSG (cut short, or more than 64 bits). Most are of
 * one byte: four a record, which the call alone would make twice as dear. */
static inline _must_check_ int varint_take(struct slice *s, uint64_t *ret)
{
    if (s->n == 0 || (unsigned char)*s->p >= 0x80)
        return varint_take_long(s, ret);
    *ret = (unsigned char)*s->p;
    s->p++;
    s->n--;
    return 0;
}
/* Takes a varint length and that many bytes off the front of *s. 0 or -EBADMSG. */
int varint_take_bytes(struct slice *s, struct slice *ret) _must_check_;
