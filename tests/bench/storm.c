/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm.c: clients that were all cut and come back at once, each with its cursor; or that stay.
 *
 *   bench_storm HOST:PORT LIVE [PREFIX]
 *
 * LIVE clients subscribe to live0, live1 … without a cursor; then "ready" is printed. Their
 * publications hold the time they were made, {"t":monotonic ns, from which their latency is taken.
 * Then, by lines on stdin:
 *   storm CLIENTS EPOCH MS CHANNELS FROM:UPTO:COUNT …
 *       client i comes to channel PREFIX<i modulo CHANNELS> (ch0 …) with its position FROM and
 *       waits for the COUNT records up to UPTO (0: wherever that is); all begin in the same moment.
 *       Refused, by a temporary error or a close code, it waits as the JavaScript SDK does and
 *       comes again.
 *       → "done CLIENTS' PUBLICATIONS MS REFUSED TOLD WRONG"
 *   live  → "live N P50 P99 MAX" in µs, of the publications since the last such line
 *   quit
 * WRONG counts clients that got a record twice, out of order, or not exactly COUNT. @thread main
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/runtime/proc.h"

#include "loadgen/wsframe.h"
#include "tests/bench/sink_socket.h"

#define RX_BYTES    KIB(256)
#define DELAY_MIN   500 /* the SDK's: min + random(0 … min * 2^step), at most max */
#define DELAY_MAX   20000
#define LATENCY_MAX 1000000

struct client {
    int fd; /* -1: none */
    bool open, subscribed, done, told, wrong;
    unsigned steps;   /* refusals in a row */
    uint64_t wait_ms; /* comes again then; 0: isn't waiting */
    uint64_t last, upto;
    uint32_t channel, count, expected;
    struct buf in;
};

static struct client *clients; /* the live come first */
static size_t live, total, is_done, refused;
static uint64_t pubs;
static uint32_t *latencies; /* µs */
static size_t latencies_n;
static char epoch[16];
static const char *prefix = "ch";
static struct sockaddr_in server;
static int ep;
static char *rx;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "bench_storm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool is_live(const struct client *c)
{
    return c < clients + live;
}

static void come(struct client *c)
{
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    c->wait_ms = 0;
    c->fd = sink_connect(&server);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl");
}

static void leave(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->open = c->subscribed = false;
    buf_done(&c->in);
}

static void refuse(struct client *c)
{
    uint64_t most = (uint64_t)DELAY_MIN << (c->steps < 6 ? c->steps : 6);
    uint64_t wait = DELAY_MIN + (uint64_t)random() % (most + 1);
    if (is_live(c))
        die("a live client was refused");
    c->steps++;
    refused++;
    leave(c);
    c->wait_ms = clock_mono_ms() + (wait < DELAY_MAX ? wait : DELAY_MAX);
}

static void send_all(const struct client *c, struct slice data)
{
    if (send(c->fd, data.p, data.n, MSG_NOSIGNAL) != (ssize_t)data.n && errno != EPIPE &&
        errno != ECONNRESET)
        die("send");
}

static void send_text(const struct client *c, struct slice text)
{
    struct buf out = BUF_INIT;
    ws_put(&out, WS_TEXT, text, 0x5a17c3e9);
    send_all(c, buf_as_slice(&out));
    buf_done(&out);
}

static void connected(struct client *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e))
        die("epoll_ctl");
    send_all(c, SLICE(SINK_UPGRADE));
}

static void opened(struct client *c)
{
    struct buf text = BUF_INIT;
    c->open = true;
    buf_lit(&text, "{\"id\":1,\"connect\":{}}\n");
    if (is_live(c))
        buf_printf(&text, "{\"id\":2,\"subscribe\":{\"channel\":\"live%u\"}}", c->channel);
    else
        buf_printf(
            &text,
            "{\"id\":2,\"subscribe\":{\"channel\":\"%s%u\",\"recover\":true,\"epoch\":\"%s\","
            "\"offset\":%" PRIu64 "}}",
            prefix, c->channel, epoch, c->last);
    send_text(c, buf_as_slice(&text));
    buf_done(&text);
}

