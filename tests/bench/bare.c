/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare.c: the least a WebSocket broadcast server can do, to measure an edge against: one thread,
 * epoll, one send() or SSL_write() a client and publication; no protocol, no queues, no pings.
 *
 *   bench_bare PORT [CERTIFICATE KEY]     (0: any free port; "port=N" is printed on stdout)
 *
 * GET /sub?bench<K> makes a WebSocket client of channel K, 0 where no number is. A POST to /<K> on
 * a kept connection publishes its body to K's clients as one text frame, and is answered when all
 * sends are done; requests may be pipelined. A body of several replies joined by line breaks is one
 * block: one frame, one send(). A client that can't take a whole frame is dropped, so a figure
 * can't be had by not delivering: the sink would miss its bytes. @thread main
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bare_tls.h"

#define FD_MAX       65536
#define CHANNELS_MAX 1024
#define BODY_MAX     60000
#define REQUESTS_MAX (1 << 20)

struct channel {
    int *fds; /* its clients */
    size_t count, room;
};

static struct channel channels[CHANNELS_MAX];
static struct channel *channel_of[FD_MAX]; /* NULL: no client */
static struct ssl_st *ssl_of[FD_MAX];      /* NULL: plain */
static bool with_tls;
static char frame[BODY_MAX + 4];
/* What the driver, the only one who posts, has sent of its next requests. */
static char request[REQUESTS_MAX + 1];
static size_t requested;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(fd, (const struct sockaddr *)&a, sizeof a) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        die("listen");
    printf("port=%d\n", ntohs(a.sin_port));
    (void)fflush(stdout);
    return fd;
}

static void watch(int ep, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
        die("epoll_ctl");
}

static void accept_all(int ep, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FD_MAX) {
            (void)close(fd);
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        channel_of[fd] = NULL;
        ssl_of[fd] = with_tls ? bare_tls_new(fd) : NULL;
        watch(ep, fd);
    }
}

static void drop(int fd)
{
    struct channel *ch = channel_of[fd];
    for (size_t i = 0; ch && i < ch->count; i++) {
        if (ch->fds[i] == fd) {
            ch->fds[i] = ch->fds[--ch->count];
            break;
        }
    }
    channel_of[fd] = NULL;
    bare_tls_free(ssl_of[fd]);
    ssl_of[fd] = NULL;
    (void)close(fd);
}

/* The body of a text frame, framed once. Returns the frame's length. */
static size_t frame_make(const char *body, size_t n)
{
    size_t head = n < 126 ? 2 : 4;
    frame[0] = (char)0x81;
    frame[1] = (char)(n < 126 ? n : 126);
    if (head == 4) {
        frame[2] = (char)(n >> 8);
        frame[3] = (char)n;
    }
    memcpy(frame + head, body, n);
    return head + n;
}

/* The loop that the measurement is about. */
static void publish(const struct channel *ch, size_t n)
{
    const int *fds = ch->fds;
    for (size_t i = ch->count; i-- > 0;)
        if (send(fds[i], frame, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
            drop(fds[i]);
}

static void publish_tls(const struct channel *ch, size_t n)
{
    for (size_t i = ch->count; i-- > 0;)
        if (!bare_tls_write(ssl_of[ch->fds[i]], frame, n))
            drop(ch->fds[i]);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    bool said = ssl_of[fd] ? bare_tls_write(ssl_of[fd], text, n)
                           : send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
    if (!said)
        drop(fd);
}

/* The number in a request's path; it begins behind the method. */
static struct channel *channel_get(const char *path)
{
    while (*path && *path != ' ' && *path != '\r' && !isdigit((unsigned char)*path))
        path++;
    unsigned long i = strtoul(path, NULL, 10);
    return &channels[i < CHANNELS_MAX ? i : 0];
}

static void upgrade(int fd, const char *path)
{
    struct channel *ch = channel_get(path);
    say(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    if (ch->count == ch->room) {
        ch->room = ch->room ? ch->room * 2 : 64;
        ch->fds = realloc(ch->fds, ch->room * sizeof *ch->fds);
        if (!ch->fds)
            die("realloc");
    }
    channel_of[fd] = ch;
    ch->fds[ch->count++] = fd;
}

/* Serves one whole request at *at; false: there is none, or no sense in it. */
static bool post(int fd, size_t *at)
{
    char *head = request + *at;
    const char *end = strstr(head, "\r\n\r\n"), *length = strstr(head, "Content-Length: ");
    if (!end || !length || strncmp(head, "POST ", 5) != 0)
        return false;
    size_t n = strtoul(length + 16, NULL, 10), whole = (size_t)(end + 4 - head) + n;
    if (n > BODY_MAX || whole > requested - *at)
        return false;
    const struct channel *ch = channel_get(head + 5);
    size_t framed = frame_make(end + 4, n);
    if (with_tls)
        publish_tls(ch, framed);
    else
        publish(ch, framed);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    *at += whole;
    return true;
}

static void serve(int fd)
{
    char *to = request + requested;
    size_t room = REQUESTS_MAX - requested;
    ssize_t n = ssl_of[fd] ? bare_tls_read(ssl_of[fd], to, room) : read(fd, to, room);
    bool none = ssl_of[fd] ? n == 0 : n < 0 && errno == EAGAIN;
    if (none)
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    to[n] = 0;
    if (channel_of[fd])
        return;
    if (!strncmp(to, "GET ", 4)) {
        upgrade(fd, to + 4);
        return;
    }
    size_t at = 0;
    requested += (size_t)n;
    while (at < requested && post(fd, &at))
        ;
    memmove(request, request + at, requested - at + 1);
    requested -= at;
    if (requested == REQUESTS_MAX)
        die("a request is too long");
}

int main(int argc, char **argv)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    (void)signal(SIGPIPE, SIG_IGN); /* SSL_write() has no MSG_NOSIGNAL */
    with_tls = argc == 4;
    if (with_tls)
        bare_tls_start(argv[2], argv[3]);
    int listener = listen_on(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0),
        ep = epoll_create1(EPOLL_CLOEXEC);
    watch(ep, listener);
    for (;;) {
        struct epoll_event ev[256];
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == listener)
                accept_all(ep, listener);
            else
                serve(ev[i].data.fd);
        }
    }
}
