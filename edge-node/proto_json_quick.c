/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json_quick.c: the commands that clients send most, read in one pass without a tree, which
 * would cost ten times as much: pongs, connect, subscribe, unsubscribe, ping.
 *
 * It reads only what is plain: strings of ASCII without escapes, whole numbers, no nesting but the
 * command's body, no token. It refuses everything else, also what is wrong: then the tree's reader
 * decides, so whatever it accepts it must read as that one does. Slices borrow from the frame.
 * @thread any
 */
#include "common/base/scan.h"

#include "edge-node/proto_json.h"

#define MEMBERS_MAX 8
#define DIGITS_MAX  18

struct reader {
    const unsigned char *p, *end;
};

/* The names of an object's members: none may come twice. */
struct names {
    struct slice v[MEMBERS_MAX];
    size_t n;
};

struct scalar {
    enum {
        SCALAR_NULL,
        SCALAR_BOOL,
        SCALAR_INT,
        SCALAR_TEXT
    } kind;
    bool yes;
    int64_t number;
    struct slice text;
};

typedef bool member_fn(struct reader *r, struct slice name, struct command *cmd);

/* Is c what comes next, behind white space? */
static bool is_next(struct reader *r, unsigned char c)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
    return r->p < r->end && *r->p == c;
}

static bool take(struct reader *r, unsigned char c)
{
    bool is = is_next(r, c);

    r->p += is;
    return is;
}

static bool take_text(struct reader *r, struct slice *ret)
{
    const unsigned char *end;

    if (!take(r, '"'))
        return false;
    end = scan_string(r->p, r->end, true);
    if (end == r->end || *end != '"')
        return false;
    *ret = (struct slice){(const char *)r->p, (size_t)(end - r->p)};
    r->p = end + 1;
    return true;
}

static bool take_word(struct reader *r, struct slice word)
{
    if ((size_t)(r->end - r->p) < word.n || memcmp(r->p, word.p, word.n) != 0)
        return false;
    r->p += word.n;
    return true;
}

/* What follows must end it: a comma or a bracket, which the caller takes. */
static bool take_int(struct reader *r, int64_t *ret)
{
    bool minus = take_word(r, SLICE("-"));
    const unsigned char *first = r->p;
    int64_t v = 0;

    while (r->p < r->end && r->p - first < DIGITS_MAX && *r->p >= '0' && *r->p <= '9')
        v = v * 10 + (*r->p++ - '0');
    *ret = minus ? -v : v;
    return r->p > first && (*first != '0' || (r->p == first + 1 && !minus));
}

static bool take_scalar(struct reader *r, struct scalar *ret)
{
    *ret = (struct scalar){.kind = SCALAR_TEXT};
    if (is_next(r, '"'))
        return take_text(r, &ret->text);
    if (take_word(r, SLICE("null"))) {
        ret->kind = SCALAR_NULL;
        return true;
    }
    ret->kind = SCALAR_BOOL;
    ret->yes = take_word(r, SLICE("true"));
    if (ret->yes || take_word(r, SLICE("false")))
        return true;
    ret->kind = SCALAR_INT;
    return take_int(r, &ret->number);
}

static bool take_name(struct reader *r, struct names *seen, struct slice *ret)
{
    if (!take_text(r, ret) || !take(r, ':') || seen->n == MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < seen->n; i++)
        if (slice_eq(seen->v[i], *ret))
            return false;
    seen->v[seen->n++] = *ret;
    return true;
}

static bool take_object(struct reader *r, member_fn *member, struct command *cmd)
{
    struct names seen = {.n = 0};
    struct slice name;

    if (!take(r, '{'))
        return false;
    if (take(r, '}'))
        return true;
    do {
        if (!take_name(r, &seen, &name) || !member(r, name, cmd))
            return false;
    } while (take(r, ','));
    return take(r, '}');
}

static bool is_text_or_null(const struct scalar *v, struct slice *ret)
{
    if (v->kind == SCALAR_TEXT)
        *ret = v->text;
    return v->kind == SCALAR_TEXT || v->kind == SCALAR_NULL;
}

static bool subscribe_field(struct slice name, const struct scalar *v, struct command *cmd)
{
    if (slice_eq(name, SLICE("recover"))) {
        cmd->cursor.recover = v->yes;
        return v->kind == SCALAR_BOOL || v->kind == SCALAR_NULL;
    }
    if (slice_eq(name, SLICE("offset"))) {
        cmd->cursor.offset = (uint64_t)v->number;
        return v->kind == SCALAR_INT && v->number >= 0;
    }
    if (slice_eq(name, SLICE("type"))) {
        cmd->sub_type = v->number;
        return v->kind == SCALAR_INT;
    }
    if (slice_eq(name, SLICE("epoch")))
        return is_text_or_null(v, &cmd->cursor.epoch);
    return true;
}

static bool body_member(struct reader *r, struct slice name, struct command *cmd)
{
    struct scalar v;

    if (slice_eq(name, SLICE("token")) || slice_eq(name, SLICE("subs")) || !take_scalar(r, &v))
        return false;
    if (cmd->type == COMMAND_CONNECT || cmd->type == COMMAND_PING)
        return true;
    if (slice_eq(name, SLICE("channel")))
        return is_text_or_null(&v, &cmd->channel);
    return cmd->type != COMMAND_SUBSCRIBE || subscribe_field(name, &v, cmd);
}

static enum command_type method_of(struct slice name)
{
    if (slice_eq(name, SLICE("subscribe")))
        return COMMAND_SUBSCRIBE;
    if (slice_eq(name, SLICE("connect")))
        return COMMAND_CONNECT;
    if (slice_eq(name, SLICE("unsubscribe")))
        return COMMAND_UNSUBSCRIBE;
    return slice_eq(name, SLICE("ping")) ? COMMAND_PING : COMMAND_UNKNOWN;
}

static bool member(struct reader *r, struct slice name, struct command *cmd)
{
    struct scalar v;

    if (slice_eq(name, SLICE("id"))) {
        if (!take_scalar(r, &v) || v.kind != SCALAR_INT || v.number < 0 || v.number > UINT32_MAX)
            return false;
        cmd->id = (uint32_t)v.number;
        return true;
    }
    if (cmd->type != COMMAND_UNKNOWN)
        return false; /* a second method */
    cmd->type = method_of(name);
    return cmd->type != COMMAND_UNKNOWN && take_object(r, body_member, cmd);
}

bool proto_json_quick(struct slice *frame, struct command *ret)
{
    const unsigned char *begin = (const unsigned char *)frame->p;
    struct reader r = {begin, begin + frame->n};
    struct command cmd = {.type = COMMAND_UNKNOWN};

    if (!take_object(&r, member, &cmd))
        return false;
    if (r.p == begin + 2)
        cmd.type = COMMAND_PONG; /* {} */
    else if (cmd.type == COMMAND_UNKNOWN)
        return false;
    frame->n -= (size_t)(r.p - begin);
    frame->p = (const char *)r.p;
    *ret = cmd;
    return true;
}
