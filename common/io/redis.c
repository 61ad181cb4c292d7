/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis.c: a non-blocking Redis connection: its beginning, its time-outs, its end.
 *
 * hiredis connects and parses; the loop, the output and the queue are ours, so a turn costs one
 * recv() and one send() however many commands it held.
 *
 * Invariant: conn_fail() only marks. The owner hears of it from `soon`, one turn later, never from
 * inside a call it made; memory goes when no callback of ours is on the stack (nest == 0).
 * @thread of the loop
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/io/redis_impl.h"

static void stop_watchers(struct redis_conn *c)
{
    ev_io_stop(c->loop, &c->reading);
    ev_io_stop(c->loop, &c->writing);
    ev_timer_stop(c->loop, &c->timer);
    ev_prepare_stop(c->loop, &c->flush);
    ev_check_stop(c->loop, &c->peek);
    ev_timer_stop(c->loop, &c->relaxed);
    resolve_cancel(c->resolving);
    sentinels_free(c->asking);
    c->resolving = NULL;
    c->asking = NULL;
}

static void start_timer(struct redis_conn *c, ev_timer *t, uint64_t ms)
{
    ev_timer_stop(c->loop, t);
    ev_timer_set(t, (double)ms / 1000., 0.);
    ev_timer_start(c->loop, t);
}

void conn_fail(struct redis_conn *c, int err, const char *fmt, ...)
{
    char where[REDIS_WHERE_MAX];
    int n;
    va_list ap;

    if (c->state == CONN_DOWN)
        return;
    redis_url_print(&c->url, where, sizeof(where));
    n = snprintf(c->why, sizeof(c->why), "redis %s: ", where);
    va_start(ap, fmt);
    vsnprintf(c->why + n, sizeof(c->why) - (size_t)n, fmt, ap);
    va_end(ap);
    c->err = err;
    c->state = CONN_DOWN;
    stop_watchers(c);
    start_timer(c, &c->soon, 0);
}

static void destroy(struct redis_conn *c)
{
    if (c->ctx)
        redisFree(c->ctx);
    redis_url_done(&c->url);
    if (c->password)
        explicit_bzero(c->password, strlen(c->password));
    free(c->password);
    free(c->name);
    buf_done(&c->out);
    buf_done(&c->entries.key);
    buf_done(&c->entries.msg);
    ring_done(&c->sent);
    ring_done(&c->refused);
    arena_done(&c->arena);
    free(c);
}

void conn_leave(struct redis_conn *c)
{
    if (--c->nest == 0 && c->freed)
        destroy(c);
}

static void on_soon(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis_conn *c = w->data;
    size_t refused = c->refused.count;

    (void)loop;
    (void)events;
    c->nest++;
    if (c->state == CONN_DOWN)
        conn_refuse_all(c, &c->sent, SIZE_MAX);
    if (!c->freed)
        conn_refuse_all(c, &c->refused, refused);
    if (c->state == CONN_DOWN && !c->freed && !c->told) {
        c->told = true;
        c->ops->on_down(c, c->err, c->why, c->arg);
    }
    if (!c->freed && c->refused.count > 0)
        start_timer(c, &c->soon, 0);
    conn_leave(c);
}

static void on_flush(struct ev_loop *loop, ev_prepare *w, int events)
{
    struct redis_conn *c = w->data;

    (void)loop;
    (void)events;
    if (c->out.n > 0 && !ev_is_active(&c->writing))
        conn_write(c);
    conn_watch(c);
}

static void on_peek(struct ev_loop *loop, ev_check *w, int events)
{
    struct redis_conn *c = w->data;

    (void)loop;
    (void)events;
    if (c->state == CONN_UP && !ev_is_active(&c->reading))
        conn_read(c);
}

