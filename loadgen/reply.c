/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c: see reply.h. The cursor (struct scan) only moves forward; once it is bad it stays bad,
 * so callers look at it once, at the end.
 */
#include "loadgen/reply.h"

#include <errno.h>
#include <stdio.h>

struct scan {
    const char *p, *end;
    bool bad;
};

static bool take(struct scan *sc, char c)
{
    if (sc->p < sc->end && *sc->p == c) {
        sc->p++;
        return true;
    }
    return false;
}

static void need(struct scan *sc, char c)
{
    if (!take(sc, c))
        sc->bad = true;
}

/* The inside of a string; the cursor is on its opening quote. */
static struct slice string_take(struct scan *sc)
{
    struct slice none = {NULL, 0};
    if (!take(sc, '"')) {
        sc->bad = true;
        return none;
    }
    const char *from = sc->p;
    while (sc->p < sc->end) {
        const char *quote = memchr(sc->p, '"', (size_t)(sc->end - sc->p));
        if (!quote)
            break;
        size_t slashes = 0;
        while (quote - slashes > from && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        sc->p = quote + 1;
        if (slashes % 2 == 0)
            return (struct slice){from, (size_t)(quote - from)};
    }
    sc->bad = true;
    return none;
}

static void scalar_skip(struct scan *sc)
{
    const char *from = sc->p;
    while (sc->p < sc->end && *sc->p != ',' && *sc->p != '}' && *sc->p != ']' && *sc->p != ' ')
        sc->p++;
    if (sc->p == from)
        sc->bad = true;
}

/* A container of any depth: strings are stepped over, brackets counted by kind. */
static void container_skip(struct scan *sc)
{
    char open[64];
    size_t depth = 0;
    do {
        if (sc->p == sc->end) {
            sc->bad = true;
            return;
        }
        char c = *sc->p;
        if (c == '"') {
            string_take(sc);
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == sizeof open) {
                sc->bad = true;
                return;
            }
            open[depth++] = c;
        } else if (c == '}' || c == ']') {
            if (open[depth - 1] != (c == '}' ? '{' : '[')) {
                sc->bad = true;
                return;
            }
            depth--;
        }
        sc->p++;
    } while (depth > 0 && !sc->bad);
}

static struct slice value_take(struct scan *sc)
{
    const char *from = sc->p;
    if (sc->p == sc->end)
        sc->bad = true;
    else if (*sc->p == '"')
        string_take(sc);
    else if (*sc->p == '{' || *sc->p == '[')
        container_skip(sc);
    else
        scalar_skip(sc);
    return (struct slice){from, (size_t)(sc->p - from)};
}

static uint64_t number_take(struct scan *sc)
{
    uint64_t v = 0;
    const char *from = sc->p;
    while (sc->p < sc->end && *sc->p >= '0' && *sc->p <= '9')
        v = v * 10 + (uint64_t)(*sc->p++ - '0');
    if (sc->p == from || sc->p - from > 19)
        sc->bad = true;
    return v;
}

static bool bool_take(struct scan *sc)
{
    struct slice v = value_take(sc);
    bool yes = slice_eq(v, SLICE("true"));
    if (!yes && !slice_eq(v, SLICE("false")))
        sc->bad = true;
    return yes;
}

/* The next member's name; false behind the closing brace. *first starts as true, with the cursor
 * behind the opening brace. */
static bool member_take(struct scan *sc, bool *first, struct slice *ret_name)
{
    if (sc->bad || take(sc, '}'))
        return false;
    if (!*first)
        need(sc, ',');
    *first = false;
    *ret_name = string_take(sc);
    need(sc, ':');
    return !sc->bad;
}

static bool is(struct slice name, const char *text)
{
    return slice_eq(name, slice_of(text));
}

static void pub_scan(struct scan *sc, struct pub *pub)
{
    struct slice name;
    bool first = true;
    *pub = (struct pub){{NULL, 0}, 0, false};
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "data")) {
            pub->data = value_take(sc);
        } else if (is(name, "offset")) {
            pub->offset = number_take(sc);
        } else if (is(name, "tags")) {
            struct slice tags = value_take(sc);
            pub->marker = memmem(tags.p, tags.n, "\"fanfare-error\":", 16) != NULL;
        } else {
            value_take(sc);
        }
    }
    if (!pub->data.p || pub->offset == 0)
        sc->bad = true;
}

/* {"code":N,…} */
static uint32_t code_scan(struct scan *sc)
{
    struct slice name;
    bool first = true;
    uint64_t code = 0;
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "code"))
            code = number_take(sc);
        else
            value_take(sc);
    }
    return code > UINT32_MAX ? UINT32_MAX : (uint32_t)code;
}

static void push_scan(struct scan *sc, struct reply *ret)
{
    struct slice name;
    bool first = true;
    ret->kind = REPLY_OTHER;
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "channel")) {
            ret->channel = string_take(sc);
        } else if (is(name, "pub")) {
            ret->kind = REPLY_PUB;
            pub_scan(sc, &ret->pub);
        } else if (is(name, "unsubscribe")) {
            ret->kind = REPLY_UNSUBSCRIBED;
            ret->code = code_scan(sc);
        } else if (is(name, "disconnect")) {
            ret->kind = REPLY_DISCONNECT;
            ret->code = code_scan(sc);
        } else {
            value_take(sc);
        }
    }
    if (ret->kind == REPLY_PUB && !ret->channel.p)
        sc->bad = true;
}

