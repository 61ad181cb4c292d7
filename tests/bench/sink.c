/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c: many WebSocket clients that only count: for the bare server, an edge and others alike.
 *
 *   bench_sink [--tls] DIALECT HOST:PORT CLIENTS [CHANNEL[*N[*M]]]
 *
 * What is said to the server and counted of it is the dialect's (sink_talk.c has them). With
 * *N, client i subscribes to CHANNEL followed by i mod N. With *M, to M of the N, where the dialect
 * can: one of each M-th part, so that N / M channels in a row are of each client once. "ready" is
 * printed when all are ("ready TLSv1.3 CIPHER" with --tls). Then, by lines on stdin:
 *   wait N MS   → "got N' BYTES" once N' >= N publications came in all, or MS have passed
 *   count       → the same at once
 *   churn MS    → "churned" once each client has left and subscribed to all its channels again
 *   quit
 * BYTES are those of the connections, with TLS those it carried. @thread main
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/runtime/proc.h"

#include "tests/bench/sink_socket.h"
#include "tests/bench/sink_talk.h"
#include "tests/bench/sink_tls.h"

#define RX_BYTES    KIB(256)
#define IN_FLIGHT   200 /* connections being set up at a time */

#define FROM_DRIVER UINT64_MAX /* beside the clients' indexes */

enum phase {
    HANDSHAKE, /* of TLS */
    UPGRADE,
    OPEN
};

struct sinker {
    int fd;
    enum phase phase;
    struct ssl_st *ssl; /* NULL: plain */
    struct talk_client client;
    struct buf in;
};

static const struct talk *talk;
static struct sinker *sinkers;
static char *
    *names; /* of channels; client i has the (i mod stride)th, and each stride-th from there */
static size_t name_count, stride;
static size_t want, started, ready;
static bool with_tls;
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
    if (s->ssl)
        sink_tls_write(s->ssl, data);
    else if (send(s->fd, data.p, data.n, MSG_NOSIGNAL) != (ssize_t)data.n)
        die("send");
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void send_upgrade(struct sinker *s)
{
    struct buf out = BUF_INIT;
    buf_lit(&out, "GET ");
    talk->path(&s->client, &out);
    buf_lit(&out, SINK_HEADERS);
    if (talk->protocol)
        buf_printf(&out, "Sec-WebSocket-Protocol: %s\r\n", talk->protocol);
    buf_lit(&out, "\r\n");
    send_all(s, buf_as_slice(&out));
    buf_done(&out);
    s->phase = UPGRADE;
}

static void shake(struct sinker *s)
{
    if (sink_tls_shake(s->ssl))
        send_upgrade(s);
}

static void start_one(size_t i)
{
    struct sinker *s = &sinkers[i];
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&server, sizeof server))
        die("connect");
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(s->fd, F_SETFL, O_NONBLOCK))
        die("fcntl");
    if (name_count) {
        s->client.more = &names[i % stride];
        s->client.channel = *s->client.more;
        s->client.stride = stride;
        s->client.more_count = name_count / stride - 1;
    }
    s->ssl = with_tls ? sink_tls_new(s->fd) : NULL;
    if (s->ssl)
        shake(s);
    else
        send_upgrade(s);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e))
        die("epoll_ctl");
}

