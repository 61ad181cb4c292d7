/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connector.c: clients that come, all at once or at a rate, and how long each of them waits.
 *
 *   bench_connector HOST:PORT [tls]
 *
 * "ready" is printed at once. By lines on stdin, HOW being `upgrade` (done with the answer to the
 * upgrade) or `connect` (done with the reply to the connect command, sent after it):
 *   burst N HOW      N clients, IN_FLIGHT at a time
 *   paced N HOW RATE one every 1/RATE s; a client's time counts from when it was due
 *       → "done N MS RESUMED UP50 UP99 READY50 READY99 MAX", times in µs: until the upgrade was
 *         answered, and until the client was done
 *   close            resets all of them → "closed"
 *   resume           TLS: from now on clients bring the first one's session → "ok"
 *   quit
 * With TLS 1.3 a handshake is full, or resumed by ticket; RESUMED counts what the server accepted.
 * @thread main
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/runtime/proc.h"

#include "loadgen/hist.h"
#include "loadgen/wsframe.h"
#include "tests/bench/sink_socket.h"
#include "tests/bench/sink_tls.h"

#define IN_FLIGHT 64
#define ANSWER    2048 /* bytes: a client is sent less than that until it is done */
#define GIVE_UP_S 30

enum stage {
    CONNECTING,
    HANDSHAKE,
    UPGRADING,
    UPGRADED, /* the connect reply is awaited */
    DONE
};

struct client {
    int fd;
    enum stage stage;
    uint32_t events;    /* what epoll was asked for */
    struct ssl_st *ssl; /* NULL: plain */
    uint64_t due_ns;
    size_t n;
    char in[ANSWER];
};

static struct client *clients;
static size_t opened, done, resumed;
static bool with_connect;
static struct sockaddr_in server;
static int ep;
static bool with_tls;
static struct hist upgrades, readies;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "bench_connector: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the socket ---- */

static void want(struct client *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (c->events == events)
        return;
    if (epoll_ctl(ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl");
    c->events = events;
}

static void send_all(struct client *c, struct slice data)
{
    if (c->ssl)
        sink_tls_write(c->ssl, data);
    else if (send(c->fd, data.p, data.n, MSG_NOSIGNAL) != (ssize_t)data.n)
        die("send");
}

static size_t receive(struct client *c)
{
    size_t room = sizeof c->in - c->n;
    ssize_t n = c->ssl ? (ssize_t)sink_tls_read(c->ssl, c->in + c->n, room)
                       : recv(c->fd, c->in + c->n, room, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0 || (n == 0 && !c->ssl))
        die("a connection was lost");
    c->n += (size_t)n;
    return (size_t)n;
}

/* ---- its stages ---- */

static void finish(struct client *c)
{
    hist_add(&readies, clock_mono_ns() - c->due_ns);
    c->stage = DONE;
    done++;
    if (epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL)) /* what else it may be sent does not count */
        die("epoll_ctl");
    if (c->ssl && sink_tls_is_resumed(c->ssl))
        resumed++;
}

static void ask_upgrade(struct client *c)
{
    c->stage = UPGRADING;
    want(c, EPOLLIN);
    send_all(c, SLICE(SINK_UPGRADE));
}

static void handshake(struct client *c)
{
    if (sink_tls_shake(c->ssl))
        ask_upgrade(c);
    else
        want(c, EPOLLIN);
}

static void connected(struct client *c)
{
    if (!with_tls) {
        ask_upgrade(c);
        return;
    }
    c->stage = HANDSHAKE;
    c->ssl = sink_tls_new(c->fd);
    handshake(c);
}

static void answered(struct client *c)
{
    const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
    if (!end)
        return;
    if (memcmp(c->in, "HTTP/1.1 101", 12) != 0 ||
        !memmem(c->in, c->n, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28))
        die("no right upgrade");
    hist_add(&upgrades, clock_mono_ns() - c->due_ns);
    c->n -= (size_t)(end + 4 - c->in);
    memmove(c->in, end + 4, c->n);
    if (!with_connect) {
        finish(c);
        return;
    }
    struct buf out = BUF_INIT;
    ws_put(&out, WS_TEXT, SLICE("{\"id\":1,\"connect\":{}}"), 0x5a17c3e9);
    c->stage = UPGRADED;
    send_all(c, buf_as_slice(&out));
    buf_done(&out);
}

static void replied(struct client *c)
{
    struct slice in = {c->in, c->n};
    struct ws_frame f;
    int rc = ws_take(&in, sizeof c->in, &f);
    if (rc == -EAGAIN)
        return;
    if (rc || f.opcode != WS_TEXT || !memmem(f.body.p, f.body.n, "\"connect\":", 10))
        die("no connect reply");
    finish(c);
}

static void on_event(struct client *c)
{
    if (c->stage == CONNECTING)
        connected(c);
    else if (c->stage == HANDSHAKE)
        handshake(c);
    else
        while (c->stage != DONE && receive(c)) {
            if (c->stage == UPGRADING)
                answered(c);
            else
                replied(c);
        }
}

/* ---- a run ---- */

static void come(uint64_t due_ns)
{
    struct client *c = &clients[opened++];

    *c = (struct client){.due_ns = due_ns, .stage = CONNECTING, .fd = sink_connect(&server)};
    want(c, EPOLLOUT);
}

static void turn(uint64_t most_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(most_ns / 1000000000),
                          .tv_nsec = (long)(most_ns % 1000000000)};
    struct epoll_event ev[256];
    int n = epoll_pwait2(ep, ev, 256, &ts, NULL);
    for (int i = 0; i < n; i++)
        on_event(ev[i].data.ptr);
}

