/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_watch.c: who else is there: a blocking query for each service and datacenter.
 *
 * An answer replaces what the watch knew. Not quite, shortly after some trouble with Consul (it
 * didn't answer, was slow, began anew): then all checks may have run out, and whoever is missing
 * stays for CONSUL_GRACE_MS after the trouble. Failing: what is known stays. @thread coord
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/io/coord_consul.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#define ASK_MS   5000
#define HURRY_MS 300

static void ask(struct consul_watch *w);

static void show(struct consul *k)
{
    struct coord_list all = {NULL, 0, 0};

    for (size_t i = 0; i < k->watch_count; i++)
        for (size_t m = 0; m < k->watches[i].shown.n; m++)
            coord_list_add(&all, &k->watches[i].shown.v[m]);
    coord_seen(k->c, &all);
}

static uint64_t trouble_ms(const struct consul_watch *w)
{
    uint64_t self = consul_self_trouble_ms(w->k);

    return self > w->lane.trouble_ms ? self : w->lane.trouble_ms;
}

/* Takes the answer as what is shown; in times of trouble beside those it doesn't have any more. */
static void settle(struct consul_watch *w)
{
    uint64_t now = clock_mono_ms(), until = trouble_ms(w) + CONSUL_GRACE_MS;
    bool is_trouble = trouble_ms(w) && now < until;
    struct coord_list shown = {NULL, 0, 0};

    for (size_t i = 0; i < w->answer.n; i++)
        coord_list_add(&shown, &w->answer.v[i]);
    for (size_t i = 0; is_trouble && i < w->shown.n; i++)
        if (!coord_list_find(&w->answer, &w->shown.v[i]))
            coord_list_add(&shown, &w->shown.v[i]);
    if (is_trouble && shown.n > w->answer.n)
        coord_again(w->k->c, &w->grace, until - now);
    coord_list_done(&w->shown);
    w->shown = shown;
    show(w->k);
}

static void on_grace(struct ev_loop *loop, struct ev_timer *t, int events)
{
    struct consul_watch *w = container_of(t, struct consul_watch, grace);

    (void)loop, (void)events;
    if (!w->lane.state.failures)
        settle(w);
}

static void failed(struct consul_watch *w, const struct http_reply *r)
{
    char what[200];

    snprintf(what, sizeof(what), "tell the %s%s%s", w->role == COORD_EDGE ? "edges" : "workers",
             w->datacenter[0] ? " of datacenter " : "", w->datacenter);
    w->index = 0;
    coord_again(w->k->c, &w->timer, consul_lane_bad(w->k, &w->lane, r, what));
}

static void accept(struct consul_watch *w, struct coord_list *live, const char *header)
{
    uint64_t index = consul_next_index(w->index, header);

    if (w->index && !index)
        w->lane.trouble_ms = clock_mono_ms(); /* it began anew */
    w->index = index;
    consul_lane_good(w->k, &w->lane);
    coord_list_done(&w->answer);
    w->answer = *live;
    settle(w);
    coord_again(w->k->c, &w->timer, consul_pause_ms(w->answer.n, index));
}

bool consul_watch_is_blind(const struct consul *k)
{
    const struct consul_self *s = &k->self;
    bool has_self = false;

    for (size_t i = 0; i < k->watch_count; i++)
        has_self = has_self || k->watches[i].has_self;
    return !has_self && s->registered && clock_mono_ms() - s->registered_ms > CONSUL_BLIND_MS;
}

/* ---- which of them are lost ---- */

static const struct consul_lane *down_of(const struct consul_watch two[2])
{
    return two[0].lane.state.down ? &two[0].lane : two[1].lane.state.down ? &two[1].lane : NULL;
}

/* Until its own datacenter is known, any one that answers will do. */
const struct consul_lane *consul_watch_lost(const struct consul *k)
{
    const struct consul_lane *down = NULL;

    for (size_t i = 0; i < k->watch_count; i += 2) {
        down = down_of(&k->watches[i]);
        if (k->own ? k->own == k->watches[i].datacenter : !down)
            return down;
    }
    return down;
}

void consul_watch_tell(struct consul *k)
{
    int64_t lost = 0;
    bool is_told = !k->c->lost_ms;

    if (!k->own)
        return;
    for (size_t i = 0; i < k->watch_count; i += 2) {
        struct consul_watch *w = &k->watches[i];
        const struct consul_lane *down = w->datacenter == k->own ? NULL : down_of(w);

        lost += down != NULL;
        if (!is_told)
            continue;
        if (down && !w->told_lost)
            log_warn("datacenter_lost", " datacenter=%s members=%zu why=%s",
                     log_value(slice_of(w->datacenter)), w[0].shown.n + w[1].shown.n,
                     log_value(slice_of(down->why)));
        else if (!down && w->told_lost)
            log_info("datacenter_back", " datacenter=%s members=%zu",
                     log_value(slice_of(w->datacenter)), w[0].shown.n + w[1].shown.n);
        w->told_lost = down != NULL;
    }
    metric_set(&k->c->metrics->datacenters_lost, lost);
}

/* ---- answers ---- */

static void on_answer(const struct http_reply *r, void *arg)
{
    const struct http_reply filtered = {
        .status = 403, .body = SLICE("the answer is filtered by ACLs"), .why = ""};
    const struct http_reply blind = {
        .status = 403,
        .body = SLICE("this node itself is in no answer; is its datacenter in consul_datacenters?"),
        .why = ""};
    const struct http_reply unreadable = {
        .status = 200, .body = SLICE("an answer that can't be read"), .why = ""};
    struct consul_watch *w = arg;
    const char *cut = http_reply_header(r, "X-Consul-Results-Filtered-By-ACLs");
    struct consul_seen found;

    w->call = NULL;
    if (r->err || r->status != 200) {
        failed(w, r);
        return;
    }
    if (cut && !strcmp(cut, "true")) {
        failed(w, &filtered);
        return;
    }
    if (consul_members(r->body, w->role, coord_self(w->k->c), &found)) {
        failed(w, &unreadable);
        return;
    }
    w->has_self = found.has_self;
    if (w->has_self)
        w->k->own = w->datacenter;
    if (w->role == coord_self(w->k->c)->role && consul_watch_is_blind(w->k)) {
        coord_list_done(&found.live);
        failed(w, &blind);
        return;
    }
    accept(w, &found.live, http_reply_header(r, "X-Consul-Index"));
}

static void ask(struct consul_watch *w)
{
    const char *service = consul_service(w->role);

    w->call =
        consul_ask(w->k,
                   &(struct consul_ask){.method = "GET",
                                        .path = "/v1/health/service/",
                                        .name = slice_of(service),
                                        .datacenter = w->datacenter,
                                        .index = w->index,
                                        .timeout_ms = (w->index ? CONSUL_BLOCKED_MS : 0) + ASK_MS},
                   on_answer, w);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *t, int events)
{
    (void)loop, (void)events;
    ask(container_of(t, struct consul_watch, timer));
}

static void hurry(struct consul_watch *w)
{
    uint32_t random;

    http_cancel(w->call);
    w->call = NULL;
    w->index = 0;
    proc_random(&random, sizeof(random));
    coord_again(w->k->c, &w->timer, random % HURRY_MS);
}

void consul_watch_hurry(struct consul *k, bool all)
{
    for (size_t i = 0; i < k->watch_count; i++)
        if (all || k->watches[i].index)
            hurry(&k->watches[i]);
    consul_kv_hurry(k);
    consul_lock_hurry(k);
}

void consul_watch_start(struct consul *k)
{
    size_t n = k->conf->consul_datacenters.n ? k->conf->consul_datacenters.n : 1;

    k->watch_count = 2 * n;
    k->watches = mem_zalloc(k->watch_count * sizeof(*k->watches));
    for (size_t i = 0; i < k->watch_count; i++) {
        struct consul_watch *w = &k->watches[i];

        w->k = k;
        w->role = i % 2 ? COORD_WORKER : COORD_EDGE;
        w->datacenter = k->conf->consul_datacenters.n ? k->conf->consul_datacenters.v[i / 2] : "";
        ev_init(&w->timer, on_timer);
        ev_init(&w->grace, on_grace);
        ask(w);
    }
}

void consul_watch_stop(struct consul *k)
{
    for (size_t i = 0; i < k->watch_count; i++) {
        coord_list_done(&k->watches[i].answer);
        coord_list_done(&k->watches[i].shown);
    }
    free(k->watches);
}
