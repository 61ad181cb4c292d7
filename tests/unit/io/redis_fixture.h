/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_fixture.h: a client of common/io/redis.h that writes down what it is told, for the tests.
 *
 * Waiting is running the loop until a count is reached, with the one time-out WAIT_MS. @thread main
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/io/redis.h"

#define WAIT_MS 20000 /* the one time-out of all waiting */

static inline int loopback_listen(int *ret_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* A client whose callbacks write down what came. */
struct client {
    struct ev_loop *loop;
    struct redis_conn *conn;
    int up, down, err;
    int replies, nulls; /* of note_reply */
    int nulls_at_down;  /* when on_down came */
    bool free_on_up, free_on_down;
    char why[256];
    struct buf text; /* replies, printed */
};

static inline void client_on_up(struct redis_conn *c, void *arg)
{
    struct client *cl = arg;

    cl->up++;
    if (cl->free_on_up) {
        redis_conn_free(c);
        cl->conn = NULL;
    }
}

static inline void client_on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct client *cl = arg;

    cl->down++;
    cl->err = err;
    cl->nulls_at_down = cl->nulls;
    snprintf(cl->why, sizeof(cl->why), "%s", why);
    if (cl->free_on_down) {
        redis_conn_free(c);
        cl->conn = NULL;
    }
}

static const struct redis_ops client_ops = {.on_up = client_on_up, .on_down = client_on_down};

static inline void client_begin(struct client *cl, const struct redis_opts *opts)
{
    *cl = (struct client){.loop = ev_loop_new(EVFLAG_AUTO)};
    assert_non_null(cl->loop);
    cl->conn = redis_conn_new(cl->loop, opts, &client_ops, cl);
    assert_non_null(cl->conn);
}

static inline void client_end(struct client *cl)
{
    redis_conn_free(cl->conn);
    ev_loop_destroy(cl->loop);
    buf_done(&cl->text);
}

static inline void late(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    *(bool *)w->data = true;
    ev_break(loop, EVBREAK_ALL);
}

/* Runs the loop until *n >= want; fails the test after WAIT_MS. */
static inline void run_until(struct client *cl, const int *n, int want)
{
    bool is_late = false;
    ev_timer t;

    ev_now_update(cl->loop);
    ev_timer_init(&t, late, WAIT_MS / 1000., 0.);
    t.data = &is_late;
    ev_timer_start(cl->loop, &t);
    while (*n < want && !is_late)
        ev_run(cl->loop, EVRUN_ONCE);
    ev_timer_stop(cl->loop, &t);
    if (is_late)
        fail_msg("waited %d ms for %d, have %d; down: %s", WAIT_MS, want, *n, cl->why);
}

static inline void client_up(struct client *cl, const char *url)
{
    client_begin(cl, &(struct redis_opts){.url = url});
    run_until(cl, &cl->up, 1);
    assert_true(redis_conn_is_up(cl->conn));
}

static inline void print_reply(struct buf *b, const struct redis_reply *r)
{
    static const char *const mark[] = {"'", "+", "-", ":", "nil", "["};

    buf_str(b, mark[redis_type(r)]);
    buf_slice(b, redis_str(r));
    if (redis_type(r) == REDIS_T_INT)
        buf_i64(b, redis_int(r));
    for (size_t i = 0; i < redis_len(r); i++) {
        if (i)
            buf_byte(b, ' ');
        print_reply(b, redis_at(r, i));
    }
    if (redis_type(r) == REDIS_T_ARRAY)
        buf_byte(b, ']');
}

static inline void note_reply(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct client *cl = arg;

    (void)c;
    if (!r) {
        cl->nulls++;
        return;
    }
    cl->replies++;
    print_reply(&cl->text, r);
    buf_byte(&cl->text, '\n');
}

/* Sends a command and returns its reply as text, which lives until the next call. */
static inline const char *ask(struct client *cl, const char *command)
{
    int want = cl->replies + 1;

    buf_clear(&cl->text);
    redis_cmd_text(cl->conn, note_reply, cl, command);
    run_until(cl, &cl->replies, want);
    cl->text.p[cl->text.n - 1] = '\0';
    return cl->text.p;
}

/* What a reply of entries handed over. */
struct entries {
    struct client *cl;
    int count, done, err;
    char msg[128];
    struct buf text; /* "key/pos=field " */
    bool quiet;      /* count only */
    uint64_t last;
    size_t bytes;
    int free_at; /* the entry at which the connection is freed; 0 = none */
    bool free_at_done;
};

static inline void entries_free_conn(struct entries *e)
{
    redis_conn_free(e->cl->conn);
    e->cl->conn = NULL;
}

static inline void entries_on_entry(void *arg, struct slice key, uint64_t pos, struct slice field)
{
    struct entries *e = arg;

    e->count++;
    e->last = pos;
    e->bytes += field.n;
    if (!e->quiet) {
        buf_slice(&e->text, key);
        buf_printf(&e->text, "/%llu=", (unsigned long long)pos);
        buf_slice(&e->text, field);
        buf_byte(&e->text, ' ');
    }
    if (e->count == e->free_at)
        entries_free_conn(e);
}

static inline void entries_on_done(void *arg, int err, const char *msg)
{
    struct entries *e = arg;

    e->done++;
    e->err = err;
    snprintf(e->msg, sizeof(e->msg), "%s", msg ? msg : "");
    if (e->free_at_done && e->cl->conn)
        entries_free_conn(e);
}

static const struct redis_entries_ops entries_ops = {entries_on_entry, entries_on_done};

/* Like redis_cmd_text, for entries. */
static inline void send_entries(struct client *cl, struct entries *e, const char *command)
{
    struct slice argv[16];
    int argc = 0;

    e->cl = cl;
    for (const char *p = command; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        argv[argc++] = (struct slice){p, n};
        p += n;
    }
    redis_cmd_entries(cl->conn, &entries_ops, e, argc, argv);
}

static inline void get_entries(struct client *cl, struct entries *e, const char *command)
{
    send_entries(cl, e, command);
    run_until(cl, &e->done, 1);
    assert_int_equal(e->done, 1);
    buf_byte(&e->text, '\0');
}

static inline void run_turns(struct client *cl, int turns)
{
    while (turns--)
        ev_run(cl->loop, EVRUN_NOWAIT);
}
