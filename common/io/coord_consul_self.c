/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_self.c: this node in Consul: registered, renewed, its load told, and taken out.
 *
 * One request at a time; what to send next is decided by step() from what was told and what is so
 * now, so nothing queues. An agent that forgot us answers 404: registered again. While beats fail
 * only a good one ends that, whatever the agent says to registrations. @thread coord
 */
#include "common/base/clock.h"
#include "common/io/coord_consul.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#define ASK_MS  2000
#define SLOW_MS 1000
#define LAST_MS 400 /* of a registration under way when this node leaves */
#define RENEW   "renew this node's check"

static void step(struct consul *k);
static void deregister(struct consul *k);

static struct consul *consul_of(struct consul_self *s)
{
    return container_of(s, struct consul, self);
}

static void failed(struct consul *k, const struct http_reply *r, const char *what)
{
    coord_again(k->c, &k->self.timer, consul_lane_bad(k, &k->self.lane, r, what));
}

/* The first good answer after trouble tells the watches, too: theirs may be on dead connections. */
static void succeeded(struct consul *k)
{
    bool was_down = k->self.lane.state.down;

    consul_lane_good(k, &k->self.lane);
    if (clock_mono_ms() - k->self.asked_ms > SLOW_MS)
        k->self.lane.trouble_ms = clock_mono_ms();
    if (was_down || (consul_watch_is_blind(k) && !k->c->lost_ms))
        consul_watch_hurry(k, was_down);
    consul_watch_tell(k);
}

uint64_t consul_self_trouble_ms(const struct consul *k)
{
    const struct consul_self *s = &k->self;
    uint64_t now = clock_mono_ms();

    return s->call && now - s->asked_ms > SLOW_MS ? now : s->lane.trouble_ms;
}

/* ---- all of it ---- */

static void on_registered(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;
    struct consul_self *s = &k->self;

    s->call = NULL;
    s->registering = false;
    if (s->leaving) {
        deregister(k);
        return;
    }
    if (r->err || r->status != 200) {
        s->registered = false; /* what was to be told wasn't, or nobody knows */
        failed(k, r, "register this node");
        return;
    }
    if (!s->registered)
        log_info("coordination_registered", " service=%s node=%s url=%s",
                 consul_service(coord_self(k->c)->role),
                 log_value(slice_of(coord_self(k->c)->node)),
                 log_value(slice_of(coord_self(k->c)->url)));
    if (!s->registered && s->registered_ms)
        consul_watch_hurry(k, false); /* it was forgotten: indexes may be another Consul's, too */
    if (!s->registered)
        s->registered_ms = clock_mono_ms();
    s->registered = true;
    COORD_COUNT(k->c, registrations, 1);
    if (!s->failed_beats) /* else a beat is to say whether that ends it */
        succeeded(k);
    step(k);
}

static void tell_all(struct consul *k)
{
    struct consul_self *s = &k->self;
    struct buf body = BUF_INIT;

    consul_registration(&body, coord_self(k->c), &s->load, s->instance);
    s->told = s->load;
    s->told_ms = s->asked_ms = clock_mono_ms();
    if (!s->registered) { /* a known check keeps the status that it has */
        s->status = consul_status(&s->load);
        s->beat_ms = s->told_ms;
    }
    s->registering = true;
    s->call = consul_ask(k,
                         &(struct consul_ask){.method = "PUT",
                                              .path = "/v1/agent/service/register",
                                              .body = buf_as_slice(&body),
                                              .timeout_ms = ASK_MS},
                         on_registered, k);
    buf_done(&body);
}

/* ---- a beat ---- */

/* The first time that isn't the lane's failure: the agent is there, it began anew. What it knew of
 * others may be gone as well: trouble. */
static void forgotten(struct consul *k, const struct http_reply *r)
{
    struct consul_self *s = &k->self;

    s->registered = false;
    if (++s->forgotten > 1) {
        failed(k, r, "remember this node: does consul_url always lead to the same agent?");
        return;
    }
    if (r->status != 404) {
        failed(k, r, RENEW);
        return;
    }
    COORD_COUNT(k->c, answers_bad, 1);
    s->lane.trouble_ms = clock_mono_ms();
    step(k);
}