static void on_relaxed(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    ev_timer_stop(loop, w);
    redis_hurry(w->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis_conn *c = w->data;
    const struct redis_pending *oldest = ring_head(&c->sent);
    uint64_t age;

    (void)loop;
    (void)events;
    if (c->state != CONN_UP) {
        conn_fail(c, -ETIMEDOUT, "not up after %llu ms", (unsigned long long)c->connect_ms);
        return;
    }
    if (!oldest)
        return; /* the next command starts it again */
    age = clock_mono_ms() - oldest->since_ms;
    if (age >= c->reply_ms)
        conn_fail(c, -ETIMEDOUT, "no reply for %llu ms", (unsigned long long)age);
    else
        start_timer(c, &c->timer, c->reply_ms - age);
}

/* Beginning and end. */

static void init_watchers(struct redis_conn *c)
{
    ev_init(&c->reading, NULL); /* conn_begin() gives them the socket */
    ev_init(&c->writing, NULL);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    ev_timer_init(&c->soon, on_soon, 0., 0.);
    ev_prepare_init(&c->flush, on_flush);
    ev_set_priority(&c->flush, EV_MINPRI);
    ev_check_init(&c->peek, on_peek);
    ev_set_priority(&c->peek, EV_MAXPRI);
    ev_timer_init(&c->relaxed, on_relaxed, 0., REDIS_RELAX_MS / 1000.);
    c->peek.data = c->relaxed.data = c->timer.data = c->soon.data = c->flush.data = c;
}

struct redis_conn *conn_new(struct ev_loop *loop, struct redis_url *take_url,
                            const struct redis_opts *opts, const struct redis_ops *ops, void *arg)
{
    struct redis_conn *c = mem_zalloc(sizeof(*c));

    c->loop = loop;
    c->ops = ops;
    c->arg = arg;
    c->url = *take_url;
    c->watch = opts->watch;
    c->role = c->url.master && opts->role == REDIS_ANY ? REDIS_MASTER : opts->role;
    if (opts->password && opts->password[0])
        c->password = mem_strdup(opts->password);
    if (opts->name && opts->name[0])
        c->name = mem_strdup(opts->name);
    c->connect_ms = opts->connect_ms > 0 ? (uint64_t)opts->connect_ms : REDIS_CONNECT_MS;
    c->reply_ms = opts->reply_ms > 0 ? (uint64_t)opts->reply_ms : 0;
    init_watchers(c);
    ev_now_update(loop);
    start_timer(c, &c->timer, c->connect_ms);
    conn_begin(c, opts);
    return c;
}

struct redis_conn *redis_conn_new(struct ev_loop *loop, const struct redis_opts *opts,
                                  const struct redis_ops *ops, void *arg)
{
    struct redis_url url;
    char why[128];

    if (redis_url_parse(opts->url, &url, why, sizeof(why)) < 0)
        return NULL;
    return conn_new(loop, &url, opts, ops, arg);
}

void redis_conn_free(struct redis_conn *c)
{
    if (!c || c->freed)
        return;
    c->nest++;
    c->freed = c->draining = true;
    c->state = CONN_DOWN;
    stop_watchers(c);
    ev_timer_stop(c->loop, &c->soon);
    conn_refuse_all(c, &c->sent, SIZE_MAX);
    conn_refuse_all(c, &c->refused, SIZE_MAX);
    c->draining = false;
    conn_leave(c);
}

void redis_conn_end(struct redis_conn *c, const char *why)
{
    conn_fail(c, -ECANCELED, "%s", why);
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == CONN_UP;
}

void redis_conn_where(const struct redis_conn *c, char dst[REDIS_WHERE_MAX])
{
    redis_url_print(&c->url, dst, REDIS_WHERE_MAX);
}

bool redis_conn_is_same(const struct redis_conn *a, const struct redis_conn *b)
{
    const struct redis_url *x = &a->url, *y = &b->url;

    if (x->path || y->path)
        return x->path && y->path && strcmp(x->path, y->path) == 0;
    return x->at.host[0] && x->at.port == y->at.port && strcmp(x->at.host, y->at.host) == 0;
}

int64_t redis_client_id(const struct redis_conn *c)
{
    return c->client_id;
}
