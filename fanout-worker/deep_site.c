/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_site.c: where a partition's segments go: to the server that it is at (common/base/stores.h).
 *
 * Wants come by home's list. The table is read there once a second; other servers are connected to
 * when a want of theirs is taken, which is then left to be asked for again. @thread history
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/keys.h"
#include "common/runtime/log.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/region.h"

#define POLL_MS  1000
#define AGAIN_MS 200

struct deep_site {
    struct list node;
    struct deep *d;
    char *url;
    struct redis_conn *conn; /* NULL: not now */
    uint64_t again_ms;       /* not before */
};

struct redis_conn *deep_conn(const struct deep_row *row)
{
    return row->site ? row->site->conn : row->d->redis;
}

bool deep_is_up(const struct deep_row *row)
{
    const struct redis_conn *c = deep_conn(row);

    return c && redis_conn_is_up(c);
}

/* What its rows waited for doesn't come any more. */
static void lose(struct deep_site *s)
{
    struct deep_row *row, *next;

    redis_conn_free(s->conn);
    s->conn = NULL;
    s->again_ms = clock_mono_ms() + AGAIN_MS;
    list_for_each_safe(row, next, &s->d->rows, node)
        if (row->state != DEEP_DONE && row->site == s)
            deep_row_end(row, NULL);
}

static void on_up(struct redis_conn *c, void *arg)
{
    (void)arg;
    deep_load(c);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    (void)c, (void)err;
    log_debug("deep_history", " text=%s", log_value(slice_of(why))); /* the pump says it aloud */
    lose(arg);
}

static void connect_to(struct deep_site *s)
{
    static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};
    const struct redis_opts opts = region_redis(s->d->h->conf, s->url, "fanfare-history");

    if (!s->conn && clock_mono_ms() >= s->again_ms)
        s->conn = redis_conn_new(s->d->h->loop, &opts, &ops, s);
}

static struct deep_site *site_get(struct deep *d, const char *url)
{
    struct deep_site *s;

    list_for_each(s, &d->sites, node)
        if (strcmp(s->url, url) == 0)
            return s;
    s = mem_zalloc(sizeof(*s));
    s->d = d;
    s->url = mem_strdup(url);
    list_add_tail(&d->sites, &s->node);
    return s;
}

bool deep_row_place(struct deep_row *row)
{
    const char *url = stores_url(&row->d->stores, row->want.log, row->want.partition);

    row->site = strcmp(url, STORE_HOME) == 0 ? NULL : site_get(row->d, url);
    if (row->site)
        connect_to(row->site);
    return deep_is_up(row);
}

/* Rows that are done may still point at a site, but never look at it. */
void deep_sites_done(struct deep *d)
{
    struct deep_site *s, *next;

    list_for_each_safe(s, next, &d->sites, node) {
        lose(s);
        list_del(&s->node);
        free(s->url);
        free(s);
    }
    stores_done(&d->stores);
}

static void on_table(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct stores now = {0};
    struct deep *d = arg;
    int rc = 0;

    (void)c;
    for (size_t i = 0; reply && rc == 0 && i + 1 < redis_len(reply); i += 2)
        rc = stores_take(&now, redis_str(redis_at(reply, i)), redis_str(redis_at(reply, i + 1)));
    if (rc == 0 && stores_replace(&now, &d->stores)) {
        deep_sites_done(d);
        d->stores = now;
        now = (struct stores){0};
    }
    stores_done(&now);
}

void deep_sites_poll(struct deep *d)
{
    uint64_t now = clock_mono_ms();

    if (now - d->polled_ms < POLL_MS || !d->redis || !redis_conn_is_up(d->redis))
        return;
    d->polled_ms = now;
    redis_cmd(d->redis, on_table, d, 2, (struct slice[]){SLICE("HGETALL"), SLICE(KEY_SHARDS)});
}