static void note_latency(struct slice text)
{
    const char *at = memmem(text.p, text.n, "{\"t\":", 5);
    uint64_t made = at ? strtoull(at + 5, NULL, 10) : 0;
    if (made && latencies_n < LATENCY_MAX)
        latencies[latencies_n++] = (uint32_t)((clock_mono_ns() - made) / 1000);
}

static void publication(struct client *c, uint64_t pos)
{
    pubs++;
    if (is_live(c))
        return;
    c->wrong = c->wrong || pos <= c->last;
    c->last = pos;
    c->count++;
    if (c->done || (c->upto ? pos < c->upto : c->count < c->expected))
        return;
    c->done = true;
    c->wrong = c->wrong || c->count != c->expected;
    is_done++;
}

/* One line: a reply or a push, with all the publications in it. */
static void line(struct client *c, struct slice text)
{
    bool answer = text.n > 6 && !memcmp(text.p, "{\"id\":2", 7);
    const char *end = text.p + text.n, *at = text.p;
    if (text.n == 2) {
        send_text(c, SLICE("{}"));
        return;
    }
    if (memmem(text.p, text.n < 64 ? text.n : 64, "\"error\":", 8) ||
        memmem(text.p, text.n < 64 ? text.n : 64, "\"disconnect\":", 13) ||
        memmem(text.p, text.n < 100 ? text.n : 100, "\"unsubscribe\":", 14)) {
        if (memmem(text.p, text.n, "\"temporary\":true", 16) || !answer) {
            refuse(c);
            return;
        }
        (void)fprintf(stderr, "bench_storm: %.*s\n", (int)text.n, text.p);
        exit(1);
    }
    if (answer) {
        c->subscribed = true;
        if (is_live(c))
            is_done++;
        else if (!memmem(text.p, text.n, "\"recovered\":true", 16)) {
            c->told = c->done = true;
            is_done++;
            return;
        }
        at = memmem(text.p, text.n, "\"publications\":", 15);
        if (!at)
            return;
    } else if (is_live(c)) {
        note_latency(text);
    }
    /* The payloads are ours: nothing in them looks like it. */
    while ((at = memmem(at, (size_t)(end - at), "},\"offset\":", 11))) {
        publication(c, strtoull(at + 11, NULL, 10));
        at += 11;
    }
}

static void frame(struct client *c, const struct ws_frame *f)
{
    struct slice left = f->body;
    if (f->opcode == WS_CLOSE) {
        refuse(c);
        return;
    }
    while (f->opcode == WS_TEXT && left.n > 0 && c->fd >= 0) {
        const char *nl = memchr(left.p, '\n', left.n);
        size_t n = nl ? (size_t)(nl - left.p) : left.n;
        line(c, (struct slice){left.p, n});
        left.p += n + (nl != NULL);
        left.n -= n + (nl != NULL);
    }
}

static void take(struct client *c, struct slice *in)
{
    struct ws_frame f;
    int r = -EAGAIN;
    if (!c->open) {
        const char *end = memmem(in->p, in->n, "\r\n\r\n", 4);
        if (!end)
            return;
        in->n -= (size_t)(end + 4 - in->p);
        in->p = end + 4;
        opened(c);
    }
    while (c->fd >= 0 && (r = ws_take(in, MIB(1), &f)) == 0)
        frame(c, &f);
    if (c->fd >= 0 && r != -EAGAIN) {
        errno = -r;
        die("frame");
    }
}

static void readable(struct client *c)
{
    ssize_t n = recv(c->fd, rx, RX_BYTES, MSG_DONTWAIT);
    struct slice in = {rx, (size_t)n};
    size_t had;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        refuse(c);
        return;
    }
    if (c->in.n) {
        buf_add(&c->in, rx, (size_t)n);
        in = buf_as_slice(&c->in);
    }
    had = in.n;
    take(c, &in);
    if (c->fd < 0)
        return;
    if (c->in.n)
        buf_consume(&c->in, had - in.n);
    else
        buf_slice(&c->in, in);
    buf_shrink(&c->in, 0);
}

