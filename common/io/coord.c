/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord.c: see coord.h: the thread, this node's load on its way out, views on their way in.
 *
 * Views are made under the lock, by whoever has news: the thread, or, with no service configured,
 * the caller of coord_tell(). Invariant: c->view is never NULL and holds this node.
 * @thread main, coord, any: see coord.h
 */
#include "common/io/coord.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/io/coord_impl.h"
#include "common/io/redis.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#define GOODBYE_S 1.0

/* ---- views ---- */

#define MEMBER_TEXT 800

static const char *member_text(const struct coord_member *m, char text[MEMBER_TEXT])
{
    snprintf(text, MEMBER_TEXT, "role=%s node=%s region=%s url=%s",
             m->role == COORD_EDGE ? "edge" : "worker", log_value(slice_of(m->node)),
             log_value(slice_of(m->region)), log_value(slice_of(m->url)));
    return text;
}

/* Both are in the same order. */
static void log_changes(struct coord *c, const struct coord_view *old, const struct coord_view *now)
{
    char text[MEMBER_TEXT];
    size_t o = 0, n = 0;

    while (o < old->count || n < now->count) {
        int by = o == old->count   ? 1
                 : n == now->count ? -1
                                   : coord_member_order(&old->members[o], &now->members[n]);

        if (by < 0)
            log_info("member_left", " %s", member_text(&old->members[o], text));
        else if (by > 0)
            log_info("member_joined", " %s", member_text(&now->members[n], text));
        if (by)
            COORD_COUNT(c, changes, 1);
        o += by <= 0;
        n += by >= 0;
    }
}

static void count_members(struct coord *c, const struct coord_view *v)
{
    int64_t edges = 0;

    for (size_t i = 0; i < v->count; i++)
        edges += v->members[i].role == COORD_EDGE;
    metric_set(&c->metrics->edges, edges);
    metric_set(&c->metrics->workers, (int64_t)v->count - edges);
}

/* Of this node and the others; the one before it is handed over. With the lock held. */
static struct coord_view *replace_view(struct coord *c)
{
    struct coord_list all = {NULL, 0, 0};
    struct coord_view *now, *old = c->view;

    coord_list_add(&all, &c->self.v[0]);
    for (size_t i = 0; i < c->others.n; i++)
        if (!coord_member_is_same(&c->others.v[i], &c->self.v[0]))
            coord_list_add(&all, &c->others.v[i]);
    now = coord_view_take(&all, c->lost_ms);
    now->version = atomic_load(&c->version);
    if (!old || coord_view_differs(old, now))
        now->version++;
    c->view = now;
    atomic_store(&c->version, now->version);
    return old;
}

/* Gives the lock back: who reads views must not wait for a log. */
static void publish_and_unlock(struct coord *c)
{
    struct coord_view *old = replace_view(c), *now = c->view;

    coord_view_ref_more(now);
    pthread_mutex_unlock(&c->lock);
    count_members(c, now);
    log_changes(c, old, now);
    coord_view_unref(old);
    coord_view_unref(now);
}

static void publish(struct coord *c)
{
    pthread_mutex_lock(&c->lock);
    publish_and_unlock(c);
}

const struct coord_view *coord_view_ref(struct coord *c)
{
    const struct coord_view *v;

    pthread_mutex_lock(&c->lock);
    v = c->view;
    coord_view_ref_more(v);
    pthread_mutex_unlock(&c->lock);
    return v;
}

uint64_t coord_version(struct coord *c)
{
    return atomic_load(&c->version);
}

/* ---- a backend's news ---- */

void coord_seen(struct coord *c, struct coord_list *seen)
{
    coord_list_done(&c->others);
    c->others = *seen;
    *seen = (struct coord_list){NULL, 0, 0};
    publish(c);
}

/* Remembers it; true if it was there already, or there were too many. */
static bool was_told(struct coord *c, const struct coord_lane *lane)
{
    for (unsigned i = 0; i < c->told_count; i++)
        if (c->told[i].lane == lane && c->told[i].kind == lane->kind)
            return true;
    if (c->told_count == COORD_TOLD_MAX)
        return true;
    c->told[c->told_count++] = (struct coord_told){lane, lane->kind};
    return false;
}

void coord_lost(struct coord *c, const struct coord_lane *lane, const char *why)
{
    uint64_t now = clock_mono_ms();

    if (!c->lost_ms) {
        c->lost_ms = now;
        c->told_count = 0;
        metric_set(&c->metrics->lost, 1);
        COORD_COUNT(c, losses, 1);
        publish(c);
    }
    if (!was_told(c, lane))
        log_warn("coordination_lost", " members=%zu lost_ms=%llu why=%s", c->view->count,
                 (unsigned long long)(now - c->lost_ms), log_value(slice_of(why)));
}

