/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_server.h: a server that says whatever a test has it say, on the test's own loop.
 *
 * Each request is answered by the bytes in `says`, or by what `chooses` has for it, right or wrong;
 * then the connection is closed, if `closes`. What was asked last is in `asked`. @thread main
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/clock.h"

#define PEERS_MAX 16
#define WAIT_MS   20000

struct server {
    struct ev_loop *loop;
    struct ev_io io;
    int port;
    struct peer {
        struct ev_io io;
        struct server *server;
        struct buf in;
    } peers[PEERS_MAX];
    int accepted, requests;
    struct slice says; /* n == 0: nothing */
    struct slice (*chooses)(const char *asked);
    bool was_asked, closes, pours; /* pours: says it again and again, as fast as it is taken */
    struct buf asked;
};

static inline void peer_close(struct peer *p)
{
    ev_io_stop(p->server->loop, &p->io);
    close(p->io.fd);
    buf_done(&p->in);
    p->server = NULL;
}

/* A whole request: its head, and as much body as Content-Length says. */
static inline bool is_request(const struct buf *in)
{
    const char *end = memmem(in->p, in->n, "\r\n\r\n", 4), *length;

    if (!end)
        return false;
    length = memmem(in->p, (size_t)(end - in->p), "Content-Length: ", 16);
    return in->n - (size_t)(end + 4 - in->p) >= (length ? strtoul(length + 16, NULL, 10) : 0);
}

static inline void pour(struct peer *p)
{
    struct slice s = p->server->says;

    while (send(p->io.fd, s.p, s.n, MSG_NOSIGNAL) > 0)
        continue;
    if (errno != EAGAIN) {
        peer_close(p);
        return;
    }
    ev_io_stop(p->server->loop, &p->io);
    ev_io_set(&p->io, p->io.fd, EV_WRITE);
    ev_io_start(p->server->loop, &p->io);
}

static inline void answer(struct peer *p)
{
    struct server *s = p->server;

    s->requests++;
    s->was_asked = true;
    buf_clear(&s->asked);
    buf_slice(&s->asked, buf_as_slice(&p->in));
    buf_byte(&s->asked, '\0');
    buf_clear(&p->in);
    if (s->pours) {
        pour(p);
        return;
    }
    if (s->chooses)
        s->says = s->chooses(s->asked.p);
    if (s->says.n)
        assert_int_equal(send(p->io.fd, s->says.p, s->says.n, MSG_NOSIGNAL), s->says.n);
    if (s->closes)
        peer_close(p);
}

static inline void on_peer(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct peer *p = w->data;
    ssize_t n;

    (void)loop;
    if (events & EV_WRITE) {
        pour(p);
        return;
    }
    n = recv(w->fd, buf_reserve(&p->in, KIB(64)), KIB(64), 0);
    if (n <= 0) {
        peer_close(p);
        return;
    }
    p->in.n += (size_t)n;
    if (is_request(&p->in))
        answer(p);
}

static inline void on_connection(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct server *s = w->data;
    struct peer *p = s->peers;

    (void)events;
    while (p->server)
        p++;
    assert_true(p < s->peers + PEERS_MAX);
    *p = (struct peer){.server = s};
    ev_io_init(&p->io, on_peer, accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), EV_READ);
    p->io.data = p;
    ev_io_start(loop, &p->io);
    s->accepted++;
}

static inline void server_open(struct server *s, struct ev_loop *loop)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *s = (struct server){.loop = loop};
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, PEERS_MAX), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    s->port = ntohs(sa.sin_port);
    ev_io_init(&s->io, on_connection, fd, EV_READ);
    s->io.data = s;
    ev_io_start(loop, &s->io);
}

static inline void server_close(struct server *s)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (s->peers[i].server)
            peer_close(&s->peers[i]);
    ev_io_stop(s->loop, &s->io);
    close(s->io.fd);
    buf_done(&s->asked);
}

static inline void on_too_long(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    *(bool *)w->data = true;
    ev_break(loop, EVBREAK_ONE);
}

/* Runs the loop until *flag, at most ms. Whether it was set. */
static inline bool run_until(struct ev_loop *loop, const bool *flag, uint64_t ms)
{
    bool too_long = false;
    ev_timer t;

    ev_now_update(loop);
    ev_timer_init(&t, on_too_long, (double)ms / 1000, 0.);
    t.data = &too_long;
    ev_timer_start(loop, &t);
    while (!*flag && !too_long)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &t);
    return *flag;
}
