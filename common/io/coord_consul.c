/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul.c: the Consul backend of coord: asking the agent, and whether it answers.
 *
 * The registration is a lane, and so is each watch. The service counts as lost while the first is
 * down, or a watch of this node's datacenter, so that one late answer isn't told as a loss. Another
 * datacenter that isn't heard of is told apart. @thread coord
 */
#include "common/io/coord_consul.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/proc.h"

#define REPLY_MAX       MIB(16)
#define CONNECT_MS      1000
#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS  2000

/* ---- asking ---- */

struct http_call *consul_ask(struct consul *k, const struct consul_ask *ask, http_done_fn *done,
                             void *arg)
{
    const char *const headers[] = {"Content-Type: application/json", k->token, NULL};
    struct buf url = BUF_INIT;
    struct http_call *call;

    consul_url(&url, k->conf, ask);
    call = http_start(k->http,
                      &(struct http_request){.method = ask->method,
                                             .url = url.p,
                                             .headers = headers,
                                             .body = ask->body,
                                             .timeout_ms = ask->timeout_ms,
                                             .connect_ms = CONNECT_MS,
                                             .reply_max = REPLY_MAX},
                      done, arg);
    buf_done(&url);
    return call;
}

void consul_stop(struct consul *k, struct ev_timer *t)
{
    ev_timer_stop(k->c->loop, t);
}

/* ---- tasks ---- */

int consul_task_post(struct consul_task *t, struct coord *c, const char *key)
{
    if (c->backend != &coord_consul)
        return -ENOTSUP;
    t->c = c;
    t->key = mem_strdup(key);
    list_init(&t->node);
    if (coord_post(c, &t->begin))
        return 0;
    free(t->key);
    return -ECANCELED;
}

void consul_task_done(struct consul_task *t)
{
    list_del(&t->node);
    http_cancel(t->call);
    consul_stop(t->c->state, &t->timer);
    free(t->key);
}

/* ---- does it answer? ---- */

/* failed: the lane that just did, with news, or NULL. While Consul is lost, another reason is told
 * only by the lane that it is lost for now; until the own datacenter is known, by any watch. */
static void judge(struct consul *k, const struct consul_lane *failed)
{
    const struct consul_lane *l = k->self.lane.state.down ? &k->self.lane : consul_watch_lost(k);

    if (l && failed && l != &k->self.lane && !k->own)
        l = failed;
    if (!l)
        coord_back(k->c);
    else if (l == failed || !k->c->lost_ms)
        coord_lost(k->c, &l->state, l->why);
}

void consul_lane_good(struct consul *k, struct consul_lane *l)
{
    COORD_COUNT(k->c, answers_good, 1);
    coord_lane_succeeded(&l->state);
    judge(k, NULL);
}

static void explain(struct consul *k, const struct http_reply *r, const char *what,
                    char why[COORD_WHY_MAX])
{
    const char *url = k->conf->consul_url;
    int n = r->body.n < 200 ? (int)r->body.n : 200;

    if (r->err)
        snprintf(why, COORD_WHY_MAX,
                 "Consul at %s doesn't answer (%s): start an agent there, or set consul_url", url,
                 r->why);
    else if (r->status == 401 || r->status == 403)
        snprintf(
            why, COORD_WHY_MAX,
            "Consul at %s doesn't let us %s (%d: %.*s): set consul_token to one with service:write "
            "for %s, service:read for fanfare-edge and fanfare-worker, and node:read",
            url, what, r->status, n, r->body.p, consul_service(coord_self(k->c)->role));
    else
        snprintf(why, COORD_WHY_MAX, "Consul at %s can't %s (%d: %.*s)", url, what, r->status, n,
                 r->body.p);
}

uint64_t consul_lane_bad(struct consul *k, struct consul_lane *l, const struct http_reply *r,
                         const char *what)
{
    bool is_news = coord_lane_failed(&l->state, r->err ? r->err : r->status);
    uint64_t random;

    COORD_COUNT(k->c, answers_bad, 1);
    l->trouble_ms = clock_mono_ms();
    if (l->state.down)
        explain(k, r, what, l->why);
    if (is_news)
        judge(k, l);
    proc_random(&random, sizeof(random));
    return coord_backoff_ms(l->state.failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS, random);
}

/* ---- the table ---- */

static void start(struct coord *c)
{
    struct consul *k = mem_zalloc(sizeof(*k));
    const struct http_opts opts = {.ca_file = c->conf->consul_ca,
                                   .cert_file = c->conf->consul_cert,
                                   .key_file = c->conf->consul_key};

    c->state = k;
    k->c = c;
    k->conf = c->conf;
    k->http = http_new(c->loop, &opts);
    if (k->conf->consul_token[0]) {
        struct buf line = BUF_INIT;
        buf_printf(&line, "X-Consul-Token: %s", k->conf->consul_token);
        buf_byte(&line, '\0');
        k->token = line.p;
    }
    consul_kv_start(k);
    consul_session_start(k);
    consul_lock_start(k);
    consul_self_start(k);
    consul_watch_start(k);
}

static void tell(struct coord *c, const struct coord_load *load)
{
    consul_self_tell(c->state, load);
}

static void leave(struct coord *c)
{
    struct consul *k = c->state;

    consul_kv_stop(k);
    consul_lock_stop(k);
}

static void close_backend(struct coord *c)
{
    struct consul *k = c->state;

    consul_lock_close(k);
    http_free(k->http);
    consul_watch_stop(k);
    if (k->token)
        explicit_bzero(k->token, strlen(k->token));
    free(k->token);
    free(k);
}

const struct coord_backend coord_consul = {.start = start,
                                           .tell = tell,
                                           .leave = leave,
                                           .close = close_backend};
