/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_sync.c: the blocking form: a connection on a loop of its own, which runs until the answer.
 *
 * So the URL, the greeting, the time-outs and the parser are the same. For boot and tools; never on
 * a thread that serves. @thread of its caller
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io/redis_impl.h"

struct redis_sync {
    struct ev_loop *loop;
    struct redis_conn *conn;
    struct reply_arena arena; /* taken over from the connection: holds the reply */
    struct redis_reply *reply;
    bool done; /* what ev_run was waiting for has come */
    int err;   /* of its end */
    char why[512];
};

static void finish(struct redis_sync *s)
{
    s->done = true;
    ev_break(s->loop, EVBREAK_ONE);
}

static void on_up(struct redis_conn *c, void *arg)
{
    (void)c;
    finish(arg);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct redis_sync *s = arg;

    s->err = err;
    snprintf(s->why, sizeof(s->why), "%s", why);
    redis_conn_free(c);
    s->conn = NULL;
    finish(s);
}

static const struct redis_ops sync_ops = {.on_up = on_up, .on_down = on_down};

static void on_reply(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct redis_sync *s = arg;

    if (!reply)
        return; /* on_down follows, and says why */
    arena_done(&s->arena);
    s->arena = c->arena;
    s->reply = c->root;
    c->arena = (struct reply_arena){0};
    finish(s);
}

static void wait_for(struct redis_sync *s)
{
    s->done = false;
    while (s->conn && !s->done)
        ev_run(s->loop, EVRUN_ONCE);
}

struct redis_sync *redis_sync_open(const struct redis_opts *opts, char *why, size_t why_size)
{
    struct redis_sync *s;
    int err;

    if (redis_url_check(opts->url, why, why_size) < 0) {
        errno = EINVAL;
        return NULL;
    }
    s = mem_zalloc(sizeof(*s));
    s->loop = ev_loop_new(EVFLAG_AUTO);
    must(s->loop);
    s->conn = redis_conn_new(s->loop, opts, &sync_ops, s);
    must(s->conn);
    wait_for(s);
    if (s->conn)
        return s;
    snprintf(why, why_size, "%s", s->why);
    err = -s->err;
    redis_sync_close(s);
    errno = err;
    return NULL;
}

const struct redis_reply *redis_sync_cmd(struct redis_sync *s, int argc, const struct slice *argv)
{
    s->reply = NULL;
    if (!s->conn)
        return NULL;
    /* Time passed since the last call: libev's idea of now is that old, and so would the time-out
     * be. */
    ev_now_update(s->loop);
    redis_cmd(s->conn, on_reply, s, argc, argv);
    wait_for(s);
    return s->reply;
}

const char *redis_sync_why(const struct redis_sync *s)
{
    return s->why;
}

void redis_sync_close(struct redis_sync *s)
{
    if (!s)
        return;
    redis_conn_free(s->conn);
    arena_done(&s->arena);
    ev_loop_destroy(s->loop);
    free(s);
}
