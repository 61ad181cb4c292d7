/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.h: the client protocol's commands and messages, apart from their encoding (an ops table:
 * JSON now).
 *
 * Messages are appended to a batch: encoders add their own separator. @thread any
 */
#pragma once

#include "common/base/buf.h"

#include "edge-node/plog.h"

struct topic_view;

/* Error codes of the Centrifuge client protocol v2. */
enum proto_error {
    ERROR_INTERNAL = 100,
    ERROR_UNAUTHORIZED = 101,
    ERROR_UNKNOWN_CHANNEL = 102,
    ERROR_PERMISSION_DENIED = 103,
    ERROR_METHOD_NOT_FOUND = 104,
    ERROR_ALREADY_SUBSCRIBED = 105,
    ERROR_LIMIT_EXCEEDED = 106,
    ERROR_BAD_REQUEST = 107,
    ERROR_NOT_AVAILABLE = 108,
    ERROR_TOKEN_EXPIRED = 109,
    ERROR_TOO_MANY_REQUESTS = 111,
    ERROR_UNRECOVERABLE_POSITION = 112,
};

enum unsubscribe_code {
    UNSUB_INSUFFICIENT = 2500,
    UNSUB_EXPIRED = 2501
};

enum disconnect_code {
    DISCONNECT_SHUTDOWN = 3001,
    DISCONNECT_SERVER_ERROR = 3004,
    DISCONNECT_EXPIRED = 3005,
    DISCONNECT_SLOW = 3008,
    DISCONNECT_INSUFFICIENT_STATE = 3010,
    DISCONNECT_RECONNECT = 3011,
    DISCONNECT_NO_PONG = 3012,
    DISCONNECT_INVALID_TOKEN = 3500,
    DISCONNECT_BAD_REQUEST = 3501,
    DISCONNECT_STALE = 3502,
    DISCONNECT_NOT_AVAILABLE = 3508,
    DISCONNECT_TOO_BIG = 1009,
};

enum command_type {
    COMMAND_PONG, /* {} */
    COMMAND_CONNECT,
    COMMAND_SUBSCRIBE,
    COMMAND_UNSUBSCRIBE,
    COMMAND_HISTORY,
    COMMAND_REFRESH,
    COMMAND_SUB_REFRESH,
    COMMAND_PING,
    COMMAND_SEND,
    COMMAND_UNSUPPORTED, /* publish, presence, presence_stats, rpc: answered by 108 */
    COMMAND_UNKNOWN,     /* answered by 104 */
};

/* Where a client says it is: recover, epoch, offset. */
struct cursor {
    bool recover;
    uint64_t offset;
    struct slice epoch;
};

struct command {
    enum command_type type;
    uint32_t id;
    struct slice channel, token;
    struct cursor cursor; /* subscribe; since of history */
    bool bad;             /* a field has the wrong type or is out of range: error 107 */
    bool has_since, reverse;
    int64_t sub_type; /* subscribe.type */
    int64_t limit;    /* history: 0 = position only, < 0 = no limit */
    void *tree;       /* what the slices borrow from; proto->command_done */
    const void *subs; /* connect.subs; proto->connect_sub */
};

/* Records of a channel in (from, to] may be missing. to == 0: none, or not known. */
struct proto_gap {
    uint64_t from, to;
};
extern const struct proto_gap proto_no_gap;

struct proto_connect {
    const char *client, *node;
    int64_t ttl_s;     /* < 0: the connection does not expire */
    int64_t ping_s;    /* 0: no pings */
    struct slice subs; /* encoded by proto->sub_result, joined by the encoder's rules */
    struct slice data; /* a JSON object for the application (place.h); empty: none */
};

struct proto_subscribe {
    struct slice epoch; /* empty: not recoverable */
    uint64_t offset;
    bool recoverable, was_recovering, recovered;
    struct proto_gap gap;
    int64_t ttl_s;     /* < 0: does not expire */
    struct slice pubs; /* encoded by proto->pub */
};

struct proto {
    bool binary;

    /* Takes the next command off *frame. 1; 0 at its end; -EBADMSG: not the protocol. */
    int (*take)(struct slice *frame, struct command *ret);
    void (*command_done)(struct command *cmd);
    /* The cursor of a channel in connect.subs; false if it has none. */
    bool (*connect_sub)(const struct command *cmd, struct slice channel, struct cursor *ret);

    /* Parts */
    void (*pub)(struct buf *pubs, const struct plog_rec *r, bool bare); /* bare: no offset */
    void (*sub_result)(struct buf *subs, struct slice channel, const struct proto_subscribe *r);
    /* Messages */
    void (*error)(struct buf *out, uint32_t id, int code, const char *text); /* NULL: code's */
    void (*connect)(struct buf *out, uint32_t id, const struct proto_connect *r);
    void (*subscribe)(struct buf *out, uint32_t id, const struct proto_subscribe *r);
    void (*unsubscribe)(struct buf *out, uint32_t id);
    void (*history)(struct buf *out, uint32_t id, struct slice epoch, uint64_t offset,
                    struct slice pubs);
    void (*refresh)(struct buf *out, uint32_t id, bool of_sub, const char *client, int64_t ttl_s);
    void (*pong)(struct buf *out, uint32_t id); /* answer to a ping command */
    void (*push_pub)(struct buf *out, struct slice channel, const struct plog_rec *r, bool bare);
    /* r in place of those before it */
    void (*push_latest)(struct buf *out, struct slice channel, const struct plog_rec *r,
                        const struct proto_gap *skipped);
    void (*push_unsubscribe)(struct buf *out, struct slice channel, int code,
                             const struct proto_gap *gap);
    void (*push_gap)(struct buf *out, struct slice channel, const struct proto_gap *gap);
    void (*ping)(struct buf *out);
};

extern const struct proto proto_json;

const char *proto_error_text(int code);
const char *proto_unmapped_text(const struct topic_view *v); /* of 108: what is to be changed */
bool proto_error_is_temporary(int code);
const char *proto_close_text(int code); /* of disconnect and unsubscribe codes */
