/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_lock.c: locks in Consul: keys that this process's session holds. Their value is the
 * holder's name.
 *
 *           acquire: true            lost                  acquire
 *   WAITS ────────────────▶ HELD ───────────▶ WAITS …     may be under way
 *     └──────── coord_lock_free() ──┴──▶ RELEASING ◀──────────┘
 *
 * Between two tries, and while it is held, the key is watched. All locks of a node have one
 * session: a release that is still under way would be the next one's. @thread coord
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io/coord_consul.h"
#include "common/io/coord_lock.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#define ASK_MS   2000
#define FREE_MS  500 /* a lock that is free and can't be had is within its delay */
#define PAUSE_MS 50

struct coord_lock {
    struct consul_task task;
    coord_lock_fn *fn;
    void *arg;
    uint64_t index;
    unsigned failures;
    unsigned session; /* of those that were made, the one that it was tried for with */
    bool held, watching, told_busy;
    bool refused;   /* the last try; who has it isn't known since */
    bool acquiring; /* that is what call is */
    bool asked;     /* it may be ours in Consul */
    bool releasing; /* its owner is gone */
};

static void step(struct coord_lock *l);

static struct consul *consul_of(const struct coord_lock *l)
{
    return l->task.c->state;
}

/* ---- what it is told ---- */

static void again(struct coord_lock *l, uint64_t most)
{
    uint32_t random;

    l->watching = false;
    l->index = 0;
    proc_random(&random, sizeof(random));
    coord_again(l->task.c, &l->task.timer, 1 + random % most);
}

static void failed(struct coord_lock *l, const char *what, const struct http_reply *r)
{
    uint64_t random;

    if (++l->failures == 3)
        log_warn("lock_refused", " key=%s what=%s status=%d why=%s",
                 log_value(slice_of(l->task.key)), what, r->status,
                 log_value(r->err ? slice_of(r->why) : r->body));
    proc_random(&random, sizeof(random));
    again(l, coord_backoff_ms(l->failures, 200, 2000, random));
}

static void gain(struct coord_lock *l)
{
    l->held = true;
    l->told_busy = false;
    l->fn(0, "", l->arg);
}

static void lose(struct coord_lock *l, const char *why)
{
    l->held = false;
    l->fn(-ESTALE, why, l->arg);
}

static void is_busy(struct coord_lock *l, const char *holder)
{
    if (!l->told_busy)
        l->fn(-EBUSY, holder, l->arg);
    l->told_busy = true;
}

void consul_lock_lost(struct consul *k, const char *why)
{
    struct coord_lock *l;

    list_for_each(l, &k->locks, task.node) {
        if (!l->held)
            continue;
        http_cancel(l->task.call);
        l->task.call = NULL;
        lose(l, why);
        again(l, PAUSE_MS);
    }
}

void consul_lock_ready(struct consul *k)
{
    struct coord_lock *l, *next;

    list_for_each_safe(l, next, &k->locks, task.node)
        if (!ev_is_active(&l->task.timer))
            step(l);
}

/* ---- the key ---- */

static void on_watched(const struct http_reply *r, void *arg)
{
    struct coord_lock *l = arg;
    struct consul *k = consul_of(l);
    struct consul_entry e = {.index = 0};
    bool is_there = !r->err && r->status == 200 && consul_entry(r->body, &e) == 0;
    bool is_ours = is_there && k->session.id[0] && !strcmp(e.session, k->session.id);

    l->task.call = NULL;
    if (!is_there && (r->err || r->status != 404)) {
        bool held = l->held;
        failed(l, "watch", r);
        l->watching = held; /* then it is the session's fence that decides */
        return;
    }
    l->failures = 0;
    l->index = consul_next_index(l->index, http_reply_header(r, "X-Consul-Index"));
    if (l->held && !is_ours)
        lose(l, e.session[0] ? "another one has it" : "it was taken away");
    buf_byte(&e.value, '\0');
    if (!l->held && !is_ours && (e.session[0] || l->refused))
        is_busy(l, e.value.p);
    if (l->held || (e.session[0] && !is_ours))
        coord_again(k->c, &l->task.timer, l->index ? PAUSE_MS : FREE_MS);
    else
        again(l, l->refused ? FREE_MS : PAUSE_MS); /* free, and yet refused: it is in its delay */
    l->refused = l->refused && !e.session[0];
    consul_entry_done(&e);
}

static void watch(struct coord_lock *l)
{
    l->task.call =
        consul_ask(consul_of(l),
                   &(struct consul_ask){.method = "GET",
                                        .path = "/v1/kv/",
                                        .name = slice_of(l->task.key),
                                        .index = l->index,
                                        .timeout_ms = (l->index ? CONSUL_BLOCKED_MS : 0) + ASK_MS},
                   on_watched, l);
}

void consul_lock_hurry(struct consul *k)
{
    struct coord_lock *l;

    list_for_each(l, &k->locks, task.node) {
        if (!l->watching || l->releasing)
            continue;
        http_cancel(l->task.call);
        l->task.call = NULL;
        l->index = 0;
        coord_again(k->c, &l->task.timer, PAUSE_MS);
    }
}