static void connect_scan(struct scan *sc, struct reply *ret)
{
    struct slice name;
    bool first = true;
    ret->kind = REPLY_CONNECT;
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "node"))
            ret->node = string_take(sc);
        else if (is(name, "ping"))
            ret->ping_s = (uint32_t)number_take(sc);
        else if (is(name, "pong"))
            ret->pong = bool_take(sc);
        else
            value_take(sc);
    }
}

static void subscribe_scan(struct scan *sc, struct reply *ret)
{
    struct slice name;
    bool first = true;
    ret->kind = REPLY_SUBSCRIBE;
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "recoverable")) {
            ret->recoverable = bool_take(sc);
        } else if (is(name, "was_recovering")) {
            ret->was_recovering = bool_take(sc);
        } else if (is(name, "recovered")) {
            ret->recovered = bool_take(sc);
        } else if (is(name, "epoch")) {
            ret->epoch = string_take(sc);
        } else if (is(name, "offset")) {
            ret->offset = number_take(sc);
        } else if (is(name, "publications")) {
            struct slice list = value_take(sc);
            if (list.n >= 2 && list.p[0] == '[')
                ret->publications = (struct slice){list.p + 1, list.n - 2};
        } else {
            value_take(sc);
        }
    }
}

static void reply_scan(struct scan *sc, struct reply *ret)
{
    struct slice name;
    bool first = true;
    need(sc, '{');
    while (member_take(sc, &first, &name)) {
        if (is(name, "push")) {
            push_scan(sc, ret);
        } else if (is(name, "id")) {
            ret->id = (uint32_t)number_take(sc);
        } else if (is(name, "connect")) {
            connect_scan(sc, ret);
        } else if (is(name, "subscribe")) {
            subscribe_scan(sc, ret);
        } else if (is(name, "error")) {
            ret->kind = REPLY_ERROR;
            ret->code = code_scan(sc);
        } else {
            value_take(sc);
        }
    }
    if (first)
        ret->kind = REPLY_PING;
}

int reply_take(struct slice *in, struct reply *ret)
{
    if (in->n == 0)
        return -ENOENT;
    struct scan sc = {in->p, in->p + in->n, false};
    memset(ret, 0, sizeof *ret);
    ret->kind = REPLY_OTHER;
    reply_scan(&sc, ret);
    /* A line break joins replies; one behind the last is allowed. */
    if (sc.bad || (sc.p < sc.end && *sc.p != '\n'))
        return -EBADMSG;
    if (sc.p < sc.end)
        sc.p++;
    *in = (struct slice){sc.p, (size_t)(sc.end - sc.p)};
    return 0;
}

int pub_take(struct slice *in, struct pub *ret)
{
    if (in->n == 0)
        return -ENOENT;
    struct scan sc = {in->p, in->p + in->n, false};
    pub_scan(&sc, ret);
    if (!sc.bad && sc.p < sc.end)
        need(&sc, ',');
    if (sc.bad)
        return -EBADMSG;
    *in = (struct slice){sc.p, (size_t)(sc.end - sc.p)};
    return 0;
}

/* \uXXXX below the surrogates, as UTF-8; 0 if it is no such thing. */
static size_t unicode_escape(const char *hex, char dst[4])
{
    unsigned c = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *at = hex[i] ? strchr(digits, hex[i]) : NULL;
        if (!at)
            return 0;
        c = c * 16 + (unsigned)((at - digits) % 16);
    }
    if (c >= 0xd800 && c <= 0xdfff)
        return 0;
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (char)(0xc0 | c >> 6);
        dst[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    dst[0] = (char)(0xe0 | c >> 12);
    dst[1] = (char)(0x80 | (c >> 6 & 0x3f));
    dst[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

int reply_unescape(struct slice s, char *dst, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < s.n; i++) {
        char piece[4] = {s.p[i]};
        size_t len = 1;
        if (s.p[i] == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            if (++i == s.n)
                return -1;
            const char *at = s.p[i] ? strchr(from, s.p[i]) : NULL;
            if (at) {
                piece[0] = to[at - from];
            } else if (s.p[i] == 'u' && s.n - i > 4) {
                len = unicode_escape(s.p + i + 1, piece);
                i += 4;
            } else {
                len = 0;
            }
        }
        if (len == 0 || out + len > n)
            return -1;
        memcpy(dst + out, piece, len);
        out += len;
    }
    return (int)out;
}

uint64_t payload_number(struct slice data, struct slice name)
{
    size_t window = data.n < 512 ? data.n : 512;
    const char *at = memmem(data.p, window, name.p, name.n);
    if (!at)
        return 0;
    uint64_t v = 0;
    const char *end = data.p + data.n;
    for (at += name.n; at < end && *at >= '0' && *at <= '9'; at++)
        v = v * 10 + (uint64_t)(*at - '0');
    return v;
}
