/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h: what a server of the Centrifuge client protocol v2 (JSON) says, read in one pass.
 *
 * A text frame holds 1..n JSON objects joined by line breaks. Each is walked once with a cursor:
 * its structure is checked (brackets, strings, commas, one object a line), numbers and literals
 * inside payloads are skipped unchecked. All slices borrow from the frame; strings are still
 * escaped as they came. @thread any
 */
#pragma once

#include "common/base/base.h"

enum reply_kind {
    REPLY_PING,
    REPLY_PUB,
    REPLY_UNSUBSCRIBED, /* push: the server ended a subscription; code */
    REPLY_DISCONNECT,   /* push; code */
    REPLY_CONNECT,
    REPLY_SUBSCRIBE,
    REPLY_ERROR, /* to command id; code */
    REPLY_OTHER,
};

struct pub {
    struct slice data;
    uint64_t offset;
    bool marker; /* its tags have "fanfare-error" */
};

struct reply {
    enum reply_kind kind;
    uint32_t id; /* 0 for a push */
    uint32_t code;
    struct slice channel; /* of a push */
    struct pub pub;
    /* connect */
    struct slice node;
    uint32_t ping_s;
    bool pong;
    /* subscribe */
    bool recoverable, was_recovering, recovered;
    struct slice epoch;
    uint64_t offset;
    struct slice publications; /* the array's inside; pub_take() */
};

/* Takes one reply off the front of a text frame's body. 0; -ENOENT at the end; -EBADMSG. */
int reply_take(struct slice *in, struct reply *ret) _must_check_;
/* Takes the next one of reply.publications. 0; -ENOENT at the end; -EBADMSG. */
int pub_take(struct slice *in, struct pub *ret) _must_check_;
/* The text of an escaped JSON string's inside; at most n bytes. Its length, or -1: too long, or no
 * legal escape. */
int reply_unescape(struct slice s, char *dst, size_t n);
/* The number behind `"name":` at the top of a payload that loadgen wrote; 0 if absent. A targeted
 * search, not a parser: name carries its quotes and colon. */
uint64_t payload_number(struct slice data, struct slice name);
