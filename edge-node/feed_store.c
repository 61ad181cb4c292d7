/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_store.c: the Redis servers that streams are read from: home, and those of the table there
 * (common/base/stores.h), which is read every second.
 *
 * A plog is at one of them. When the table changes, those that move are tailed on from the same
 * position where they are now: the worker writes the stream there again, with the same ids. What
 * isn't there yet is waited for, or read from Kafka. @thread feed
 */
#include <stdlib.h>

#include "common/runtime/log.h"

#include "edge-node/feed_impl.h"

static void leave_deposed(struct link *l)
{
    if (l->conn && !redis_watch_agrees(l->store->watch, l->conn))
        redis_conn_end(l->conn, "the Sentinels say that another is the master");
}

static void on_master(void *arg)
{
    struct feed_store *st = arg;
    struct feed *f = st->f;
    struct feed_group *g;

    if (st == f->home) {
        leave_deposed(&f->control);
        if (f->replica.on) {
            if (feed_link_is_up(&st->history) && redis_watch_agrees(st->watch, st->history.conn))
                feed_replica_promoted(f);
            return;
        }
    }
    leave_deposed(&st->history);
    list_for_each(g, &st->groups, node)
        leave_deposed(&g->link);
}

static void hear(struct feed_store *st, bool heard)
{
    if (st->deaf == heard) /* it changes */
        METRIC_ADD(sentinels_lost, heard ? -1 : 1);
    st->deaf = !heard;
}

static void on_heard(void *arg, bool heard, const char *why)
{
    struct feed_store *st = arg;
    char where[REDIS_WHERE_MAX];

    redis_url_where(feed_store_url(st), where);
    hear(st, heard);
    if (heard)
        log_info("sentinels_back", " at=%s", log_value(slice_of(where)));
    else
        log_warn("sentinels_lost", " at=%s why=%s", log_value(slice_of(where)),
                 log_value(slice_of(why)));
}

const char *feed_store_url(const struct feed_store *st)
{
    return strcmp(st->url, STORE_HOME) == 0 ? st->f->conf->redis_url : st->url;
}

static void on_history_up(struct link *l)
{
    (void)l; /* the tick asks again */
}

static struct feed_store *store_new(struct feed *f, const char *url)
{
    static const struct redis_watch_ops ops = {.on_master = on_master, .on_heard = on_heard};
    struct feed_store *st = mem_zalloc(sizeof(*st));
    struct redis_opts opts = feed_redis(f->conf, NULL);

    st->f = f;
    st->url = mem_strdup(url);
    list_init(&st->groups);
    list_add_tail(&f->stores, &st->node);
    opts.url = feed_store_url(st);
    st->watch = redis_watch_new(f->loop, &opts, &ops, st);
    feed_link_start(&st->history, st, "fanfare-history", on_history_up);
    return st;
}

static void store_free(struct feed_store *st)
{
    feed_groups_free(st);
    feed_link_stop(&st->history);
    redis_watch_free(st->watch);
    hear(st, true);
    list_del(&st->node);
    free(st->url);
    free(st);
}

static struct feed_store *store_get(struct feed *f, const char *url)
{
    struct feed_store *st;

    list_for_each(st, &f->stores, node)
        if (strcmp(st->url, url) == 0)
            return st;
    return store_new(f, url);
}

struct feed_store *feed_store_of(struct feed *f, const char *log, int32_t partition)
{
    return store_get(f, stores_url(&f->table, log, partition));
}

/* ---- the table ---- */

static bool is_used(const struct feed *f, const struct feed_store *st)
{
    for (size_t i = 0; i < f->table.count; i++)
        if (strcmp(f->table.v[i].url, st->url) == 0)
            return true;
    return st == f->home;
}

static bool move(struct feed *f, struct plog *p)
{
    struct feed_store *to = feed_store_of(f, p->log, p->partition);
    bool tailed = p->group;

    if (p->store == to)
        return false;
    feed_tail_remove(p);
    p->store = to;
    if (tailed)
        feed_tail_add(f, p);
    return true;
}

static void take_table(struct feed *f, struct stores *take_now)
{
    struct feed_store *st, *next;
    size_t moved = 0;

    stores_done(&f->table);
    f->table = *take_now;
    *take_now = (struct stores){0};
    for (uint32_t i = 0; i < f->plog_top; i++) {
        struct plog *p = feed_plog(f, i);
        moved += p && move(f, p);
    }
    list_for_each_safe(st, next, &f->stores, node)
        if (!is_used(f, st))
            store_free(st);
    METRIC_SET(stores, f->table.count);
    log_info("shards", " version=%llu count=%zu moved=%zu", (unsigned long long)f->table.version,
             f->table.count, moved);
}

static void on_table(struct redis_conn *c, const struct redis_reply *r, void *arg)
{
    struct stores now = {0};
    struct feed *f = arg;
    int rc = 0;

    (void)c;
    f->table_asked = false;
    for (size_t i = 0; r && rc == 0 && i + 1 < redis_len(r); i += 2)
        rc = stores_take(&now, redis_str(redis_at(r, i)), redis_str(redis_at(r, i + 1)));
    /* A home that lost its tail, or all, is written anew: what was known stays until then. */
    if (rc == 0 && stores_replace(&now, &f->table))
        take_table(f, &now);
    stores_done(&now);
}

void feed_table_poll(struct feed *f)
{
    if (f->table_asked || f->ticks % 10 || !feed_link_is_up(&f->control))
        return;
    f->table_asked = true;
    redis_cmd(f->control.conn, on_table, f, 2,
              (struct slice[]){SLICE("HGETALL"), SLICE(KEY_SHARDS)});
}

/* ---- life ---- */

void feed_stores_start(struct feed *f)
{
    f->home = store_new(f, STORE_HOME);
}

void feed_groups_restart(struct feed *f)
{
    struct feed_store *st;

    list_for_each(st, &f->stores, node)
        feed_store_restart_groups(st);
}

void feed_stores_stop(struct feed *f)
{
    struct feed_store *st, *next;

    list_for_each_safe(st, next, &f->stores, node)
        store_free(st);
    stores_done(&f->table);
}
