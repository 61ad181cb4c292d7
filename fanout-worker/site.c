/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site.c: connections made, checked, loaded with scripts, and made again; see site.h.
 * @thread pump
 */
#include "fanout-worker/site.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"
#include "fanout-worker/region.h"

#define PAUSE_MAX 0.3 /* after a failover nobody waits much longer than it took */
#define EVAL_ARGV 64

static void connect_to(struct site *at);

static void each_part_at(struct site *at, void (*fn)(struct part *))
{
    for (uint32_t i = 0; i < at->pu->topic_count; i++) {
        const struct topic *t = &at->pu->topics[i];

        for (int32_t k = 0; k < t->part_count; k++) {
            if (t->parts[k] && t->parts[k]->at == at)
                fn(t->parts[k]);
        }
    }
}

static void give_up(struct site *at, const char *why)
{
    double pause = 0.05 * (double)(1u << (at->reconnects < 5 ? at->reconnects : 5));

    at->reconnects++;
    log_warn("redis_down", " why=%s", log_value(slice_of(why)));
    at->ready = false;
    redis_conn_free(at->redis);
    at->redis = NULL;
    each_part_at(at, part_detach);
    pump_status(at->pu);
    ev_timer_set(&at->reconnect, pause < PAUSE_MAX ? pause : PAUSE_MAX, 0);
    ev_timer_start(at->pu->loop, &at->reconnect);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    (void)c;
    (void)err;
    give_up(arg, why);
}

static void on_memory(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    char where[REDIS_WHERE_MAX];
    struct site *at = arg;
    struct pump *pu = at->pu;

    if (!reply || at->redis != c)
        return;
    if (region_evicts(reply)) {
        log_error("redis_evicts", " mend=%s", log_value(SLICE("set maxmemory-policy noeviction")));
        give_up(at, "its maxmemory-policy isn't noeviction");
        return;
    }
    at->ready = true;
    at->reconnects = 0;
    PUMP_METRIC(pu, redis_connects, 1);
    redis_conn_where(c, where);
    log_info("redis_up", " at=%s", log_value(slice_of(where)));
    if (at == pu->home)
        pump_on_home(pu);
    for (uint32_t i = 0; at != pu->home && i < pu->topic_count; i++)
        topic_on_redis(&pu->topics[i]); /* what an older log left here ends, too */
    site_tidy(at);
    each_part_at(at, part_attach);
    pump_status(pu);
}

void site_load(struct site *at)
{
    for (int i = 0; i < SCRIPT_COUNT && at->redis; i++)
        redis_cmd(at->redis, NULL, NULL, 3,
                  (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), script_text((enum script)i)});
}

void site_demoted(struct site *at)
{
    if (at->redis)
        redis_conn_end(at->redis, "it is a replica by now, not the master");
}

static void on_up(struct redis_conn *c, void *arg)
{
    site_load(arg);
    redis_cmd_text(c, on_memory, arg, "INFO memory");
}

/* ---- Sentinels ---- */

static void on_master(void *arg)
{
    struct site *at = arg;

    if (at->redis && !redis_watch_agrees(at->watch, at->redis))
        redis_conn_end(at->redis, "the Sentinels say that another is the master");
}

static void hear(struct site *at, bool heard)
{
    if (at->deaf == heard) /* it changes */
        PUMP_METRIC(at->pu, sentinels_lost, heard ? -1 : 1);
    at->deaf = !heard;
}

static void on_heard(void *arg, bool heard, const char *why)
{
    struct site *at = arg;
    const struct redis_opts opts = region_redis(at->pu->opts.conf, at->url, NULL);
    char where[REDIS_WHERE_MAX];

    redis_url_where(opts.url, where);
    hear(at, heard);
    if (heard)
        log_info("sentinels_back", " at=%s", log_value(slice_of(where)));
    else
        log_warn("sentinels_lost", " at=%s why=%s", log_value(slice_of(where)),
                 log_value(slice_of(why)));
}

/* ---- life ---- */

static void on_reconnect(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    connect_to(w->data);
}

static void connect_to(struct site *at)
{
    static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};
    struct redis_opts opts = region_redis(at->pu->opts.conf, at->url, "fanfare-worker");

    opts.watch = at->watch;
    at->redis = redis_conn_new(at->pu->loop, &opts, &ops, at);
    must(at->redis); /* the URL was checked */
}

struct site *site_new(struct pump *pu, const char *url)
{
    static const struct redis_watch_ops ops = {.on_master = on_master, .on_heard = on_heard};
    struct site *at = mem_zalloc(sizeof(*at));
    const struct redis_opts opts = region_redis(pu->opts.conf, url, NULL);

    at->pu = pu;
    at->url = mem_strdup(url);
    ev_timer_init(&at->reconnect, on_reconnect, 0, 0);
    at->reconnect.data = at;
    list_add_tail(&pu->sites, &at->node);
    at->watch = redis_watch_new(pu->loop, &opts, &ops, at);
    connect_to(at);
    return at;
}

void site_free(struct site *at)
{
    ev_timer_stop(at->pu->loop, &at->reconnect);
    redis_conn_free(at->redis);
    redis_watch_free(at->watch);
    hear(at, true);
    list_del(&at->node);
    free(at->url);
    free(at);
}

bool sites_are_ready(const struct pump *pu)
{
    const struct site *at;

    list_for_each(at, &pu->sites, node)
        if (!at->ready)
            return false;
    return !list_is_empty(&pu->sites);
}

void site_eval(struct site *at, enum script which, redis_reply_fn *fn, void *arg, int argc,
               const struct slice *argv)
{
    struct slice few[EVAL_ARGV];
    struct slice *all = few;

    if (argc + 2 > EVAL_ARGV)
        all = mem_alloc(((size_t)argc + 2) * sizeof(*all));
    all[0] = SLICE("EVALSHA");
    all[1] = (struct slice){at->pu->scripts.sha[which], SCRIPT_SHA_LEN};
    memcpy(all + 2, argv, (size_t)argc * sizeof(*argv));
    /* append's wait() says when an answer matters; an index's never does */
    if (which == SCRIPT_APPEND || which == SCRIPT_INDEX_ADD)
        redis_cmd_relaxed(at->redis, fn, arg, argc + 2, all);
    else
        redis_cmd(at->redis, fn, arg, argc + 2, all);
    if (all != few)
        free(all);
}