static void start_more(void)
{
    while (started < want && started - ready < IN_FLIGHT)
        start_one(started++);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* What the dialect has to send after it was shown something; was_ready: before that. */
static void talked(struct sinker *s, struct buf *out, bool was_ready)
{
    if (out->n > 0)
        send_all(s, buf_as_slice(out));
    buf_done(out);
    if (s->client.is_ready && !was_ready) {
        ready++;
        start_more();
    }
}

static void opened(struct sinker *s)
{
    struct buf out = BUF_INIT;
    s->phase = OPEN;
    talk->greet(&s->client, &out);
    talked(s, &out, false);
}

static void frame(struct sinker *s, const struct ws_frame *f)
{
    struct buf out = BUF_INIT;
    bool was_ready = s->client.is_ready;
    if (f->opcode == WS_CLOSE) {
        errno = ECONNRESET;
        die("closed by the server");
    }
    if (f->opcode == WS_PING)
        ws_put(&out, WS_PONG, f->body, 0);
    else if (f->opcode != WS_PONG)
        pushes += talk->message(&s->client, f, &out);
    talked(s, &out, was_ready);
}

static void take(struct sinker *s, struct slice *in)
{
    if (s->phase == UPGRADE) {
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

/* n bytes came into rx. */
static void received(struct sinker *s, size_t n)
{
    bytes += n;
    struct slice in = {rx, n};
    if (s->in.n) {
        buf_add(&s->in, rx, n);
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

static size_t recv_some(const struct sinker *s)
{
    ssize_t n = recv(s->fd, rx, RX_BYTES, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        die("a connection was lost");
    return (size_t)n;
}

static void readable(struct sinker *s)
{
    size_t n;
    if (!s->ssl) {
        if ((n = recv_some(s)) > 0)
            received(s, n);
        return;
    }
    if (s->phase == HANDSHAKE)
        shake(s);
    while (s->phase != HANDSHAKE && (n = sink_tls_read(s->ssl, rx, RX_BYTES)) > 0)
        received(s, n);
}

/* true: the driver said something. */
static bool turn(int timeout_ms)
{
    bool told = false;
    struct epoll_event ev[512];
    int n = epoll_wait(ep, ev, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == FROM_DRIVER)
            told = true;
        else
            readable(&sinkers[ev[i].data.u64]);
    }
    return told;
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* false: not all were answered in time. */
static bool wait_ready(uint64_t ms)
{
    uint64_t until = now_ms() + ms;
    while (ready < want && now_ms() < until)
        (void)turn(50);
    return ready == want;
}

static void churn(uint64_t ms)
{
    ready = 0;
    for (size_t i = 0; i < want; i++) {
        struct buf out = BUF_INIT;
        talk->churn(&sinkers[i].client, &out);
        talked(&sinkers[i], &out, true);
        if (i % IN_FLIGHT == 0)
            (void)turn(0);
    }
    if (!wait_ready(ms))
        die("not all answered in time");
    printf("churned\n");
    (void)fflush(stdout);
}

static void answer(void)
{
    printf("got %" PRIu64 " %" PRIu64 "\n", pushes, bytes);
    (void)fflush(stdout);
}

/* The driver writes a line and waits for its answer, so stdin never holds a second one. false: it
 * wants no more. */
static bool obey(void)
{
    char line[128], *end;
    if (!fgets(line, sizeof line, stdin))
        return false;
    if (!strncmp(line, "wait ", 5)) {
        uint64_t least = strtoull(line + 5, &end, 10);
        uint64_t until = now_ms() + strtoull(end, NULL, 10);
        while (pushes < least && now_ms() < until)
            (void)turn(50);
    } else if (!strncmp(line, "count", 5)) {
        (void)turn(0);
    } else if (!strncmp(line, "churn ", 6) && talk->churn) {
        churn(strtoull(line + 6, NULL, 10));
        return true;
    } else {
        return false;
    }
    answer();
    return true;
}

/* Between its lines, too: servers ping, and count who reads late as slow. */
static void serve_driver(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = FROM_DRIVER};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &e))
        die("stdin");
    while (!turn(-1) || obey())
        ;
}

/* ---- the command line ------------------------------------------------------------------------ */

/* false: it makes no sense. */
static bool name_channels(char *text)
{
    char *star = strchr(text, '*'), *second = NULL;
    name_count = star ? strtoul(star + 1, &second, 10) : 1;
    size_t each = second && *second == '*' ? strtoul(second + 1, NULL, 10) : 1;
    if (!each || !name_count || name_count % each)
        return false;
    stride = name_count / each;
    names = mem_zalloc(name_count * sizeof *names);
    if (!star)
        names[0] = text;
    for (size_t i = 0; star && i < name_count; i++)
        if (asprintf(&names[i], "%.*s%zu", (int)(star - text), text, i) < 0)
            die("channels");
    return true;
}

/* false: it makes no sense. */
static bool understand(int argc, char **argv)
{
    int at = 1;
    with_tls = argc > at && !strcmp(argv[at], "--tls");
    at += with_tls;
    if (argc < at + 3 || argc > at + 4)
        return false;
    talk = talk_find(argv[at]);
    if (!talk || !sink_address(argv[at + 1], &server))
        return false;
    want = strtoul(argv[at + 2], NULL, 10);
    return want > 0 && (argc == at + 3 || name_channels(argv[at + 3]));
}

static void say_ready(void)
{
    char tls[128] = "";
    if (with_tls)
        sink_tls_print(sinkers[0].ssl, tls, sizeof tls);
    printf("ready%s%s\n", with_tls ? " " : "", tls);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    if (!understand(argc, argv))
        return 2;
    proc_raise_fd_limit();
    sinkers = mem_zalloc(want * sizeof *sinkers);
    rx = mem_alloc(RX_BYTES);
    ep = epoll_create1(EPOLL_CLOEXEC);
    start_more();
    if (!wait_ready(60000))
        die("not all connected in 60 s");
    say_ready();
    serve_driver();
    return 0;
}
