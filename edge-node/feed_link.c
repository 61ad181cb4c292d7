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
    char text[256];

    (void)err;
    snprintf(text, sizeof(text), "%s", why); /* it is the connection's */
    METRIC_ADD(redis_downs, 1);
    log_warn("redis_down", " link=%s why=%s", l->name, log_value(slice_of(why)));
    redis_conn_free(c);
    l->conn = NULL;
    link_later(l);
    feed_replica_lost(l->f, l, text);
}

struct redis_opts feed_redis(const struct edge_conf *conf, const char *name)
{
    return (struct redis_opts){
        .url = conf->redis_url,
        .password = conf->redis_password,
        .sentinel_user = conf->redis_sentinel_user,
        .sentinel_password = conf->redis_sentinel_password,
        .connect_ms = 2000,
        .reply_ms = 3000, /* above XREAD_BLOCK_MS */
        .name = name,
    };
}

static void link_connect(struct link *l)
{
    static const struct redis_ops ops = {.on_up = on_link_up, .on_down = on_link_down};
    struct feed *f = l->f;
    bool reads = l->store == f->home && l != &f->control && f->replica.on;
    struct redis_opts opts = reads ? feed_replica_redis(f, l->name) : feed_redis(f->conf, l->name);

    if (!reads) {
        opts.url = feed_store_url(l->store);
        opts.watch = l->store->watch;
    }
    l->conn = redis_conn_new(f->loop, &opts, &ops, l);
    if (!l->conn)
        link_later(l);
}

void feed_link_start(struct link *l, struct feed_store *st, const char *name,
                     void (*on_up)(struct link *))
{
    *l = (struct link){.f = st->f, .store = st, .name = name, .on_up = on_up};
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

/* It is at a master again; what else reads there may still be at the server before. */
static void follow_control(struct feed *f)
{
    if (f->replica.on)
        return;
    feed_link_restart(&f->home->history);
    feed_store_restart_groups(f->home);
}

/* A replica will do, but for older records (feed_deep.c writes), and for saying that a cursor lies
 * beyond Kafka's end (take_age() in feed_topic.c). Who was pointed at one by mistake, or is left at
 * a deposed primary, reads a beacon that stands still. A server that forbids ROLE is believed. */
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
    f->demoted = known && !slice_eq(role, SLICE("master"));
    if (!slice_eq(role, SLICE("master"))) {
        log_warn("redis_role",
                 " role=%s hint=\"it can be read, but not what is older than the streams\"",
                 log_value(role));
    } else if (known) {
        log_info("redis_role", " role=%s", f->role);
        follow_control(f);
    }
}

static void on_role(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct feed *f = arg;

    (void)c;
    if (!r)
        return; /* the connection broke: asked again on the next one */
    f->role_refused = redis_type(r) == REDIS_T_ERROR;
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
    if (!f->role_refused)
        redis_cmd_text(f->control.conn, on_role, f, "ROLE");
}

void feed_see_readonly(struct feed *f, struct redis_conn *c, const struct redis_reply *r)
{
    static const char why[] = "it is a replica by now, not the master";
    uint64_t now = clock_mono_ms();

    if (!r || !redis_is_error(r, "READONLY") || now - f->readonly_ms < BEACON_STALE_MS)
        return;
    f->readonly_ms = now;
    redis_conn_end(c, why);
    if (c == f->home->history.conn && feed_link_is_up(&f->control))
        redis_conn_end(f->control.conn, why);
}

bool feed_is_at_master(const struct feed *f)
{
    return !f->role[0] || !strcmp(f->role, "master");
}
