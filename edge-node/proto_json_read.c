/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json_read.c: clients' commands in JSON. A command with a field of the wrong type or range
 * is marked bad, so that it can be answered by its id; what is no JSON object, or has no usable id,
 * ends the connection. @thread any
 */
#include <errno.h>

#include "common/runtime/json.h"

#include "edge-node/proto_json.h"

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

/* NULL: absent. */
static const struct json *want_object(const struct json *obj, const char *name, bool *bad)
{
    const struct json *j = json_get(obj, name);

    if (!j || json_kind(j) == JSON_T_NULL)
        return NULL;
    if (json_kind(j) == JSON_T_OBJECT)
        return j;
    *bad = true;
    return NULL;
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

static void read_sub(const struct json *sub, struct cursor *c, bool *bad)
{
    want_bool(sub, "recover", &c->recover, bad);
    want_cursor(sub, c, bad);
}

/* All of subs is looked at: a cursor that can't be read must not become "from here on". */
static void read_connect(const struct json *body, struct command *cmd)
{
    const struct json *subs = want_object(body, "subs", &cmd->bad), *sub;
    struct slice name;
    void *it = NULL;

    want_string(body, "token", &cmd->token, &cmd->bad);
    cmd->subs = subs;
    while (json_next(subs, &it, &name, &sub)) {
        struct cursor c = {0};
        read_sub(sub, &c, &cmd->bad);
        if (json_kind(sub) != JSON_T_OBJECT && json_kind(sub) != JSON_T_NULL)
            cmd->bad = true;
    }
}

static void read_history(const struct json *body, struct command *cmd)
{
    const struct json *since = want_object(body, "since", &cmd->bad);
    const struct json *limit = json_get(body, "limit");

    want_string(body, "channel", &cmd->channel, &cmd->bad);
    want_bool(body, "reverse", &cmd->reverse, &cmd->bad);
    if (limit && !json_i64(limit, &cmd->limit))
        cmd->bad = true;
    if (since) {
        cmd->has_since = true;
        want_cursor(since, &cmd->cursor, &cmd->bad);
    }
}

static void read_body(const struct json *body, struct command *cmd)
{
    switch (cmd->type) {
    case COMMAND_CONNECT:
        read_connect(body, cmd);
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

int proto_json_take(struct slice *frame, struct command *ret)
{
    return proto_json_quick(frame, ret) ? 1 : proto_json_take_tree(frame, ret);
}

int proto_json_take_tree(struct slice *frame, struct command *ret)
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

void proto_json_command_done(struct command *cmd)
{
    json_free(cmd->tree);
    cmd->tree = NULL;
}

bool proto_json_connect_sub(const struct command *cmd, struct slice channel, struct cursor *ret)
{
    void *it = NULL;
    struct slice name;
    const struct json *value;
    bool bad = false; /* read_connect() has looked */

    while (cmd->subs && json_next(cmd->subs, &it, &name, &value)) {
        if (!slice_eq(name, channel))
            continue;
        *ret = (struct cursor){0};
        read_sub(value, ret, &bad);
        return true;
    }
    return false;
}
