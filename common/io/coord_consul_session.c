/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_session.c: the session that holds this process's locks.
 *
 * Consul ends it when the node's check runs out (soon after the node died), or when it wasn't
 * renewed for its TTL (who came back under the same name renews the check, too). A renewal is
 * answered by Consul's leader, unlike the check's, which the agent answers alone: so `fence` runs
 * for the lock delay from when a good one was sent. A session that ended later than that isn't
 * anybody else's lock before. A Consul that lost its data knows of no delay: so whoever was
 * forgotten, as a node (by its agent) or by its session alone (by the servers behind it), makes
 * none for as long as others may count themselves holders.
 *
 * Without locks it is left to itself, for the next one. But if some acquire had no good answer, it
 * may be waiting for a leader behind the agent, and come true after the release: then the session
 * is ended, and with it whatever it gets. @thread coord
 */
#include "common/base/clock.h"
#include "common/io/coord_consul.h"
#include "common/runtime/json.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#define TTL      "10s" /* the least that Consul takes; it may take twice that */
#define ASK_MS   2000
#define RENEW_MS 1000
#define MADE_MAX KIB(4) /* of what is parsed: it is one id */

static struct consul *consul_of(struct consul_session *s)
{
    return container_of(s, struct consul, session);
}

static void failed(struct consul *k, const char *what, const struct http_reply *r)
{
    struct consul_session *s = &k->session;
    uint64_t random;

    if (++s->failures == 3)
        log_warn("lock_refused", " what=%s status=%d why=%s", what, r->status,
                 log_value(r->err ? slice_of(r->why) : r->body));
    proc_random(&random, sizeof(random));
    coord_again(k->c, &s->timer, coord_backoff_ms(s->failures, 200, RENEW_MS, random));
}

static void lives(struct consul *k)
{
    struct consul_session *s = &k->session;
    uint64_t gone = clock_mono_ms() - s->asked_ms;

    s->failures = 0;
    s->idle = false;
    coord_again(k->c, &s->fence, gone < CONSUL_LOCK_DELAY_MS ? CONSUL_LOCK_DELAY_MS - gone : 0);
    coord_again(k->c, &s->timer, RENEW_MS);
    consul_lock_ready(k);
}

static void on_made(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;
    struct consul_session *s = &k->session;
    struct json_error err;
    bool is_good = !r->err && r->status == 200 && r->body.n <= MADE_MAX;
    struct json *j = is_good ? json_parse(r->body, &err) : NULL;
    struct slice id;

    s->call = NULL;
    if (j && json_text(json_get(j, "ID"), &id) && id.n && id.n < sizeof(s->id)) {
        memcpy(s->id, id.p, id.n + 1);
        s->made++;
        s->unsure = false;
        lives(k);
    } else {
        failed(k, "session", r);
    }
    json_free(j);
}

static void make(struct consul *k)
{
    struct buf body = BUF_INIT, id = BUF_INIT;

    consul_id(&id, coord_self(k->c));
    buf_printf(
        &body,
        "{\"Name\":\"fanfare\",\"TTL\":\"" TTL "\",\"LockDelay\":\"%dms\","
        "\"Behavior\":\"release\",\"NodeChecks\":[\"serfHealth\"],\"ServiceChecks\":[{\"ID\":",
        CONSUL_LOCK_DELAY_MS);
    buf_json_string(&body, buf_as_slice(&id));
    buf_lit(&body, "}]}");
    k->session.call = consul_ask(k,
                                 &(struct consul_ask){.method = "PUT",
                                                      .path = "/v1/session/create",
                                                      .body = buf_as_slice(&body),
                                                      .timeout_ms = ASK_MS},
                                 on_made, k);
    buf_done(&body);
    buf_done(&id);
}

static void on_renewed(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;
    struct consul_session *s = &k->session;

    s->call = NULL;
    if (!r->err && r->status == 200) {
        lives(k);
    } else if (!r->err && r->status == 404) {
        s->id[0] = '\0';
        if (!s->idle)
            s->ended_ms = clock_mono_ms();
        consul_stop(k, &s->fence);
        consul_lock_lost(k, "its session has ended");
        coord_again(k->c, &s->timer, 0);
    } else {
        failed(k, "renew", r);
    }
}

static void renew(struct consul *k)
{
    k->session.call = consul_ask(k,
                                 &(struct consul_ask){.method = "PUT",
                                                      .path = "/v1/session/renew/",
                                                      .name = slice_of(k->session.id),
                                                      .body = SLICE(""),
                                                      .timeout_ms = ASK_MS},
                                 on_renewed, k);
}

/* Since when nothing speaks against a new one. */
static uint64_t free_ms(const struct consul *k)
{
    uint64_t registered = k->self.registered_ms, ended = k->session.ended_ms;

    return registered > ended ? registered : ended;
}

static void step(struct consul *k)
{
    struct consul_session *s = &k->session;
    uint64_t now = clock_mono_ms(), since = now - free_ms(k);

    s->idle = s->idle || list_is_empty(&k->locks);
    if (s->call || list_is_empty(&k->locks))
        return;
    s->asked_ms = now;
    if (s->id[0])
        renew(k);
    else if (k->self.registered && since >= CONSUL_LOCK_DELAY_MS)
        make(k);
    else
        coord_again(k->c, &s->timer, k->self.registered ? CONSUL_LOCK_DELAY_MS - since : RENEW_MS);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    step(consul_of(container_of(w, struct consul_session, timer)));
}

static void on_fence(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    consul_lock_lost(consul_of(container_of(w, struct consul_session, fence)),
                     "its session wasn't renewed in time");
}

/* It may be sure for a while yet, and not be renewed any more, since nobody had locks. */
const char *consul_session_want(struct consul *k)
{
    struct consul_session *s = &k->session;

    if (!ev_is_active(&s->timer))
        step(k);
    return s->id[0] && ev_is_active(&s->fence) ? s->id : NULL;
}

void consul_session_doubt(struct consul *k)
{
    step(k);
}

static void on_ended(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;

    (void)r; /* ended or not: it isn't renewed */
    k->session.call = NULL;
    step(k);
}

void consul_session_unused(struct consul *k)
{
    struct consul_session *s = &k->session;

    if (!s->unsure || !s->id[0])
        return;
    http_cancel(s->call);
    consul_stop(k, &s->timer);
    consul_stop(k, &s->fence);
    s->call = consul_ask(k,
                         &(struct consul_ask){.method = "PUT",
                                              .path = "/v1/session/destroy/",
                                              .name = slice_of(s->id),
                                              .body = SLICE(""),
                                              .timeout_ms = ASK_MS},
                         on_ended, k);
    s->id[0] = '\0';
}

void consul_session_start(struct consul *k)
{
    ev_init(&k->session.timer, on_timer);
    ev_init(&k->session.fence, on_fence);
}
