/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: one client's socket: non-blocking connect from this process's own loopback address, HTTP
 * upgrade, frames. See crew.h. Bytes are read into one buffer of the process; only the rest of an
 * incomplete frame is kept with the client.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

#include "loadgen/crew.h"
#include "loadgen/wsframe.h"

#define RX_BYTES   KIB(256)
#define SLOW_BYTES 2048 /* a slow client's read, each 100 ms */
#define HEAD_MAX   KIB(8)
#define OUT_MAX    MIB(1)

/* RFC 6455's example key and its answer: the same for every client, so it can be compared. */
#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void on_event(struct ev_loop *loop, struct ev_io *w, int revents);

static void watch(struct client *c, int events)
{
    if (ev_is_active(&c->io) && c->io.events == events)
        return;
    ev_io_stop(c->crew->loop, &c->io);
    ev_io_init(&c->io, on_event, c->fd, events);
    if (events)
        ev_io_start(c->crew->loop, &c->io);
}

void conn_close(struct client *c)
{
    if (c->state == CONN_NONE || c->state == CONN_FINAL)
        return;
    ev_io_stop(c->crew->loop, &c->io);
    (void)close(c->fd);
    c->fd = -1;
    c->state = CONN_NONE;
    c->paused = false;
    buf_done(&c->in);
    buf_done(&c->message);
    buf_done(&c->out);
}

static void lost(struct client *c, unsigned code)
{
    conn_close(c);
    client_on_lost(c, code);
}

/* Each process has a loopback address of its own, so ports don't run out. */
static void bind_source(const struct client *c, const struct sockaddr_in *to)
{
    if (ntohl(to->sin_addr.s_addr) >> 24 != 127)
        return;
    int one = 1;
    uint32_t host = 0x7f000100u + (c->crew->index / 250) * 256 + c->crew->index % 250 + 1;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
    (void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    (void)bind(c->fd, (const struct sockaddr *)&from, sizeof from);
}

static void open_at(struct client *c, const struct edge_url *url)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->heard_ns = clock_mono_ns();
    if (c->fd < 0) {
        client_on_lost(c, 1006);
        return;
    }
    int one = 1, small = 4096;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->slow)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    bind_source(c, &url->addr);
    c->state = CONN_CONNECTING;
    if (connect(c->fd, (const struct sockaddr *)&url->addr, sizeof url->addr) &&
        errno != EINPROGRESS) {
        lost(c, 1006);
        return;
    }
    watch(c, EV_WRITE);
}

void conn_open(struct client *c)
{
    c->started_ns = clock_mono_ns();
    c->asking = c->crew->st->conf.place;
    open_at(c, &c->crew->st->edges[c->edge]);
}

static int flush(struct client *c)
{
    while (c->out.n > 0) {
        ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n < 0)
            break;
        buf_consume(&c->out, (size_t)n);
    }
    if (c->out.n == 0)
        buf_done(&c->out);
    watch(c, (c->paused ? 0 : EV_READ) | (c->out.n ? EV_WRITE : 0));
    return 0;
}

static int send_frame(struct client *c, enum ws_opcode opcode, struct slice body)
{
    if (c->out.n > OUT_MAX)
        return -ENOBUFS;
    ws_put(&c->out, opcode, body, (uint32_t)crew_random(c->crew));
    return flush(c);
}

int conn_send(struct client *c, struct slice text)
{
    return send_frame(c, WS_TEXT, text);
}

static void put_question(struct client *c)
{
    const char *name = c->crew->names[c->subs[0].channel];
    buf_lit(&c->out, "/connect?channel=");
    for (const char *p = name; *p; p++)
        buf_printf(&c->out, isalnum((unsigned char)*p) ? "%c" : "%%%02X", (unsigned char)*p);
}

static void connected(struct client *c)
{
    int err = 0;
    socklen_t size = sizeof err;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size) || err) {
        lost(c, 1006);
        return;
    }
    const struct edge_url *url = &c->crew->st->edges[c->edge];
    c->state = CONN_UPGRADING;
    buf_lit(&c->out, "GET ");
    if (c->asking)
        put_question(c);
    else
        buf_str(&c->out, url->path);
    buf_printf(&c->out,
               " HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " WS_KEY "\r\n\r\n",
               url->host);
    if (flush(c))
        lost(c, 1006);
}

/* The number of the edge that a redirect names, or -EPROTO. */
static int edge_of(const struct settings *st, struct slice head)
{
    const struct slice before = SLICE("\r\nLocation: ws://");
    const char *at = memmem(head.p, head.n, before.p, before.n);
    for (uint32_t i = 0; at && i < st->edge_count; i++) {
        size_t n = strlen(st->edges[i].host), rest = (size_t)(head.p + head.n - at) - before.n;
        if (rest > n && memcmp(at + before.n, st->edges[i].host, n) == 0 && at[before.n + n] == '/')
            return (int)i;
    }
    return -EPROTO;
}

/* It was told where to go: 0, or -EPROTO. By a reset: each port that waits for old packets is
 * looked at by those to come. */
