/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varint.c: bounded reading of LEB128. A longer form than needed is accepted, as in Protocol
 * Buffers; more than 64 bits are not. On an error the cursor stands where it stood. @thread any
 */
#include "common/base/varint.h"

#include <errno.h>

#define VARINT_MAX_BYTES 10

int varint_take_long(struct slice *s, uint64_t *ret)
{
    size_t most = s->n < VARINT_MAX_BYTES ? s->n : VARINT_MAX_BYTES;
    uint64_t v = 0;

    for (size_t i = 0; i < most; i++) {
        uint64_t c = (unsigned char)s->p[i];

        if (i == VARINT_MAX_BYTES - 1 && c > 1)
            return -EBADMSG; /* the tenth byte holds bit 63 alone */
        v |= (c & 0x7f) << (7 * i);
        if (c < 0x80) {
            s->p += i + 1;
            s->n -= i + 1;
            *ret = v;
            return 0;
        }
    }
    return -EBADMSG;
}

int varint_take_bytes(struct slice *s, struct slice *ret)
{
    struct slice it = *s;
    uint64_t n;
    int r = varint_take(&it, &n);

    if (r < 0)
        return r;
    if (n > it.n)
        return -EBADMSG;
    *ret = (struct slice){it.p, (size_t)n};
    *s = (struct slice){it.p + n, it.n - (size_t)n};
    return 0;
}
