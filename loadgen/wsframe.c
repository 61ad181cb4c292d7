/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsframe.c: see wsframe.h.
 *
 *   byte 0   FIN (0x80), three reserved bits (0), opcode (4 bits)
 *   byte 1   MASK (0x80; never from a server), length: 0..125, 126 = 2 bytes follow, 127 = 8 follow
 *   …        4 bytes of mask (from a client), body
 */
#include "loadgen/wsframe.h"

#include <errno.h>

static int header_take(struct slice in, size_t *ret_header, uint64_t *ret_body)
{
    const unsigned char *p = (const unsigned char *)in.p;
    if (in.n < 2)
        return -EAGAIN;
    size_t extra = (p[1] & 0x7f) == 127 ? 8 : (p[1] & 0x7f) == 126 ? 2 : 0;
    if (in.n < 2 + extra)
        return -EAGAIN;
    uint64_t body = extra ? 0 : p[1] & 0x7f;
    for (size_t i = 0; i < extra; i++)
        body = body << 8 | p[2 + i];
    /* The shortest form is demanded. */
    if ((extra == 2 && body < 126) || (extra == 8 && body < 65536))
        return -EPROTO;
    *ret_header = 2 + extra;
    *ret_body = body;
    return 0;
}

int ws_take(struct slice *in, size_t max, struct ws_frame *ret)
{
    const unsigned char *p = (const unsigned char *)in->p;
    if (in->n >= 1 && (p[0] & 0x70))
        return -EPROTO;
    if (in->n >= 2 && (p[1] & 0x80))
        return -EPROTO;
    size_t header;
    uint64_t body;
    int r = header_take(*in, &header, &body);
    if (r)
        return r;
    unsigned opcode = p[0] & 0x0f;
    bool fin = p[0] & 0x80;
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return -EPROTO;
    if (opcode >= WS_CLOSE && (!fin || body > 125))
        return -EPROTO;
    if (body > max)
        return -EMSGSIZE;
    if (in->n - header < body)
        return -EAGAIN;
    *ret = (struct ws_frame){fin, (enum ws_opcode)opcode, {in->p + header, (size_t)body}};
    in->p += header + body;
    in->n -= header + (size_t)body;
    return 0;
}

void ws_put(struct buf *out, enum ws_opcode opcode, struct slice body, uint32_t mask)
{
    unsigned char m[4];
    memcpy(m, &mask, 4);
    buf_byte(out, (unsigned char)(0x80 | opcode));
    if (body.n < 126) {
        buf_byte(out, (unsigned char)(0x80 | body.n));
    } else if (body.n < 65536) {
        buf_byte(out, 0x80 | 126);
        buf_byte(out, (unsigned char)(body.n >> 8));
        buf_byte(out, (unsigned char)body.n);
    } else {
        buf_byte(out, 0x80 | 127);
        for (int shift = 56; shift >= 0; shift -= 8)
            buf_byte(out, (unsigned char)((uint64_t)body.n >> shift));
    }
    buf_add(out, m, 4);
    char *dst = buf_reserve(out, body.n);
    for (size_t i = 0; i < body.n; i++)
        dst[i] = (char)((unsigned char)body.p[i] ^ m[i & 3]);
    out->n += body.n;
}
