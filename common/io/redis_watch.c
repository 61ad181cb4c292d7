/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_watch.c: asks the Sentinels twice a second, so that a master is left that was deposed
 * without its connections breaking. (+switch-master tells the same, but only to who is subscribed
 * at that moment: one would have to ask anyway.) @thread of the loop
 */
#include <errno.h>
#include <stdlib.h>

#include "common/io/redis_impl.h"

#define WATCH_S 0.5

struct redis_watch {
    struct ev_loop *loop;
    struct sentinels *ss;
    const struct redis_watch_ops *ops;
    void *arg;
    ev_timer tick;
    bool lost;
    bool knows;
    struct redis_address at; /* the master, as last told, … */
    int64_t epoch;           /* … in this configuration */
};

int watch_judge(const struct redis_watch *w, const struct sentinels_say *says,
                struct redis_address *ret)
{
    bool old = w && w->knows && says->epoch < w->epoch && !says->by_most;

    if (says->err == 0 && !old) {
        *ret = says->at;
        return 0;
    }
    /* None answers, or a few that have missed the latest failover. ROLE then says whether what was
     * known is still true. */
    if (w && w->knows && says->err != -ENOENT) {
        *ret = w->at;
        return 0;
    }
    return says->err;
}

static void on_told(void *arg, const struct sentinels_say *says)
{
    struct redis_watch *w = arg;
    bool lost = says->err != 0;

    if (lost != w->lost)
        w->ops->on_heard(w->arg, !lost, says->why);
    w->lost = lost;
    if (lost || watch_judge(w, says, &w->at) < 0)
        return;
    w->knows = true;
    w->epoch = says->epoch > w->epoch || says->by_most ? says->epoch : w->epoch;
    w->ops->on_master(w->arg);
}

static void on_watch(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct redis_watch *w = timer->data;

    (void)loop, (void)events;
    sentinels_ask(w->ss);
}

struct redis_watch *redis_watch_new(struct ev_loop *loop, const struct redis_opts *opts,
                                    const struct redis_watch_ops *ops, void *arg)
{
    struct redis_watch *w;
    struct redis_url url;
    char why[128];

    if (redis_url_parse(opts->url, &url, why, sizeof(why)) < 0)
        return NULL;
    if (!url.master) {
        redis_url_done(&url);
        return NULL;
    }
    w = mem_zalloc(sizeof(*w));
    *w = (struct redis_watch){.loop = loop, .ops = ops, .arg = arg};
    w->ss = sentinels_new(loop, &url, opts, on_told, w);
    redis_url_done(&url);
    ev_timer_init(&w->tick, on_watch, 0., WATCH_S);
    w->tick.data = w;
    ev_timer_start(loop, &w->tick);
    return w;
}

void redis_watch_free(struct redis_watch *w)
{
    if (!w)
        return;
    ev_timer_stop(w->loop, &w->tick);
    sentinels_free(w->ss);
    free(w);
}

bool redis_watch_agrees(const struct redis_watch *w, const struct redis_conn *c)
{
    const struct redis_address *at = &c->url.at;

    return !w->knows || !at->host[0] ||
           (at->port == w->at.port && strcmp(at->host, w->at.host) == 0);
}
