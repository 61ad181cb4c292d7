/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json.c: the protocol in JSON: a frame is 1..n objects joined by line breaks, both ways.
 *
 * Reading uses common/runtime/json.h (exact integers); writing appends text. @thread any
 */
#include <errno.h>

#include "common/runtime/json.h"

#include "edge-node/proto.h"

/* ---- reading ---- */

static void want_string(const struct json *obj, const char *name, struct slice *ret, bool *bad)
{
    const struct json *j = json_get(obj, name);

    if (j && json_kind(j) != JSON_T_NULL && !json_text(j, ret))
        *bad = true;
}

static void want_bool(const struct json *obj, const char *name, bool *ret, bool *bad)
{
    const struct json *j = json_get(obj, name);

    if (j && json_kind(j) != JSON_T_NULL && !json_bool(j, ret))
        *bad = true;
}

static void want_cursor(const struct json *obj, struct cursor *c, bool *bad)
{
    const struct json *offset = json_get(obj, "offset");

    if (offset && !json_u64(offset, &c->offset))
        *bad = true;
    want_string(obj, "epoch", &c->epoch, bad);
}

static void read_subscribe(const struct json *body, struct command *cmd)
{
    const struct json *type = json_get(body, "type");

    want_string(body, "channel", &cmd->channel, &cmd->bad);
    want_string(body, "token", &cmd->token, &cmd->bad);
    want_bool(body, "recover", &cmd->cursor.recover, &cmd->bad);
    want_cursor(body, &cmd->cursor, &cmd->bad);
    if (type && !json_i64(type, &cmd->sub_type))
        cmd->bad = true;
}

static void read_history(const struct json *body, struct command *cmd)
{
    const struct json *since = json_get(body, "since"), *limit = json_get(body, "limit");

    want_string(body, "channel", &cmd->channel, &cmd->bad);
    want_bool(body, "reverse", &cmd->reverse, &cmd->bad);
    if (limit && !json_i64(limit, &cmd->limit))
        cmd->bad = true;
    if (since && json_kind(since) == JSON_T_OBJECT) {
        cmd->has_since = true;
        want_cursor(since, &cmd->cursor, &cmd->bad);
    }
}

static void read_body(const struct json *body, struct command *cmd)
{
    switch (cmd->type) {
    case COMMAND_CONNECT:
        want_string(body, "token", &cmd->token, &cmd->bad);
        cmd->subs = json_get(body, "subs");
        break;
    case COMMAND_SUBSCRIBE:
        read_subscribe(body, cmd);
        break;
    case COMMAND_HISTORY:
        read_history(body, cmd);
        break;
    case COMMAND_UNSUBSCRIBE:
        want_string(body, "channel", &cmd->channel, &cmd->bad);
        break;
    case COMMAND_REFRESH:
    case COMMAND_SUB_REFRESH:
        want_string(body, "channel", &cmd->channel, &cmd->bad);
        want_string(body, "token", &cmd->token, &cmd->bad);
        break;
    default:
        break;
    }
}

static const struct {
    const char *name;
    enum command_type type;
} methods[] = {
    {"connect", COMMAND_CONNECT},
    {"subscribe", COMMAND_SUBSCRIBE},
    {"unsubscribe", COMMAND_UNSUBSCRIBE},
    {"history", COMMAND_HISTORY},
    {"refresh", COMMAND_REFRESH},
    {"sub_refresh", COMMAND_SUB_REFRESH},
    {"ping", COMMAND_PING},
    {"send", COMMAND_SEND},
    {"publish", COMMAND_UNSUPPORTED},
    {"presence", COMMAND_UNSUPPORTED},
    {"presence_stats", COMMAND_UNSUPPORTED},
    {"rpc", COMMAND_UNSUPPORTED},
};