static void on_beat(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;
    struct consul_self *s = &k->self;

    s->call = NULL;
    if (!r->err && r->status == 200) {
        s->failed_beats = s->forgotten = 0;
        succeeded(k);
        step(k);
        return;
    }
    s->status = NULL;
    s->failed_beats++;
    if (!r->err && (r->status == 404 || r->status == 500)) /* older agents: 500 */
        forgotten(k, r);
    else
        failed(k, r, RENEW);
}

static void beat(struct consul *k)
{
    struct consul_self *s = &k->self;
    struct buf id = BUF_INIT, body = BUF_INIT;

    consul_id(&id, coord_self(k->c));
    s->status = consul_status(&s->load);
    s->beat_ms = s->asked_ms = clock_mono_ms();
    buf_printf(&body, "{\"Status\":\"%s\",\"Output\":\"%s\"}", s->status,
               s->load.draining ? "draining"
               : s->load.ready  ? "ready"
                                : "not ready");
    s->call = consul_ask(k,
                         &(struct consul_ask){.method = "PUT",
                                              .path = "/v1/agent/check/update/",
                                              .name = buf_as_slice(&id),
                                              .body = buf_as_slice(&body),
                                              .timeout_ms = ASK_MS},
                         on_beat, k);
    buf_done(&id);
    buf_done(&body);
}

/* ---- what next? ---- */

static void step(struct consul *k)
{
    struct consul_self *s = &k->self;
    uint64_t now = clock_mono_ms();

    if (s->call)
        return;
    if (!s->registered || consul_load_due(&s->told, &s->load, now - s->told_ms, k->c->others.n + 1))
        tell_all(k);
    else if (s->status != consul_status(&s->load) || now - s->beat_ms >= CONSUL_BEAT_MS)
        beat(k);
    else
        coord_again(k->c, &s->timer, CONSUL_BEAT_MS - (now - s->beat_ms));
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct consul_self *s = container_of(w, struct consul_self, timer);

    (void)loop, (void)events;
    if (s->leaving)
        deregister(consul_of(s));
    else
        step(consul_of(s));
}

void consul_self_tell(struct consul *k, const struct coord_load *load)
{
    k->self.load = *load;
    if (consul_load_urgent(&k->self.told, load))
        step(k);
}

void consul_self_start(struct consul *k)
{
    ev_init(&k->self.timer, on_timer);
    proc_random_id(k->self.instance, sizeof(k->self.instance) - 1);
    pthread_mutex_lock(&k->c->lock); /* coord_tell() may be under way already */
    k->self.load = coord_self(k->c)->load;
    pthread_mutex_unlock(&k->c->lock);
    step(k);
}

/* ---- goodbye ---- */

static void on_left(const struct http_reply *r, void *arg)
{
    struct consul *k = arg;

    (void)r; /* gone or not: its check runs out */
    coord_left(k->c);
}

static void deregister(struct consul *k)
{
    struct consul_self *s = &k->self;
    struct buf id = BUF_INIT;

    ev_timer_stop(k->c->loop, &s->timer);
    http_cancel(s->call);
    consul_id(&id, coord_self(k->c));
    s->call = consul_ask(k,
                         &(struct consul_ask){.method = "PUT",
                                              .path = "/v1/agent/service/deregister/",
                                              .name = buf_as_slice(&id),
                                              .body = SLICE(""),
                                              .timeout_ms = ASK_MS},
                         on_left, k);
    buf_done(&id);
}

/* A registration under way is waited for, a moment: the agent might take it behind the goodbye. */
void consul_self_leave(struct consul *k)
{
    struct consul_self *s = &k->self;

    s->leaving = true;
    if (s->registering)
        coord_again(k->c, &s->timer, LAST_MS);
    else
        deregister(k);
}