static void turn(int timeout_ms)
{
    struct epoll_event ev[512];
    int n = epoll_wait(ep, ev, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct client *c = ev[i].data.ptr;
        if (c->fd < 0)
            continue;
        if (ev[i].events & EPOLLOUT)
            connected(c);
        else
            readable(c);
    }
}

/* Those whose pause is over come again. */
static void come_again(void)
{
    uint64_t now = clock_mono_ms();
    for (size_t i = live; i < total; i++)
        if (clients[i].wait_ms && clients[i].wait_ms <= now)
            come(&clients[i]);
}

static void storm(char *words)
{
    size_t n = strtoul(words, &words, 10), channels, told = 0, wrong = 0;
    uint64_t began, until, looked = 0;
    int skip = 0;
    if (sscanf(words, " %15s%n", epoch, &skip) != 1)
        die("storm");
    words += skip;
    until = strtoull(words, &words, 10);
    channels = strtoul(words, &words, 10);
    for (size_t i = live; i < total; i++)
        leave(&clients[i]);
    for (size_t k = 0; k < channels; k++) {
        uint64_t from = strtoull(words, &words, 10), upto = strtoull(words + 1, &words, 10);
        uint32_t count = (uint32_t)strtoul(words + 1, &words, 10);
        for (size_t i = live + k; i < live + n; i += channels)
            clients[i] = (struct client){
                .fd = -1, .channel = (uint32_t)k, .last = from, .upto = upto, .expected = count};
    }
    total = live + n;
    is_done = refused = 0;
    pubs = 0;
    began = clock_mono_ms();
    until += began;
    for (size_t i = live; i < total; i++)
        come(&clients[i]);
    while (is_done < n && clock_mono_ms() < until) {
        turn(20);
        if (clock_mono_ms() - looked < 20)
            continue;
        looked = clock_mono_ms();
        come_again();
    }
    for (size_t i = live; i < total; i++) {
        told += clients[i].told;
        wrong += clients[i].wrong || !clients[i].done;
    }
    printf("done %zu %" PRIu64 " %" PRIu64 " %zu %zu %zu\n", is_done, pubs, clock_mono_ms() - began,
           refused, told, wrong);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void say_live(void)
{
    size_t n = latencies_n;
    qsort(latencies, n, sizeof *latencies, by_size);
    printf("live %zu %u %u %u\n", n, n ? latencies[n / 2] : 0, n ? latencies[n * 99 / 100] : 0,
           n ? latencies[n - 1] : 0);
    latencies_n = 0;
}

/* The driver waits for each answer; the live go on meanwhile. */
static void obey(void)
{
    static char words[KIB(64)];
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        turn(1);
        if (poll(&in, 1, 0) <= 0)
            continue;
        if (!fgets(words, sizeof words, stdin))
            return;
        if (!strncmp(words, "storm ", 6))
            storm(words + 6);
        else if (!strncmp(words, "live", 4))
            say_live();
        else
            return;
        (void)fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4 || !sink_address(argv[1], &server))
        return 2;
    if (argc == 4)
        prefix = argv[3];
    proc_raise_fd_limit();
    live = total = strtoul(argv[2], NULL, 10);
    clients = mem_zalloc((live + 20000) * sizeof *clients);
    latencies = mem_alloc(LATENCY_MAX * sizeof *latencies);
    rx = mem_alloc(RX_BYTES);
    ep = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < live; i++) {
        clients[i].channel = (uint32_t)i;
        come(&clients[i]);
    }
    for (uint64_t until = clock_mono_ms() + 20000; is_done < live;) {
        turn(100);
        if (clock_mono_ms() > until)
            die("the live are not subscribed in 20 s");
    }
    printf("ready\n");
    (void)fflush(stdout);
    obey();
    return 0;
}
