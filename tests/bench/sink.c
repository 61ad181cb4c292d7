/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c: many WebSocket clients that only count: for the bare server and for an edge alike.
 *
 *   bench_sink HOST:PORT CLIENTS [CHANNEL]
 *
 * Without a channel it upgrades and listens; with "-" it sends the connect command only; else it
 * also subscribes to it. "ready" is printed when all are. Then, by lines on stdin:
 *   wait N MS   → "got N' BYTES" once N' >= N publications came in all, or MS have passed
 *   count       → the same at once
 *   quit
 * Counted are replies that begin with {"push", in frames walked by their headers. Pings ({}) are
 * answered. @thread main
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"

#include "loadgen/wsframe.h"

#define RX_BYTES  KIB(256)
#define IN_FLIGHT 200 /* connections being set up at a time */

struct sinker {
    int fd;
    bool open;
    unsigned answers; /* to connect and subscribe */
    struct buf in;
};

static struct sinker *sinkers;
static size_t want, started, ready;
static const char *channel;
static struct sockaddr_in server;
static int ep;
static uint64_t pushes, bytes;
static char *rx;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "bench_sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(const struct sinker *s, struct slice data)
{
    if (send(s->fd, data.p, data.n, MSG_NOSIGNAL) != (ssize_t)data.n)
        die("send");
}

static void send_text(const struct sinker *s, struct slice text)
{
    struct buf out = BUF_INIT;
    ws_put(&out, WS_TEXT, text, 0x5a17c3e9);
    send_all(s, buf_as_slice(&out));
    buf_done(&out);
}

static void start_one(size_t i)
{
    struct sinker *s = &sinkers[i];
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&server, sizeof server))
        die("connect");
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    send_all(s, SLICE("GET /connection/websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e))
        die("epoll_ctl");
}

static unsigned answers_wanted(void)
{
    return !channel ? 0 : strcmp(channel, "-") ? 2 : 1;
}

static void start_more(void)
{
    while (started < want && started - ready < IN_FLIGHT)
        start_one(started++);
}

static void is_ready(void)
{
    ready++;
    start_more();
}

static void opened(struct sinker *s)
{
    s->open = true;
    if (!channel) {
        is_ready();
        return;
    }
    struct buf text = BUF_INIT;
    buf_lit(&text, "{\"id\":1,\"connect\":{}}");
    if (strcmp(channel, "-") != 0) {
        buf_lit(&text, "\n{\"id\":2,\"subscribe\":{\"channel\":");
        buf_json_string(&text, slice_of(channel));
        buf_lit(&text, "}}");
    }
    send_text(s, buf_as_slice(&text));
    buf_done(&text);
}

static void reply(struct sinker *s, struct slice text)
{
    if (text.n > 7 && !memcmp(text.p, "{\"push\"", 7)) {
        pushes++;
    } else if (text.n == 2) {
        send_text(s, SLICE("{}"));
    } else if (text.n > 5 && !memcmp(text.p, "{\"id\"", 5)) {
        if (memmem(text.p, text.n, "\"error\":", 8)) {
            (void)fprintf(stderr, "bench_sink: %.*s\n", (int)text.n, text.p);
            exit(1);
        }
        if (++s->answers == answers_wanted())
            is_ready();
    }
}

static void frame(struct sinker *s, const struct ws_frame *f)
{
    struct slice left = f->body;
    if (f->opcode == WS_CLOSE) {
        errno = ECONNRESET;
        die("closed by the server");
    }
    while (f->opcode == WS_TEXT && left.n > 0) {
        const char *nl = memchr(left.p, '\n', left.n);
        size_t n = nl ? (size_t)(nl - left.p) : left.n;
        reply(s, (struct slice){left.p, n});
        left.p += n + (nl != NULL);
        left.n -= n + (nl != NULL);
    }
}

static void take(struct sinker *s, struct slice *in)
{
    if (!s->open) {
        const char *end = memmem(in->p, in->n, "\r\n\r\n", 4);
        if (!end)
            return;
        in->n -= (size_t)(end + 4 - in->p);
        in->p = end + 4;
        opened(s);
    }
    struct ws_frame f;
    int r;
    while ((r = ws_take(in, MIB(1), &f)) == 0)
        frame(s, &f);
    if (r != -EAGAIN) {
        errno = -r;
        die("frame");
    }
}

static void readable(struct sinker *s)
{
    ssize_t n = recv(s->fd, rx, RX_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("a connection was lost");
    bytes += (uint64_t)n;
    struct slice in = {rx, (size_t)n};
    if (s->in.n) {
        buf_add(&s->in, rx, (size_t)n);
        in = buf_as_slice(&s->in);
    }
    size_t had = in.n;
    take(s, &in);
    if (s->in.n)
        buf_consume(&s->in, had - in.n);
    else
        buf_slice(&s->in, in);
    buf_shrink(&s->in, 0);
}

static void turn(int timeout_ms)
{
    struct epoll_event ev[512];
    int n = epoll_wait(ep, ev, 512, timeout_ms);
    for (int i = 0; i < n; i++)
        readable(&sinkers[ev[i].data.u64]);
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void answer(void)
{
    printf("got %" PRIu64 " %" PRIu64 "\n", pushes, bytes);
    (void)fflush(stdout);
}

/* The driver writes a line and waits for its answer, so between lines nothing needs to be read. */
static void obey(void)
{
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        char *end;
        if (!strncmp(line, "wait ", 5)) {
            uint64_t least = strtoull(line + 5, &end, 10);
            uint64_t until = now_ms() + strtoull(end, NULL, 10);
            while (pushes < least && now_ms() < until)
                turn(50);
        } else if (!strncmp(line, "count", 5)) {
            turn(0);
        } else {
            return;
        }
        answer();
    }
}

int main(int argc, char **argv)
{
    char *colon = argc > 2 ? strrchr(argv[1], ':') : NULL;
    if (!colon)
        return 2;
    *colon = 0;
    server = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10)),
                                  .sin_addr.s_addr = inet_addr(argv[1])};
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    want = strtoul(argv[2], NULL, 10);
    channel = argc > 3 ? argv[3] : NULL;
    sinkers = mem_zalloc(want * sizeof *sinkers);
    rx = mem_alloc(RX_BYTES);
    ep = epoll_create1(EPOLL_CLOEXEC);
    uint64_t until = now_ms() + 60000;
    start_more();
    while (ready < want) {
        turn(1000);
        if (now_ms() > until)
            die("not all connected in 60 s");
    }
    printf("ready\n");
    (void)fflush(stdout);
    obey();
    return 0;
}