static int take(struct slice *frame, struct command *ret)
{
    struct json_error err;
    struct json *j = json_take(frame, &err);
    const struct json *body = NULL, *id;
    uint64_t number = 0;

    *ret = (struct command){.type = COMMAND_UNKNOWN};
    if (!j)
        return err.text[0] ? -EBADMSG : 0;
    ret->tree = j;
    id = json_get(j, "id");
    if (json_kind(j) != JSON_T_OBJECT || (id && (!json_u64(id, &number) || number > UINT32_MAX))) {
        json_free(j);
        return -EBADMSG;
    }
    ret->id = (uint32_t)number;
    if (json_size(j) == 0)
        ret->type = COMMAND_PONG;
    for (size_t i = 0; !body && i < ARRAY_LEN(methods); i++) {
        body = json_get(j, methods[i].name);
        if (body)
            ret->type = methods[i].type;
    }
    if (body && json_kind(body) != JSON_T_OBJECT)
        ret->bad = true;
    else if (body)
        read_body(body, ret);
    return 1;
}

static void command_done(struct command *cmd)
{
    json_free(cmd->tree);
    cmd->tree = NULL;
}

static bool connect_sub(const struct command *cmd, struct slice channel, struct cursor *ret)
{
    void *it = NULL;
    struct slice name;
    const struct json *value;
    bool bad = false;

    while (cmd->subs && json_next(cmd->subs, &it, &name, &value)) {
        if (!slice_eq(name, channel))
            continue;
        *ret = (struct cursor){0};
        want_bool(value, "recover", &ret->recover, &bad);
        want_cursor(value, ret, &bad);
        return !bad;
    }
    return false;
}

/* ---- writing ---- */

static void separate(struct buf *out)
{
    if (out->n)
        buf_byte(out, '\n');
}

static void comma(struct buf *out)
{
    if (out->n && out->p[out->n - 1] != '{' && out->p[out->n - 1] != '[')
        buf_byte(out, ',');
}

static void reply_head(struct buf *out, uint32_t id)
{
    separate(out);
    buf_lit(out, "{\"id\":");
    buf_u64(out, id);
    buf_byte(out, ',');
}

static void tags(struct buf *out, const struct plog_rec *r)
{
    struct slice it = plog_rec_tags(r), name, value;
    bool first = true;

    buf_lit(out, ",\"tags\":{");
    while (entry_tag_next(&it, &name, &value)) {
        if (!first)
            buf_byte(out, ',');
        first = false;
        buf_json_string(out, name);
        buf_byte(out, ':');
        buf_json_string(out, value);
    }
    buf_byte(out, '}');
}

static void pub_object(struct buf *out, const struct plog_rec *r, bool bare)
{
    buf_lit(out, "{\"data\":");
    switch ((enum entry_kind)r->kind) {
    case ENTRY_JSON:
        buf_slice(out, plog_rec_payload(r));
        break;
    case ENTRY_TEXT:
        buf_json_string(out, plog_rec_payload(r));
        break;
    case ENTRY_BINARY:
        buf_byte(out, '"');
        buf_base64(out, plog_rec_payload(r));
        buf_byte(out, '"');
        break;
    case ENTRY_NULL:
        buf_lit(out, "null");
        break;
    }
    if (!bare) {
        buf_lit(out, ",\"offset\":");
        buf_u64(out, r->pos);
    }
    if (r->tag_count)
        tags(out, r);
    buf_byte(out, '}');
}

static void pub(struct buf *pubs, const struct plog_rec *r, bool bare)
{
    if (pubs->n)
        buf_byte(pubs, ',');
    pub_object(pubs, r, bare);
}

static void subscribe_body(struct buf *out, const struct proto_subscribe *r)
{
    buf_byte(out, '{');
    if (r->recoverable)
        buf_lit(out, "\"recoverable\":true,\"positioned\":true");
    if (r->epoch.n) {
        comma(out);
        buf_lit(out, "\"epoch\":");
        buf_json_string(out, r->epoch);
    }
    if (r->offset) {
        comma(out);
        buf_lit(out, "\"offset\":");
        buf_u64(out, r->offset);
    }
    if (r->was_recovering) {
        comma(out);
        buf_lit(out, "\"was_recovering\":true");
    }
    if (r->recovered) {
        comma(out);
        buf_lit(out, "\"recovered\":true");
    }
    if (r->ttl_s >= 0) {
        comma(out);
        buf_printf(out, "\"expires\":true,\"ttl\":%lld", (long long)r->ttl_s);
    }
    if (r->pubs.n) {
        comma(out);
        buf_lit(out, "\"publications\":[");
        buf_slice(out, r->pubs);
        buf_byte(out, ']');
    }
    buf_byte(out, '}');
}

