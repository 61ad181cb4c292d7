/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare.c: the least a WebSocket broadcast server can do, to measure an edge against: one thread,
 * epoll, one send() a client and publication; no TLS, no subscriptions, no protocol.
 *
 *   bench_bare PORT            (0: any free one; "port=N" is printed on stdout)
 *
 * Any GET becomes a WebSocket client. A POST on a kept connection publishes its body to all of them
 * as one text frame, and is answered when all sends are done. A body of several replies joined by
 * line breaks is one block: one frame, one send(). A client that can't take a whole frame is
 * dropped and counted, so a figure can't be had by not delivering: the sink would miss its bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FD_MAX   65536
#define BODY_MAX 60000

static int clients[FD_MAX]; /* descriptors that get what is published */
static size_t client_count;
static char is_client[FD_MAX];
static char request[FD_MAX], frame[BODY_MAX + 4];

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
        is_client[fd] = 0;
        watch(ep, fd);
    }
}

static void drop(int fd)
{
    for (size_t i = 0; i < client_count && is_client[fd]; i++) {
        if (clients[i] == fd) {
            clients[i] = clients[--client_count];
            break;
        }
    }
    is_client[fd] = 0;
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
static void publish(size_t n)
{
    for (size_t i = client_count; i-- > 0;)
        if (send(clients[i], frame, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
            drop(clients[i]);
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        drop(fd);
}

static void upgrade(int fd)
{
    say(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    is_client[fd] = 1;
    clients[client_count++] = fd;
}

static void serve(int fd)
{
    ssize_t n = read(fd, request, sizeof request - 1);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    request[n] = 0;
    if (is_client[fd])
        return;
    if (!strncmp(request, "GET ", 4)) {
        upgrade(fd);
        return;
    }
    /* The driver writes a request at once, and waits for the answer: one read has all of it. */
    const char *body = strstr(request, "\r\n\r\n");
    size_t len = body ? (size_t)(request + n - (body + 4)) : 0;
    if (len == 0 || len > BODY_MAX) {
        drop(fd);
        return;
    }
    publish(frame_make(body + 4, len));
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

int main(int argc, char **argv)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
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
