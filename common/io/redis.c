/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis.c: a non-blocking Redis connection: connect, greet, time out, end.
 *
 * hiredis resolves, connects and parses; the loop, the output and the queue are ours, so a turn
 * costs one recv() and one send() however many commands it held. A host name is resolved by
 * getaddrinfo() and so may block; servers configure addresses or have a local resolver.
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
}

static void start_timer(struct redis_conn *c, ev_timer *t, uint64_t ms)
{
    ev_timer_stop(c->loop, t);
    ev_timer_set(t, (double)ms / 1000., 0.);
    ev_timer_start(c->loop, t);
}

void conn_fail(struct redis_conn *c, int err, const char *fmt, ...)
{
    char where[128];
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

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    conn_read(w->data);
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

/* The handshake: commands whose answers are ours. */

static void fail_by_reply(struct redis_conn *c, const char *command, const struct redis_reply *r)
{
    conn_fail(c, -EACCES, "%s: %.*s", command, r->str.n < 200 ? (int)r->str.n : 200, r->str.p);
}

static void on_auth(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    (void)arg;
    if (r && r->type == REDIS_T_ERROR)
        fail_by_reply(c, "AUTH", r);
}

static void on_select(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    (void)arg;
    if (r && r->type == REDIS_T_ERROR)
        fail_by_reply(c, "SELECT", r);
}

/* The last of them. A server that knows no CLIENT ID, or doesn't let us ask, still serves: then the
 * id is 0. Other errors (NOAUTH, too many clients) are the end. */
static void on_client_id(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    (void)arg;
    if (!r || c->state != CONN_HANDSHAKE)
        return;
    if (r->type == REDIS_T_ERROR && !redis_is_error(r, "ERR unknown") &&
        !redis_is_error(r, "NOPERM")) {
        fail_by_reply(c, "CLIENT ID", r);
        return;
    }
    c->client_id = redis_int(r);
    c->state = CONN_UP;
    ev_timer_stop(c->loop, &c->timer);
    c->ops->on_up(c, c->arg);
}

static void greet(struct redis_conn *c, redis_reply_fn *fn, int argc, const struct slice *argv)
{
    const struct redis_pending p = {.fn = fn, .since_ms = clock_mono_ms(), .kind = PENDING_REPLY};

    conn_queue(c, &p, argc, argv);
}

static void handshake(struct redis_conn *c)
{
    const char *password = c->password ? c->password : c->url.password;
    char db[16];

    c->state = CONN_HANDSHAKE;
    if (password && c->url.user)
        greet(c, on_auth, 3,
              (struct slice[]){SLICE("AUTH"), slice_of(c->url.user), slice_of(password)});
    else if (password)
        greet(c, on_auth, 2, (struct slice[]){SLICE("AUTH"), slice_of(password)});
    if (c->url.db) {
        snprintf(db, sizeof(db), "%d", c->url.db);
        greet(c, on_select, 2, (struct slice[]){SLICE("SELECT"), slice_of(db)});
    }
    if (c->name) /* only a label: a refusal doesn't matter */
        greet(c, NULL, 3, (struct slice[]){SLICE("CLIENT"), SLICE("SETNAME"), slice_of(c->name)});
    greet(c, on_client_id, 2, (struct slice[]){SLICE("CLIENT"), SLICE("ID")});
    conn_write(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct redis_conn *c = w->data;
    int err = 0;
    socklen_t n = sizeof(err);

    (void)events;
    if (c->state != CONN_CONNECTING) {
        conn_write(c);
        return;
    }
    if (getsockopt(c->ctx->fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0)
        err = errno;
    if (err) {
        conn_fail(c, -err, "connect: %s", strerror(err));
        return;
    }
    ev_io_start(loop, &c->reading);
    handshake(c);
}

/* Beginning and end. */

static void init_watchers(struct redis_conn *c)
{
    int fd = c->ctx ? c->ctx->fd : -1;

    ev_io_init(&c->reading, on_readable, fd, EV_READ);
    ev_io_init(&c->writing, on_writable, fd, EV_WRITE);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    ev_timer_init(&c->soon, on_soon, 0., 0.);
    ev_prepare_init(&c->flush, on_flush);
    ev_set_priority(&c->flush, EV_MINPRI);
    ev_check_init(&c->peek, on_peek);
    ev_set_priority(&c->peek, EV_MAXPRI);
    ev_timer_init(&c->relaxed, on_relaxed, 0., REDIS_RELAX_MS / 1000.);
    c->peek.data = c->relaxed.data = c;
    c->reading.data = c->writing.data = c->timer.data = c->soon.data = c->flush.data = c;
}

static void begin(struct redis_conn *c)
{
    c->ctx = c->url.path ? redisConnectUnixNonBlock(c->url.path)
                         : redisConnectNonBlock(c->url.host, c->url.port);
    init_watchers(c);
    if (!c->ctx || c->ctx->err) {
        int err = c->ctx && c->ctx->err == REDIS_ERR_IO && errno ? errno : EHOSTUNREACH;

        conn_fail(c, -err, "connect: %s", c->ctx ? c->ctx->errstr : "out of memory");
        return;
    }
    c->ctx->reader->privdata = c;
    c->ctx->reader->maxbuf = REDIS_READ_SIZE; /* of idle memory; hiredis' 16 KiB reallocates */
    if (!c->url.path)
        redisEnableKeepAlive(c->ctx);
    ev_io_start(c->loop, &c->writing);
    ev_prepare_start(c->loop, &c->flush);
    ev_check_start(c->loop, &c->peek);
    ev_now_update(c->loop); /* getaddrinfo may have taken a while */
    start_timer(c, &c->timer, c->connect_ms);
}

struct redis_conn *redis_conn_new(struct ev_loop *loop, const struct redis_opts *opts,
                                  const struct redis_ops *ops, void *arg)
{
    struct redis_url url;
    struct redis_conn *c;
    char why[128];

    if (redis_url_parse(opts->url, &url, why, sizeof(why)) < 0)
        return NULL;
    c = mem_zalloc(sizeof(*c));
    c->loop = loop;
    c->ops = ops;
    c->arg = arg;
    c->url = url;
    if (opts->password && opts->password[0])
        c->password = mem_strdup(opts->password);
    if (opts->name && opts->name[0])
        c->name = mem_strdup(opts->name);
    c->connect_ms = opts->connect_ms > 0 ? (uint64_t)opts->connect_ms : REDIS_CONNECT_MS;
    c->reply_ms = opts->reply_ms > 0 ? (uint64_t)opts->reply_ms : 0;
    begin(c);
    return c;
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

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->state == CONN_UP;
}

int64_t redis_client_id(const struct redis_conn *c)
{
    return c->client_id;
}
