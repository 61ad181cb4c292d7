/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_replica.c: reading streams from a replica of the region's Redis (redis_replica_url).
 *
 *   from the master ──── a probe is up ────► from the replica
 *          ▲                                        │
 *          └── for a pause: lost twice in a row, ◄──┘
 *              or LAG_MS behind the beacon
 *
 * Tails, pages and lookups in indexes go there. Topics, the beacon and deep history, which writes,
 * stay with the master (control). A replica shows a past of the master's, and a position names the
 * same record in both: lag makes records late and nothing else. What it lacks isn't news when it
 * comes (take_row() in feed_topic.c). @thread feed
 */
#include <stdlib.h>

#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

#define LAG_MS    3000
#define LOST      2 /* connections in a row */
#define PAUSE_MS  5000
#define PAUSE_MAX 300000 /* it doubles, unless the replica was good for as long */

static bool is_configured(const struct feed *f)
{
    return f->conf->redis_replica_url[0];
}

struct link *feed_deep_link(struct feed *f, struct plog *p)
{
    return p->store == f->home && is_configured(f) ? &f->control : &p->store->history;
}

struct redis_opts feed_replica_redis(const struct feed *f, const char *name)
{
    struct redis_opts opts = feed_redis(f->conf, name);

    if (strcmp(f->conf->redis_replica_url, FEED_BY_SENTINEL) != 0)
        opts.url = f->conf->redis_replica_url;
    opts.role = REDIS_REPLICA;
    return opts;
}

static void turn_links(struct feed *f, bool to_replica)
{
    f->replica.on = to_replica;
    METRIC_SET(reads_replica, to_replica);
    feed_link_restart(&f->home->history);
    feed_store_restart_groups(f->home);
}

static void later(struct feed *f, uint64_t now)
{
    struct replica *r = &f->replica;

    if (r->on && now - r->on_ms > r->pause_ms)
        r->pause_ms = PAUSE_MS;
    r->next_ms = now + r->pause_ms;
    r->pause_ms = r->pause_ms * 2 < PAUSE_MAX ? r->pause_ms * 2 : PAUSE_MAX;
}

static void leave(struct feed *f, const char *why)
{
    log_warn("replica_left", " why=%s retry_ms=%llu", log_value(slice_of(why)),
             (unsigned long long)f->replica.pause_ms);
    later(f, clock_mono_ms());
    turn_links(f, false);
}

/* ---- is there one? ---- */

static void end_probe(struct feed *f)
{
    redis_conn_free(f->replica.probe);
    f->replica.probe = NULL;
}

static bool is_read_already(const struct feed *f, const struct redis_conn *c)
{
    return f->replica.on && f->home->history.conn && redis_conn_is_same(f->home->history.conn, c);
}

static void on_probe_up(struct redis_conn *c, void *arg)
{
    struct feed *f = arg;
    bool known = is_read_already(f, c);
    char where[REDIS_WHERE_MAX];

    redis_conn_where(c, where);
    end_probe(f);
    f->replica.said = false;
    if (known) { /* promoted, and there is no other */
        f->replica.next_ms = clock_mono_ms() + PAUSE_MS;
        return;
    }
    log_info("replica_read", " at=%s", log_value(slice_of(where)));
    f->replica.on_ms = clock_mono_ms();
    turn_links(f, true);
}

static void on_probe_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    struct feed *f = arg;

    (void)c, (void)err;
    if (!f->replica.said)
        log_warn("replica_unusable", " why=%s", log_value(slice_of(why)));
    f->replica.said = true;
    end_probe(f);
    later(f, clock_mono_ms());
}

static void probe(struct feed *f)
{
    static const struct redis_ops ops = {.on_up = on_probe_up, .on_down = on_probe_down};
    const struct redis_opts opts = feed_replica_redis(f, "fanfare-probe");

    if (!f->replica.probe && clock_mono_ms() >= f->replica.next_ms)
        f->replica.probe = redis_conn_new(f->loop, &opts, &ops, f);
}

void feed_replica_tick(struct feed *f)
{
    if (is_configured(f) && !f->replica.on)
        probe(f);
}

void feed_replica_promoted(struct feed *f)
{
    probe(f);
}

void feed_replica_init(struct feed *f)
{
    f->replica = (struct replica){.pause_ms = PAUSE_MS};
}

void feed_replica_stop(struct feed *f)
{
    end_probe(f);
}

/* ---- is it good? ---- */

void feed_replica_lost(struct feed *f, const struct link *l, const char *why)
{
    if (f->replica.on && l->store == f->home && l != &f->control && l->tries >= LOST)
        leave(f, why);
}

bool feed_replica_lacks(struct feed *f, struct plog *p, uint64_t last)
{
    uint64_t end = atomic_load(&p->upto), now = clock_mono_ms();

    if (!f->replica.on || p->store != f->home || atomic_load(&p->state) != PLOG_READY ||
        end >= last) {
        p->lacking = 0;
        return false;
    }
    if (!p->lacking || end >= p->lacking) { /* it has what it lacked: the clock begins anew */
        p->lacking = last;
        p->lacking_ms = now;
    } else if (now - p->lacking_ms > LAG_MS && now - f->replica.on_ms > LAG_MS) {
        leave(f, "it lags behind the master");
    }
    return true;
}
