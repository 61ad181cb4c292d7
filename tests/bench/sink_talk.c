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

_Noreturn static void complain(struct slice what)
{
    (void)fprintf(stderr, "bench_sink: the server says %.*s\n", (int)what.n, what.p);
    exit(1);
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

static void fanfare_command(struct talk_client *c, const char *what, const char *channel,
                            struct buf *text)
{
    if (text->n)
        buf_byte(text, '\n');
    buf_printf(text, "{\"id\":%u,\"%s\":{", ++c->expected, what);
    if (channel) {
        buf_lit(text, "\"channel\":");
        buf_json_string(text, slice_of(channel));
    }
    buf_lit(text, "}}");
}

static void fanfare_commands(struct talk_client *c, const char *what, struct buf *text)
{
    if (c->channel)
        fanfare_command(c, what, c->channel, text);
    for (size_t i = 1; i <= c->more_count; i++)
        fanfare_command(c, what, c->more[i * c->stride], text);
}

static void fanfare_greet(struct talk_client *c, struct buf *out)
{
    struct buf text = BUF_INIT;
    fanfare_command(c, "connect", NULL, &text);
    fanfare_commands(c, "subscribe", &text);
    put_text(out, buf_as_slice(&text));
    buf_done(&text);
}

static void fanfare_churn(struct talk_client *c, struct buf *out)
{
    struct buf text = BUF_INIT;
    fanfare_commands(c, "unsubscribe", &text);
    fanfare_commands(c, "subscribe", &text);
    put_text(out, buf_as_slice(&text));
    buf_done(&text);
    c->is_ready = false;
}

static void fanfare_answer(struct talk_client *c, struct slice reply)
{
    if (memmem(reply.p, reply.n, "\"error\":", 8))
        complain(reply);
    c->is_ready = ++c->answers == c->expected;
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

/* ---- plain: nchan, and uws_server.py; as bare, but the path says which channel -------------- */

static void plain_path(const struct talk_client *c, struct buf *out)
{
    buf_printf(out, "/sub/%s", c->channel ? c->channel : "");
}

/* ---- nats: its protocol's lines in binary frames, whole ones as seen ------------------------ */

static void nats_path(const struct talk_client *c, struct buf *out)
{
    (void)c;
    buf_lit(out, "/");
}

static void nats_greet(struct talk_client *c, struct buf *out)
{
    struct buf text = BUF_INIT;
    buf_lit(&text, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    if (c->channel)
        buf_printf(&text, "SUB %s 1\r\n", c->channel);
    buf_lit(&text, "PING\r\n");
    ws_put(out, WS_BINARY, buf_as_slice(&text), MASK);
    buf_done(&text);
}

/* Steps over the payload of "MSG SUBJECT SID SIZE" and its line break. */
static void nats_skip(struct slice line, struct slice *left)
{
    const char *space = memrchr(line.p, ' ', line.n);
    size_t n = space ? strtoul(space + 1, NULL, 10) + 2 : 0;
    if (n == 0 || n > left->n)
        complain(line);
    left->p += n;
    left->n -= n;
}

static unsigned nats_message(struct talk_client *c, const struct ws_frame *f, struct buf *out)
{
    struct slice left = f->body;
    unsigned pushes = 0;
    while (left.n > 0) {
        struct slice line = take_line(&left);
        if (line.n > 4 && !memcmp(line.p, "MSG ", 4)) {
            nats_skip(line, &left);
            pushes++;
        } else if (line.n == 5 && !memcmp(line.p, "PING\r", 5)) {
            ws_put(out, WS_BINARY, SLICE("PONG\r\n"), MASK);
        } else if (line.n == 5 && !memcmp(line.p, "PONG\r", 5)) {
            c->is_ready = true;
        } else if (line.n < 5 || memcmp(line.p, "INFO ", 5) != 0) {
            complain(line);
        }
    }
    return pushes;
}

/* ---- mqtt: 3.1.1 with QoS 0, whole packets in a frame as seen ------------------------------- */

enum mqtt_kind { /* the first byte's upper half */
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_SUBACK = 9
};

static void mqtt_path(const struct talk_client *c, struct buf *out)
{
    (void)c;
    buf_lit(out, "/mqtt");
}

static void mqtt_greet(struct talk_client *c, struct buf *out)
{
    /* A clean session, no keep-alive, no name. */
    static const char connect[] = "\x10\x0c\0\4MQTT\4\2\0\0\0";
    (void)c;
    ws_put(out, WS_BINARY, (struct slice){connect, sizeof connect}, MASK);
}

static void mqtt_subscribe(const struct talk_client *c, struct buf *out)
{
    struct buf packet = BUF_INIT;
    size_t n = strlen(c->channel);
    if (n > 100) /* longer ones would need a second byte of length */
        complain(SLICE("nothing: the channel's name is too long"));
    buf_byte(&packet, 0x82);
    buf_byte(&packet, (unsigned char)(n + 5));
    buf_add(&packet, "\0\1\0", 3);
    buf_byte(&packet, (unsigned char)n);
    buf_add(&packet, c->channel, n);
    buf_byte(&packet, 0);
    ws_put(out, WS_BINARY, buf_as_slice(&packet), MASK);
    buf_done(&packet);
}

/* One packet without its first byte and its length; 0xff: there is none, or not all of it. */
static unsigned mqtt_take(struct slice *left, struct slice *ret_body)
{
    unsigned kind = left->n ? (unsigned char)left->p[0] >> 4 : 0xff;
    size_t n = 0, at = 1;
    for (unsigned shift = 0; at < left->n && shift < 28; shift += 7) {
        unsigned char byte = (unsigned char)left->p[at++];
        n |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    if (n > left->n - at)
        return 0xff;
    *ret_body = (struct slice){left->p + at, n};
    left->p += at + n;
    left->n -= at + n;
    return kind;
}

static unsigned mqtt_message(struct talk_client *c, const struct ws_frame *f, struct buf *out)
{
    struct slice left = f->body, body = {NULL, 0};
    unsigned pushes = 0;
    while (left.n > 0) {
        unsigned kind = mqtt_take(&left, &body);
        if (kind == MQTT_PUBLISH)
            pushes++;
        else if (kind == MQTT_CONNACK && body.n == 2 && !body.p[1] && c->channel)
            mqtt_subscribe(c, out);
        else if (kind == MQTT_SUBACK && body.n == 3 && !body.p[2])
            c->is_ready = true;
        else
            complain(SLICE("what MQTT has no place for here"));
    }
    return pushes;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct talk talks[] = {
    {"bare", NULL, bare_path, bare_greet, NULL, bare_message},
    {"fanfare", NULL, fanfare_path, fanfare_greet, fanfare_churn, fanfare_message},
    {"plain", NULL, plain_path, bare_greet, NULL, bare_message},
    {"nats", NULL, nats_path, nats_greet, NULL, nats_message},
    {"mqtt", "mqtt", mqtt_path, mqtt_greet, NULL, mqtt_message},
};

const struct talk *talk_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(talks); i++)
        if (!strcmp(talks[i].name, name))
            return &talks[i];
    return NULL;
}