static void put(struct coord_lock *l, const char *what, http_done_fn *done)
{
    char query[sizeof(consul_of(l)->session.id) + 16];

    snprintf(query, sizeof(query), "?%s=%s", what, consul_of(l)->session.id);
    l->task.call = consul_ask(consul_of(l),
                              &(struct consul_ask){.method = "PUT",
                                                   .path = "/v1/kv/",
                                                   .name = slice_of(l->task.key),
                                                   .query = query,
                                                   .body = slice_of(coord_self(l->task.c)->node),
                                                   .timeout_ms = ASK_MS},
                              done, l);
}

/* An answer that comes when its session isn't sure any more, or is another one by now, gains
 * nothing: it asks again. */
static void on_acquired(const struct http_reply *r, void *arg)
{
    struct coord_lock *l = arg;
    bool is_good = !r->err && r->status == 200;

    l->task.call = NULL;
    l->acquiring = false;
    if (!is_good && l->session == consul_of(l)->session.made)
        consul_of(l)->session.unsure = true;
    if (l->releasing) {
        step(l);
    } else if (!is_good) {
        if (r->status == 500) /* "invalid session", if it isn't worse */
            consul_session_doubt(consul_of(l));
        failed(l, "acquire", r);
    } else if (r->body.n < 4 || memcmp(r->body.p, "true", 4) != 0) {
        l->failures = 0;
        l->asked = false;
        l->watching = l->refused = true;
        coord_again(l->task.c, &l->task.timer, 0);
    } else if (l->session != consul_of(l)->session.made) {
        again(l, PAUSE_MS);
    } else if (consul_session_want(consul_of(l))) {
        l->failures = 0;
        l->watching = true;
        gain(l);
        coord_again(l->task.c, &l->task.timer, 0);
    }
}

/* ---- the end of a lock ---- */

static void destroy(struct coord_lock *l)
{
    consul_task_done(&l->task);
    free(l);
}

static void leave_if_done(struct consul *k)
{
    if (!k->leaving || !list_is_empty(&k->locks))
        return;
    k->leaving = false;
    consul_self_leave(k);
}

static void done_with(struct coord_lock *l)
{
    struct consul *k = consul_of(l);

    destroy(l);
    if (list_is_empty(&k->locks) && !k->leaving)
        consul_session_unused(k);
    leave_if_done(k);
}

static void on_released(const struct http_reply *r, void *arg)
{
    struct coord_lock *l = arg;
    struct consul *k = consul_of(l);

    l->task.call = NULL;
    if ((r->err || r->status >= 500) && !k->leaving) {
        again(l, FREE_MS);
        return;
    }
    done_with(l);
}

/* Without a session there is nothing to release. */
static void release(struct coord_lock *l)
{
    if (l->asked && consul_of(l)->session.id[0])
        put(l, "release", on_released);
    else
        done_with(l);
}

static void end(struct coord *c, struct coord_job *j)
{
    struct coord_lock *l = container_of(j, struct coord_lock, task.end);

    l->held = false;
    l->releasing = true;
    l->fn(-ECANCELED, "", l->arg); /* before another can hear that it is free */
    consul_stop(c->state, &l->task.timer);
    if (l->acquiring)
        return; /* it may overtake the release */
    http_cancel(l->task.call);
    l->task.call = NULL;
    release(l);
}

/* ---- what next? ---- */

static bool is_being_released(const struct consul *k, const char *key)
{
    const struct coord_lock *l;

    list_for_each(l, &k->locks, task.node)
        if (l->releasing && !strcmp(l->task.key, key))
            return true;
    return false;
}

static void step(struct coord_lock *l)
{
    struct consul *k = consul_of(l);

    if (l->task.call)
        return;
    if (l->releasing) {
        release(l);
    } else if (l->watching) {
        watch(l);
    } else if (is_being_released(k, l->task.key)) {
        again(l, PAUSE_MS);
    } else if (consul_session_want(k)) {
        l->asked = l->acquiring = true;
        l->session = k->session.made;
        put(l, "acquire", on_acquired);
    }
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    step(container_of(w, struct coord_lock, task.timer));
}

/* ---- life ---- */

static void begin(struct coord *c, struct coord_job *j)
{
    struct coord_lock *l = container_of(j, struct coord_lock, task.begin);
    struct consul *k = c->state;

    list_add_tail(&k->locks, &l->task.node);
    step(l);
}

int coord_lock_new(struct coord *c, const char *key, coord_lock_fn *fn, void *arg,
                   struct coord_lock **ret)
{
    struct coord_lock *l = mem_zalloc(sizeof(*l));
    int rc;

    *l = (struct coord_lock){.fn = fn, .arg = arg};
    l->task.begin.run = begin;
    l->task.end.run = end;
    ev_init(&l->task.timer, on_timer);
    rc = consul_task_post(&l->task, c, key);
    if (rc)
        free(l);
    else
        *ret = l;
    return rc;
}

void coord_lock_free(struct coord_lock *l)
{
    (void)coord_post(l->task.c, &l->task.end); /* or it is being ended anyway */
}

void consul_lock_start(struct consul *k)
{
    list_init(&k->locks);
}

void consul_lock_stop(struct consul *k)
{
    struct coord_lock *l, *next;

    k->leaving = true;
    list_for_each_safe(l, next, &k->locks, task.node)
        if (!l->releasing)
            end(k->c, &l->task.end);
    leave_if_done(k);
}

void consul_lock_close(struct consul *k)
{
    struct coord_lock *l, *next;

    list_for_each_safe(l, next, &k->locks, task.node)
        destroy(l);
}
