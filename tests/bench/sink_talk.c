/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_talk.c: see sink_talk.h. No state of its own.
 */
#include "tests/bench/sink_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASK 0x5a17c3e9

static void put_text(struct buf *out, struct slice text)
{
    ws_put(out, WS_TEXT, text, MASK);
}

/* ---- bare: bench_bare; counts the replies of fanfare's that it was given to send ------------- */

static bool is_push(struct slice reply)
{
    return reply.n > 7 && !memcmp(reply.p, "{\"push\"", 7);
}

static struct slice take_line(struct slice *left)
{
    const char *nl = memchr(left->p, '\n', left->n);
    struct slice line = {left->p, nl ? (size_t)(nl - left->p) : left->n};
    left->p += line.n + (nl != NULL);
    left->n -= line.n + (nl != NULL);
    return line;
}

static void bare_path(const struct talk_client *c, struct buf *out)
{
    buf_lit(out, "/sub");
    if (c->channel)
        buf_printf(out, "?%s", c->channel);
}

static void bare_greet(struct talk_client *c, struct buf *out)
{
    (void)out;
    c->is_ready = true;
}

static unsigned bare_message(struct talk_client *c, const struct ws_frame *f, struct buf *out)
{
    struct slice left = f->body;
    unsigned pushes = 0;
    (void)c, (void)out;
    while (left.n > 0)
        pushes += is_push(take_line(&left));
    return pushes;
}

/* ---- fanfare: the client protocol as JSON; without a channel the connect command only -------- */

static void fanfare_path(const struct talk_client *c, struct buf *out)
{
    (void)c;
    buf_lit(out, "/connection/websocket");
}

static void fanfare_greet(struct talk_client *c, struct buf *out)
{
    struct buf text = BUF_INIT;
    buf_lit(&text, "{\"id\":1,\"connect\":{}}");
    if (c->channel) {
        buf_lit(&text, "\n{\"id\":2,\"subscribe\":{\"channel\":");
        buf_json_string(&text, slice_of(c->channel));
        buf_lit(&text, "}}");
    }
    put_text(out, buf_as_slice(&text));
    buf_done(&text);
}

static void fanfare_answer(struct talk_client *c, struct slice reply)
{
    if (memmem(reply.p, reply.n, "\"error\":", 8)) {
        (void)fprintf(stderr, "bench_sink: %.*s\n", (int)reply.n, reply.p);
        exit(1);
    }
    c->is_ready = ++c->answers >= (c->channel ? 2u : 1u);
}

static unsigned fanfare_message(struct talk_client *c, const struct ws_frame *f, struct buf *out)
{
    struct slice left = f->body;
    unsigned pushes = 0;
    while (left.n > 0) {
        struct slice reply = take_line(&left);
        if (is_push(reply))
            pushes++;
        else if (reply.n == 2) /* a ping */
            put_text(out, SLICE("{}"));
        else if (reply.n > 5 && !memcmp(reply.p, "{\"id\"", 5))
            fanfare_answer(c, reply);
    }
    return pushes;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct talk talks[] = {
    {"bare", NULL, bare_path, bare_greet, bare_message},
    {"fanfare", NULL, fanfare_path, fanfare_greet, fanfare_message},
};

const struct talk *talk_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(talks); i++)
        if (!strcmp(talks[i].name, name))
            return &talks[i];
    return NULL;
}