void coord_back(struct coord *c)
{
    if (!c->lost_ms)
        return;
    log_info("coordination_back", " after_ms=%llu members=%zu",
             (unsigned long long)(clock_mono_ms() - c->lost_ms), c->view->count);
    c->lost_ms = 0;
    metric_set(&c->metrics->lost, 0);
    publish(c);
}

void coord_left(struct coord *c)
{
    ev_break(c->loop, EVBREAK_ALL);
}

void coord_again(struct coord *c, struct ev_timer *t, uint64_t ms)
{
    ev_timer_stop(c->loop, t);
    ev_now_update(c->loop);
    ev_timer_set(t, (double)ms / 1000, 0.);
    ev_timer_start(c->loop, t);
}

const struct coord_member *coord_self(const struct coord *c)
{
    return &c->self.v[0];
}

/* ---- this node's load ---- */

void coord_tell(struct coord *c, const struct coord_load *load)
{
    bool changed;

    pthread_mutex_lock(&c->lock);
    changed = !coord_load_eq(&c->self.v[0].load, load);
    c->self.v[0].load = *load;
    if (changed && !c->backend) {
        publish_and_unlock(c);
        return;
    }
    pthread_mutex_unlock(&c->lock);
    if (changed)
        ev_async_send(c->loop, &c->woken);
}

bool coord_post(struct coord *c, struct coord_job *j)
{
    bool closed;

    pthread_mutex_lock(&c->lock);
    closed = c->closed;
    if (!closed) {
        list_init(&j->node);
        list_add_tail(&c->jobs, &j->node);
        ev_async_send(c->loop, &c->woken);
    }
    pthread_mutex_unlock(&c->lock);
    return !closed;
}

static void run_jobs(struct coord *c, bool are_last)
{
    struct list jobs;
    struct coord_job *j;

    list_init(&jobs);
    pthread_mutex_lock(&c->lock);
    list_splice_tail(&jobs, &c->jobs);
    c->closed = are_last;
    pthread_mutex_unlock(&c->lock);
    while ((j = list_first(&jobs, struct coord_job, node))) {
        list_del(&j->node);
        j->run(c, j); /* which may free it */
    }
}

static void on_woken(struct ev_loop *loop, struct ev_async *w, int events)
{
    struct coord *c = container_of(w, struct coord, woken);
    bool stopping = atomic_load(&c->stopping);
    struct coord_load load;

    (void)events;
    run_jobs(c, stopping);
    if (stopping) {
        ev_async_stop(loop, w);
        ev_timer_start(loop, &c->patience);
        c->backend->leave(c);
        return;
    }
    pthread_mutex_lock(&c->lock);
    load = c->self.v[0].load;
    publish_and_unlock(c);
    c->backend->tell(c, &load);
}

static void on_patience(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* ---- life ---- */

static void *run(void *arg)
{
    struct coord *c = arg;

    proc_thread_role("coord");
    c->backend->start(c);
    ev_run(c->loop, 0);
    c->backend->close(c);
    return NULL;
}

static const struct coord_backend *const backends[] = {
    [COORDINATION_NONE] = NULL,
    [COORDINATION_CONSUL] = &coord_consul,
    [COORDINATION_KUBERNETES] = &coord_kube,
};

struct coord *coord_start(const struct coord_opts *opts)
{
    struct coord *c = mem_zalloc(sizeof(*c));
    char admin[COORD_ADDRESS_MAX], redis[REDIS_WHERE_MAX];
    struct coord_member self = opts->self;

    coord_reachable(admin, self.admin ? self.admin : "none");
    redis_url_public(self.redis ? self.redis : "", redis);
    self.admin = admin;
    self.redis = redis;
    self.is_self = true;
    self.version = FANFARE_VERSION;
    c->conf = opts->conf;
    c->metrics = opts->metrics;
    c->backend = backends[c->conf->coordination];
    must(pthread_mutex_init(&c->lock, NULL) == 0);
    list_init(&c->jobs);
    coord_list_add(&c->self, &self);
    (void)replace_view(c); /* nobody else is here yet, and there was none */
    count_members(c, c->view);
    if (!c->backend)
        return c;
    c->loop = ev_loop_new(EVFLAG_AUTO);
    must(c->loop);
    ev_timer_init(&c->patience, on_patience, GOODBYE_S, 0.);
    ev_async_init(&c->woken, on_woken);
    ev_async_start(c->loop, &c->woken);
    must(pthread_create(&c->thread, NULL, run, c) == 0);
    return c;
}

void coord_stop(struct coord *c)
{
    if (!c)
        return;
    if (c->backend) {
        atomic_store(&c->stopping, true);
        ev_async_send(c->loop, &c->woken);
        pthread_join(c->thread, NULL);
        ev_loop_destroy(c->loop);
    }
    coord_view_unref(c->view);
    coord_list_done(&c->self);
    coord_list_done(&c->others);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
