/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_wire.h: a "Redis" that says what the test writes: a listening socket the test accepts on.
 * @thread main
 */
#pragma once

#include "tests/unit/io/redis_fixture.h"

struct wire {
    struct client cl;
    int listener, fd, port;
    char url[64];
};

static inline void listen_only(struct wire *w)
{
    w->fd = -1;
    w->listener = loopback_listen(&w->port);
    snprintf(w->url, sizeof(w->url), "redis://127.0.0.1:%d", w->port);
}

static inline void say(struct wire *w, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = send(w->fd, text, n, MSG_NOSIGNAL);

        assert_true(done > 0);
        text += done;
        n -= (size_t)done;
    }
}

#define say_text(w, text) say(w, text, strlen(text))

/* A connection that is up: its CLIENT ID is answered with 7. */
static inline void wire_up(struct wire *w)
{
    listen_only(w);
    client_begin(&w->cl, &(struct redis_opts){.url = w->url});
    w->fd = accept(w->listener, NULL, NULL);
    assert_true(w->fd >= 0);
    say_text(w, ":7\r\n");
    run_until(&w->cl, &w->cl.up, 1);
    assert_int_equal(redis_client_id(w->cl.conn), 7);
}

static inline void wire_end(struct wire *w)
{
    client_end(&w->cl);
    if (w->fd >= 0)
        close(w->fd);
    close(w->listener);
}
