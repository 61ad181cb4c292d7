/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsframe.h: WebSocket frames (RFC 6455 section 5) as a client reads and writes them.
 *
 * @thread any
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

enum ws_opcode {
    WS_CONTINUATION,
    WS_TEXT,
    WS_BINARY,
    WS_CLOSE = 8,
    WS_PING,
    WS_PONG
};

struct ws_frame {
    bool fin;
    enum ws_opcode opcode;
    struct slice body; /* borrowed */
};

/* Takes one whole frame of a server off the front of *in. 0; -EAGAIN: more bytes are needed (*in is
 * untouched); -EPROTO: no legal frame of a server; -EMSGSIZE: its body is over max. */
int ws_take(struct slice *in, size_t max, struct ws_frame *ret) _must_check_;
/* Appends a whole frame of a client, masked. */
void ws_put(struct buf *out, enum ws_opcode opcode, struct slice body, uint32_t mask);
