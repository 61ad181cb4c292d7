/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_connect.c: from a URL to a connection that is up: who the master is, the host's address,
 * the socket, the greeting.
 *
 * Sentinels are asked by connections of their own, a host's name is looked up by a thread
 * (resolve.h), so nothing here waits. What fails on the way is the connection's end, as later.
 * @thread of the connection's loop
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/io/redis_impl.h"

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

/* A server that forbids ROLE is believed: a replica refuses writes anyway. */
static void on_role(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    bool in_step;

    (void)arg;
    if (!r || r->type != REDIS_T_ARRAY || slice_eq(redis_str(redis_at(r, 0)), SLICE("master")))
        return;
    in_step = redis_len(r) > 3 && slice_eq(redis_str(redis_at(r, 3)), SLICE("connected"));
    if (c->role == REDIS_MASTER)
        conn_fail(c, -EROFS, "it is a replica, not the master");
    else if (!in_step)
        conn_fail(c, -EAGAIN, "it is a replica that isn't in step with its master");
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
    if (c->role != REDIS_ANY)
        greet(c, on_role, 1, (struct slice[]){SLICE("ROLE")});
    greet(c, on_client_id, 2, (struct slice[]){SLICE("CLIENT"), SLICE("ID")});
    conn_write(c);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    conn_read(w->data);
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

/* ---- the socket ---- */

static void connect_to(struct redis_conn *c, const char *address)
{
    c->ctx = c->url.path ? redisConnectUnixNonBlock(c->url.path)
                         : redisConnectNonBlock(address, c->url.at.port);
    if (!c->ctx || c->ctx->err) {
        int err = c->ctx && c->ctx->err == REDIS_ERR_IO && errno ? errno : EHOSTUNREACH;

        conn_fail(c, -err, "connect: %s", c->ctx ? c->ctx->errstr : "out of memory");
        return;
    }
    c->ctx->reader->privdata = c;
    c->ctx->reader->maxbuf = REDIS_READ_SIZE; /* of idle memory; hiredis' 16 KiB reallocates */
    if (!c->url.path)
        redisEnableKeepAlive(c->ctx);
    ev_io_init(&c->reading, on_readable, c->ctx->fd, EV_READ);
    ev_io_init(&c->writing, on_writable, c->ctx->fd, EV_WRITE);
    c->reading.data = c->writing.data = c;
    ev_io_start(c->loop, &c->writing);
    ev_prepare_start(c->loop, &c->flush);
    ev_check_start(c->loop, &c->peek);
}

static void on_resolved(void *arg, const char *address, const char *why)
{
    struct redis_conn *c = arg;

    c->resolving = NULL;
    if (address)
        connect_to(c, address);
    else
        conn_fail(c, -EHOSTUNREACH, "connect: no address of %s: %s", c->url.at.host, why);
}

static void find_host(struct redis_conn *c)
{
    if (c->url.path || resolve_is_numeric(c->url.at.host)) {
        connect_to(c, c->url.at.host);
        return;
    }
    c->resolving = resolve_start(c->loop, c->url.at.host, on_resolved, c);
    if (!c->resolving)
        conn_fail(c, -EAGAIN, "connect: too many names are being looked up");
}

/* ---- who is the master? ---- */

static void on_told(void *arg, const struct sentinels_say *says)
{
    struct redis_conn *c = arg;
    int err = watch_judge(c->watch, says, &c->url.at);

    sentinels_free(c->asking);
    c->asking = NULL;
    if (err)
        conn_fail(c, err, "%s", says->why);
    else
        find_host(c);
}

void conn_begin(struct redis_conn *c, const struct redis_opts *opts)
{
    if (!c->url.master) {
        find_host(c);
        return;
    }
    c->asking = sentinels_new(c->loop, &c->url, opts, on_told, c);
    sentinels_ask(c->asking);
}