static void sub_result(struct buf *subs, struct slice channel, const struct proto_subscribe *r)
{
    if (subs->n)
        buf_byte(subs, ',');
    buf_json_string(subs, channel);
    buf_byte(subs, ':');
    subscribe_body(subs, r);
}

static void error(struct buf *out, uint32_t id, int code)
{
    reply_head(out, id);
    buf_printf(out, "\"error\":{\"code\":%d,\"message\":\"%s\"%s}}", code, proto_error_text(code),
               proto_error_is_temporary(code) ? ",\"temporary\":true" : "");
}

static void connect(struct buf *out, uint32_t id, const struct proto_connect *r)
{
    reply_head(out, id);
    buf_lit(out, "\"connect\":{\"client\":");
    buf_json_string(out, slice_of(r->client));
    buf_lit(out, ",\"version\":\"fanfare " FANFARE_VERSION "\"");
    if (r->ttl_s >= 0)
        buf_printf(out, ",\"expires\":true,\"ttl\":%lld", (long long)r->ttl_s);
    if (r->subs.n) {
        buf_lit(out, ",\"subs\":{");
        buf_slice(out, r->subs);
        buf_byte(out, '}');
    }
    if (r->ping_s)
        buf_printf(out, ",\"ping\":%lld,\"pong\":true", (long long)r->ping_s);
    buf_lit(out, ",\"node\":");
    buf_json_string(out, slice_of(r->node));
    buf_lit(out, "}}");
}

static void subscribe(struct buf *out, uint32_t id, const struct proto_subscribe *r)
{
    reply_head(out, id);
    buf_lit(out, "\"subscribe\":");
    subscribe_body(out, r);
    buf_byte(out, '}');
}

static void unsubscribe(struct buf *out, uint32_t id)
{
    reply_head(out, id);
    buf_lit(out, "\"unsubscribe\":{}}");
}

static void history(struct buf *out, uint32_t id, struct slice epoch, uint64_t offset,
                    struct slice pubs)
{
    reply_head(out, id);
    buf_lit(out, "\"history\":{\"publications\":[");
    buf_slice(out, pubs);
    buf_lit(out, "],\"epoch\":");
    buf_json_string(out, epoch);
    buf_lit(out, ",\"offset\":");
    buf_u64(out, offset);
    buf_lit(out, "}}");
}

static void refresh(struct buf *out, uint32_t id, bool of_sub, const char *client, int64_t ttl_s)
{
    reply_head(out, id);
    if (of_sub) {
        buf_lit(out, "\"sub_refresh\":{");
    } else {
        buf_lit(out, "\"refresh\":{\"client\":");
        buf_json_string(out, slice_of(client));
        buf_lit(out, ",\"version\":\"fanfare " FANFARE_VERSION "\"");
    }
    if (ttl_s >= 0) {
        comma(out);
        buf_printf(out, "\"expires\":true,\"ttl\":%lld", (long long)ttl_s);
    }
    buf_lit(out, "}}");
}

static void pong(struct buf *out, uint32_t id)
{
    reply_head(out, id);
    buf_lit(out, "\"ping\":{}}");
}

static void push_head(struct buf *out, struct slice channel)
{
    separate(out);
    buf_lit(out, "{\"push\":{\"channel\":");
    buf_json_string(out, channel);
}

static void push_pub(struct buf *out, struct slice channel, const struct plog_rec *r, bool bare)
{
    push_head(out, channel);
    buf_lit(out, ",\"pub\":");
    pub_object(out, r, bare);
    buf_lit(out, "}}");
}

static void push_unsubscribe(struct buf *out, struct slice channel, int code)
{
    push_head(out, channel);
    buf_printf(out, ",\"unsubscribe\":{\"code\":%d,\"reason\":\"%s\"}}}", code,
               proto_close_text(code));
}

static void ping(struct buf *out)
{
    separate(out);
    buf_lit(out, "{}");
}

const struct proto proto_json = {
    .name = "json",
    .take = take,
    .command_done = command_done,
    .connect_sub = connect_sub,
    .pub = pub,
    .sub_result = sub_result,
    .error = error,
    .connect = connect,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .history = history,
    .refresh = refresh,
    .pong = pong,
    .push_pub = push_pub,
    .push_unsubscribe = push_unsubscribe,
    .ping = ping,
};