/* rate 0: as fast as it goes. */
static void run(size_t n, uint64_t rate)
{
    uint64_t began = clock_mono_ns(), now;
    clients = mem_zalloc(n * sizeof *clients);
    hist_init(&upgrades);
    hist_init(&readies);
    done = resumed = 0;
    while (done < n) {
        now = clock_mono_ns();
        if (now - began > GIVE_UP_S * 1000000000ull) {
            errno = ETIMEDOUT;
            die("not all were answered");
        }
        uint64_t pause = 1000000000;
        while (opened < n && !rate && opened - done < IN_FLIGHT)
            come(clock_mono_ns());
        for (; opened < n && rate; now = clock_mono_ns()) {
            uint64_t due = began + opened * 1000000000 / rate;
            if (due > now) {
                pause = due - now;
                break;
            }
            come(due);
        }
        turn(pause);
    }
    printf("done %zu %" PRIu64 " %zu %.1f %.1f %.1f %.1f %.1f\n", done,
           (clock_mono_ns() - began) / 1000000, resumed, (double)hist_at(&upgrades, 50) / 1e3,
           (double)hist_at(&upgrades, 99) / 1e3, (double)hist_at(&readies, 50) / 1e3,
           (double)hist_at(&readies, 99) / 1e3, (double)readies.max / 1e3);
}

/* By a reset: no port is left waiting. */
static void close_all(void)
{
    struct linger now = {.l_onoff = 1};
    for (size_t i = 0; i < opened; i++) {
        (void)setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        sink_tls_free(clients[i].ssl);
        close(clients[i].fd);
    }
    free(clients);
    clients = NULL;
    opened = 0;
    puts("closed");
}

/* "burst N HOW" or "paced N HOW RATE" */
static void obey_run(const char *line, bool is_paced)
{
    char *how, *rate;
    size_t n = strtoul(line + 6, &how, 10);
    with_connect = !strncmp(how, " connect", 8);
    rate = strrchr(how, ' ');
    run(n, is_paced && rate ? strtoull(rate, NULL, 10) : 0);
}

static bool obey(const char *line)
{
    bool is_paced = !strncmp(line, "paced ", 6);
    if (is_paced || !strncmp(line, "burst ", 6)) {
        obey_run(line, is_paced);
    } else if (!strncmp(line, "close", 5)) {
        close_all();
    } else if (!strncmp(line, "resume", 6)) {
        sink_tls_resume();
        puts("ok");
    } else {
        return false;
    }
    (void)fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc < 2 || !sink_address(argv[1], &server))
        return 2;
    proc_raise_fd_limit();
    with_tls = argc > 2;
    ep = epoll_create1(EPOLL_CLOEXEC);
    puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) && obey(line))
        ;
    return 0;
}
