/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_frame.h: WebSocket frames (RFC 6455 section 5): what a client sends is put together to whole
 * messages and control frames; what goes to a client gets its head.
 *
 * A reader owns only what does not end within one read: part of a message, part of a control frame.
 * Both are bounded, by `max` and by 125 bytes. No library, no socket. @thread of its owner
 */
#pragma once

#include "common/base/buf.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

enum ws_close { /* RFC 6455 7.4.1 */
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NONE = 1005, /* a close frame without a code; never sent as one */
    WS_CLOSE_BAD_TEXT = 1007,
    WS_CLOSE_TOO_BIG = 1009
};

#define WS_HEAD_MAX    10  /* of a frame to a client: those aren't masked */
#define WS_CONTROL_MAX 125 /* payload of a control frame */

struct ws_reader {
    uint64_t left;      /* payload bytes of the frame that are to come */
    struct buf message; /* payload of frames before, and of this one */
    struct buf control;
    unsigned char head[14];
    uint8_t head_n;
    uint8_t turn;    /* of the mask, for the next payload byte */
    uint8_t type;    /* of the message that goes on; 0: none */
    bool in_payload; /* the head is whole */
    bool given;      /* the last event lies in message or control */
    bool
        only_close; /* set by the caller: nothing but a close frame is an event, nothing an error */
};

struct ws_event {
    enum ws_opcode type;  /* TEXT, BINARY, CLOSE, PING or PONG; never CONTINUATION */
    struct slice payload; /* good until the next call */
};

/* Bytes that were read. They are unmasked in place and taken off the front. */
struct ws_input {
    char *p;
    size_t n;
};

/* 1: *ret is the next event. 0: the input is used up. -(a close code): the client broke the
 * protocol, or its message is longer than max; now only_close must be set. */
int ws_reader_next(struct ws_reader *r, struct ws_input *in, size_t max,
                   struct ws_event *ret) _must_check_;
void ws_reader_done(struct ws_reader *r);

/* What a client's close frame says: its code, WS_CLOSE_NONE, or the error to answer instead. */
int ws_close_code(struct slice payload);

/* Puts the head of a whole frame right before its n payload bytes; returns the head's length. */
size_t ws_put_head(char *payload, size_t n, enum ws_opcode type);
