/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_link.c: feed's connections to Redis: each comes back by itself, with growing pauses. What
 * was unanswered on a broken one has been called back by then; its owner asks again in on_up.
 */
#include <stdio.h>

#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

static void link_connect(struct link *l);

static void on_retry(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    link_connect(container_of(w, struct link, retry));
}

static void link_later(struct link *l)
{
    /* 20 ms … 320 ms: after a failover nobody waits much longer than it took. */
    double pause = 0.02 * (double)(1 << (l->tries < 4 ? l->tries : 4));

    l->tries++;
    ev_timer_set(&l->retry, pause, 0);
    ev_timer_start(l->f->loop, &l->retry);
}

static void on_link_up(struct redis_conn *c, void *arg)
{
    struct link *l = arg;

    (void)c;
    if (l->tries > 1)
        log_info("redis_up", " link=%s", l->name);
    l->on_up(l); /* tries is 0 again after a good answer only: Redis may be loading */
}

static void on_link_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct link *l = arg;

    (void)err;
    METRIC_ADD(redis_downs, 1);
    log_warn("redis_down", " link=%s why=%s", l->name, log_value(slice_of(why)));
    redis_conn_free(c);
    l->conn = NULL;
    link_later(l);
}

static void link_connect(struct link *l)
{
    static const struct redis_ops ops = {.on_up = on_link_up, .on_down = on_link_down};
    struct redis_opts opts = {
        .url = l->f->conf->redis_url,
        .password = l->f->conf->redis_password,
        .connect_ms = 2000,
        .reply_ms = 3000, /* above XREAD_BLOCK_MS */
        .name = l->name,
    };

    l->conn = redis_conn_new(l->f->loop, &opts, &ops, l);
    if (!l->conn)
        link_later(l);
}

void feed_link_start(struct link *l, struct feed *f, const char *name, void (*on_up)(struct link *))
{
    *l = (struct link){.f = f, .name = name, .on_up = on_up};
    ev_init(&l->retry, on_retry);
    link_connect(l);
}

bool feed_link_is_up(const struct link *l)
{
    return l->conn && redis_conn_is_up(l->conn);
}

void feed_link_stop(struct link *l)
{
    ev_timer_stop(l->f->loop, &l->retry);
    if (l->conn)
        redis_conn_free(l->conn);
    l->conn = NULL;
}

void feed_link_retry(struct link *l)
{
    feed_link_stop(l);
    link_later(l);
}

void feed_link_restart(struct link *l)
{
    feed_link_stop(l);
    link_connect(l);
}

/* ---- which Redis is it? ---- */

/* A replica will do, but for older records (feed_deep.c writes). Who was pointed at one by mistake,
 * or is left at a deposed primary, reads a beacon that stands still. A server that forbids ROLE is
 * believed. */
static void take_role(struct feed *f, const struct redis_reply *r)
{
    struct slice role;
    bool known = f->role[0];

    if (redis_type(r) != REDIS_T_ARRAY || !redis_len(r))
        return;
    role = redis_str(redis_at(r, 0));
    if (slice_eq(role, slice_of(f->role)))
        return;
    snprintf(f->role, sizeof(f->role), "%.*s", (int)role.n, role.p);
    if (!slice_eq(role, SLICE("master")))
        log_warn("redis_role",
                 " role=%s hint=\"it can be read, but not what is older than the streams\"",
                 log_value(role));
    else if (known)
        log_info("redis_role", " role=%s", f->role);
}

static void on_role(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct feed *f = arg;

    (void)c;
    if (!r)
        return; /* the connection broke: asked again on the next one */
    take_role(f, r);
    if (f->stale_ms)
        log_warn("beacon_stale",
                 " age_ms=%llu role=%s hint=\"no worker writes here, or this is not the primary\"",
                 (unsigned long long)f->stale_ms,
                 f->role[0] ? log_value(slice_of(f->role)) : "unknown");
    f->stale_ms = 0;
}

void feed_ask_role(struct feed *f)
{
    redis_cmd_text(f->control.conn, on_role, f, "ROLE");
}