static int follow(struct client *c, struct slice head)
{
    int edge = edge_of(c->crew->st, head);
    struct linger at_once = {.l_onoff = 1};
    if (edge < 0)
        return edge;
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    conn_close(c);
    c->asking = false;
    c->edge = (uint8_t)edge;
    open_at(c, &c->crew->st->edges[edge]);
    return 0;
}

/* 0: upgraded, *in is behind the head, or on its way to another edge; -EAGAIN; -EPROTO. */
static int upgrade_take(struct client *c, struct slice *in)
{
    const char *end = memmem(in->p, in->n, "\r\n\r\n", 4);
    if (!end)
        return in->n > HEAD_MAX ? -EPROTO : -EAGAIN;
    size_t head = (size_t)(end - in->p) + 4;
    if (c->asking)
        return follow(c, (struct slice){in->p, head});
    if (head < 13 || memcmp(in->p, "HTTP/1.1 101 ", 13) != 0 ||
        !memmem(in->p, head, WS_ACCEPT, sizeof WS_ACCEPT - 1))
        return -EPROTO;
    in->p += head;
    in->n -= head;
    c->state = CONN_OPEN;
    return 0;
}

/* A close frame ends it: -ECONNRESET with the code in *code. */
static int control(struct client *c, const struct ws_frame *f, unsigned *code)
{
    if (f->opcode == WS_PING)
        return send_frame(c, WS_PONG, f->body);
    if (f->opcode == WS_CLOSE) {
        const unsigned char *p = (const unsigned char *)f->body.p;
        *code = f->body.n >= 2 ? (unsigned)p[0] << 8 | p[1] : 1005;
        return -ECONNRESET;
    }
    return 0;
}

static int data(struct client *c, const struct ws_frame *f, uint64_t now_ns)
{
    bool inside = c->message.n > 0;
    if (f->opcode == WS_BINARY || inside != (f->opcode == WS_CONTINUATION))
        return -EPROTO;
    if (f->fin && !inside)
        return client_on_text(c, f->body, now_ns);
    if (c->message.n + f->body.n > FRAME_MAX)
        return -EMSGSIZE;
    buf_slice(&c->message, f->body);
    if (!f->fin)
        return c->message.n ? 0 : -EPROTO; /* an empty first piece: legal, never seen, not needed */
    struct buf whole = c->message;
    c->message = BUF_INIT;
    int r = client_on_text(c, buf_as_slice(&whole), now_ns);
    buf_done(&whole);
    return r;
}

/* Handles what is whole in *in. 0 or -errno, then with *code. */
static int frames(struct client *c, struct slice *in, unsigned *code)
{
    uint64_t now_ns = clock_mono_ns();
    c->heard_ns = now_ns;
    if (c->state == CONN_UPGRADING) {
        int r = upgrade_take(c, in);
        if (r)
            return r == -EAGAIN ? 0 : r;
        if (c->state == CONN_OPEN)
            client_on_open(c);
    }
    while (c->state == CONN_OPEN) {
        struct ws_frame f;
        int r = ws_take(in, FRAME_MAX, &f);
        if (r == -EAGAIN)
            return 0;
        if (r == 0)
            r = f.opcode >= WS_CLOSE ? control(c, &f, code) : data(c, &f, now_ns);
        if (r) {
            if (r == -EPROTO || r == -EBADMSG || r == -EMSGSIZE)
                stat_add(&c->crew->stats->protocol_errors, 1);
            return r;
        }
    }
    return 0;
}

/* One read; false when there is nothing more for now. */
static bool read_once(struct client *c)
{
    size_t room = c->slow && c->crew->sh->phase < PHASE_DRAIN ? SLOW_BYTES : RX_BYTES;
    char *dst = c->in.n ? buf_reserve(&c->in, room) : c->crew->rx;
    ssize_t n = recv(c->fd, dst, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        lost(c, 1006);
        return false;
    }
    stat_add(&c->crew->stats->bytes, (uint64_t)n);
    bool kept = c->in.n > 0;
    if (kept)
        c->in.n += (size_t)n;
    struct slice in = kept ? buf_as_slice(&c->in) : (struct slice){dst, (size_t)n};
    size_t had = in.n;
    unsigned code = 1006;
    int r = frames(c, &in, &code);
    if (r) {
        lost(c, code);
        return false;
    }
    if (c->state == CONN_NONE || c->state == CONN_FINAL || c->state == CONN_CONNECTING)
        return false;
    if (kept)
        buf_consume(&c->in, had - in.n);
    else if (in.n)
        buf_slice(&c->in, in);
    buf_shrink(&c->in, 0);
    if (room == SLOW_BYTES) {
        c->paused = true;
        watch(c, c->out.n ? EV_WRITE : 0);
        return false;
    }
    return (size_t)n == room;
}

void conn_resume_reading(struct client *c)
{
    c->paused = false;
    watch(c, EV_READ | (c->out.n ? EV_WRITE : 0));
}

static void on_event(struct ev_loop *loop, struct ev_io *w, int revents)
{
    struct client *c = container_of(w, struct client, io);
    (void)loop;
    if (revents & EV_WRITE) {
        if (c->state == CONN_CONNECTING) {
            connected(c);
            return;
        }
        if (flush(c)) {
            lost(c, 1006);
            return;
        }
    }
    if (revents & EV_READ)
        while (read_once(c))
            ;
}
