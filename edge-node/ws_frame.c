/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_frame.c: see ws_frame.h.
 *
 *   byte 0   FIN, three reserved bits (0: no extension is agreed on), opcode
 *   byte 1   masked (a client's always are), length: 0..125, or 126: 16 bits follow, 127: 64 bits
 *   then     the long length, big-endian; 4 bytes of mask; the payload, xored with the mask
 */
#include "edge-node/ws_frame.h"

#include "common/base/utf8.h"

#define FIN    0x80
#define RSV    0x70
#define MASKED 0x80

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static size_t long_length(const struct ws_reader *r)
{
    unsigned char short_length = r->head[1] & 0x7f;

    return short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
}

static enum ws_opcode opcode(const struct ws_reader *r)
{
    return (enum ws_opcode)(r->head[0] & 0x0f);
}

static bool is_control(const struct ws_reader *r)
{
    return opcode(r) >= WS_CLOSE;
}

/* The first two bytes tell most of what can be wrong; nothing more need be waited for. */
static bool is_head_good(const struct ws_reader *r)
{
    if (r->head[0] & RSV || !(r->head[1] & MASKED))
        return false;
    switch (opcode(r)) {
    case WS_CONTINUATION:
        return r->type != 0;
    case WS_TEXT:
    case WS_BINARY:
        return r->type == 0;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return r->head[0] & FIN && (r->head[1] & 0x7f) <= WS_CONTROL_MAX;
    default:
        return false;
    }
}

static bool fill_head(struct ws_reader *r, struct ws_input *in, size_t upto)
{
    while (r->head_n < upto && in->n) {
        r->head[r->head_n++] = (unsigned char)*in->p++;
        in->n--;
    }
    return r->head_n == upto;
}

/* 1: the head is whole. 0: more of it must come. */
static int read_head(struct ws_reader *r, struct ws_input *in, size_t max)
{
    size_t more, mask;

    if (r->head_n < 2 && !fill_head(r, in, 2))
        return 0;
    if (!r->only_close && !is_head_good(r))
        return -WS_CLOSE_PROTOCOL;
    more = long_length(r);
    mask = r->head[1] & MASKED ? 4 : 0;
    if (!fill_head(r, in, 2 + more + mask))
        return 0;
    r->left = more ? big_endian(r->head + 2, more) : r->head[1] & 0x7f;
    if (!is_control(r) && !r->only_close) {
        if (r->left > max || r->message.n > max - r->left)
            return r->left >> 63 ? -WS_CLOSE_PROTOCOL : -WS_CLOSE_TOO_BIG;
        if (opcode(r) != WS_CONTINUATION)
            r->type = (uint8_t)opcode(r);
    }
    r->turn = 0;
    r->in_payload = true;
    return 1;
}

static void unmask(struct ws_reader *r, char *p, size_t n)
{
    const unsigned char *mask = r->head + r->head_n - 4;
    unsigned char turned[8];
    uint64_t wide, word;
    size_t i = 0;

    if (!(r->head[1] & MASKED)) /* only when frames are skipped */
        return;
    for (size_t k = 0; k < 8; k++)
        turned[k] = mask[(r->turn + k) & 3];
    memcpy(&wide, turned, 8);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= wide;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] = (char)(p[i] ^ turned[i & 7]);
    r->turn = (uint8_t)((r->turn + n) & 3);
}

/* What the caller does not want to hear about, and what is too long for a close frame. */
static bool is_skipped(const struct ws_reader *r)
{
    return r->only_close && (opcode(r) != WS_CLOSE || (r->head[1] & 0x7f) > WS_CONTROL_MAX);
}

/* The frame's payload is whole; its last part is `part`. */
static int end_frame(struct ws_reader *r, struct slice part, struct ws_event *ret)
{
    struct buf *kept = is_control(r) ? &r->control : &r->message;

    r->in_payload = false;
    r->head_n = 0;
    if (is_skipped(r))
        return 0;
    if (!is_control(r) && !(r->head[0] & FIN)) {
        buf_slice(kept, part);
        return 0;
    }
    r->given = true;
    ret->payload = part;
    if (kept->n) {
        buf_slice(kept, part);
        ret->payload = buf_as_slice(kept);
    }
    ret->type = opcode(r);
    if (is_control(r))
        return 1;
    ret->type = (enum ws_opcode)r->type;
    r->type = 0;
    return ret->type == WS_TEXT && !utf8_is_valid(ret->payload) ? -WS_CLOSE_BAD_TEXT : 1;
}

int ws_reader_next(struct ws_reader *r, struct ws_input *in, size_t max, struct ws_event *ret)
{
    int rc = 0;

    if (r->given) {
        if (!r->type) /* else it was a control frame amid a message */
            buf_done(&r->message);
        buf_done(&r->control);
        r->given = false;
    }
    while (rc == 0) {
        struct slice part;

        if (!r->in_payload) {
            rc = read_head(r, in, max);
            if (rc <= 0)
                return rc;
        }
        part = (struct slice){in->p, in->n < r->left ? in->n : (size_t)r->left};
        unmask(r, in->p, part.n);
        in->p += part.n;
        in->n -= part.n;
        r->left -= part.n;
        if (r->left) {
            if (!is_skipped(r))
                buf_slice(is_control(r) ? &r->control : &r->message, part);
            return 0;
        }
        rc = end_frame(r, part, ret);
    }
    return rc;
}

void ws_reader_done(struct ws_reader *r)
{
    buf_done(&r->message);
    buf_done(&r->control);
}

int ws_close_code(struct slice payload)
{
    uint64_t code;

    if (payload.n == 0)
        return WS_CLOSE_NONE;
    if (payload.n == 1)
        return WS_CLOSE_PROTOCOL;
    if (!utf8_is_valid((struct slice){payload.p + 2, payload.n - 2}))
        return WS_CLOSE_BAD_TEXT;
    code = big_endian((const unsigned char *)payload.p, 2);
    if ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1011) ||
        (code >= 3000 && code <= 4999))
        return (int)code;
    return WS_CLOSE_PROTOCOL;
}

size_t ws_put_head(char *payload, size_t n, enum ws_opcode type)
{
    unsigned char *p = (unsigned char *)payload;
    unsigned char first = (unsigned char)(FIN | type);

    if (n < 126) {
        p[-1] = (unsigned char)n;
        p[-2] = first;
        return 2;
    }
    if (n <= UINT16_MAX) {
        p[-1] = (unsigned char)n;
        p[-2] = (unsigned char)(n >> 8);
        p[-3] = 126;
        p[-4] = first;
        return 4;
    }
    for (int i = 0; i < 8; i++)
        p[-1 - i] = (unsigned char)((uint64_t)n >> (8 * i));
    p[-9] = 127;
    p[-10] = first;
    return 10;
}
