/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_kube.c: the Kubernetes backend of coord: one request at a time, a list or the watch that
 * goes on from it.
 *
 * A watch ends by itself after KUBE_WATCH_S and is asked again from the version that it came to;
 * whatever goes wrong, the next thing asked is a list. So nothing is missed, and a connection that
 * is no more is noticed. What is known stays until a list says otherwise.
 *
 * A Service that is deleted loses its slices one by one, and nothing tells that from one that needs
 * less of them. So who was in a slice that is gone stays for SETTLE_MS, and when no slice is left,
 * all stay. @thread coord
 */
#include "common/io/coord_kube.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/conf.h"
#include "common/runtime/proc.h"

#define LIST_MAX        MIB(32)
#define LIST_MS         5000
#define CONNECT_MS      1000
#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS  2000
#define PAUSE_MS        1000 /* between two lists, or watches, at least */
#define CALM_MS         500
#define CALM_TICKS      3    /* of an answered watch that is well: for over a second */
#define SETTLE_MS       2000 /* one deleted by hand is made anew after the controller's second */

struct kube {
    struct coord *c;
    struct http *http;
    struct http_call *call;
    struct ev_timer timer, settle, calm;
    struct kube_slices slices;
    struct buf base, space, line; /* line: of the watch, not yet whole */
    uint64_t asked_ms;
    int calm_ticks;
    /* Two, for a right to list alone would else look like a service that comes and goes. A watch
     * that broke off is no failure of either: the list that follows is, or isn't; but what is down
     * stays so until a watch lasts. */
    struct coord_lane lists, watches;
    bool is_expired; /* the watch: nobody knows its version any more */
    int wrong;       /* the watch: -errno, and said says why it ended */
    char said[KUBE_SAID_MAX];
};

static void ask(struct kube *k);

static const char *file_of(const struct kube *k, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", k->c->conf->kubernetes_account, name);
    return path;
}

static void show(struct kube *k)
{
    struct coord_list all = {NULL, 0, 0};

    kube_slices_all(&k->slices, &all);
    coord_seen(k->c, &all);
}

/* Without a version a list is to come, which says it all. */
static void on_settle(struct ev_loop *loop, struct ev_timer *t, int events)
{
    struct kube *k = container_of(t, struct kube, settle);

    (void)loop, (void)events;
    if (!kube_slices_left(&k->slices) || !k->slices.version[0])
        return;
    kube_slices_settle(&k->slices);
    show(k);
}

/* ---- does it answer? ---- */

static uint64_t random_below(uint64_t n)
{
    uint64_t random;

    proc_random(&random, sizeof(random));
    return random % n;
}

static void again(struct kube *k, uint64_t ms)
{
    coord_again(k->c, &k->timer, ms);
}

/* A pause with some chance in it, longer if what was asked came to its end at once. */
static void again_soon(struct kube *k)
{
    uint64_t lasted = clock_mono_ms() - k->asked_ms;

    again(k, (lasted < PAUSE_MS ? PAUSE_MS - lasted : 0) + random_below(BACKOFF_BASE_MS));
}

static void up(struct kube *k, struct coord_lane *l)
{
    bool was_down = l->down;

    coord_lane_succeeded(l);
    if (was_down && !k->lists.down && !k->watches.down)
        coord_back(k->c);
}

static void good(struct kube *k, struct coord_lane *l)
{
    COORD_COUNT(k->c, answers_good, 1);
    up(k, l);
}

/* A watch that is answered may be long without news, or end in an error at once: it must last. */
static void on_calm(struct ev_loop *loop, struct ev_timer *t, int events)
{
    struct kube *k = container_of(t, struct kube, calm);

    (void)loop, (void)events;
    if (http_call_status(k->call) == 200 && ++k->calm_ticks == CALM_TICKS)
        up(k, &k->watches);
    else
        coord_again(k->c, &k->calm, CALM_MS);
}

static void bad(struct kube *k, struct coord_lane *l, int kind, const char *why)
{
    COORD_COUNT(k->c, answers_bad, 1);
    k->slices.version[0] = '\0';
    if (coord_lane_failed(l, kind))
        coord_lost(k->c, l, why);
    again(k,
          coord_backoff_ms(l->failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS, random_below(UINT64_MAX)));
}

static void refused(struct kube *k, struct coord_lane *l, const struct http_reply *r)
{
    char said[KUBE_SAID_MAX], why[COORD_WHY_MAX];

    kube_said(r->body, said);
    if (r->err)
        snprintf(why, sizeof(why),
                 "the API server at %s doesn't answer (%s): kubernetes_url, or a NetworkPolicy "
                 "that lets edges reach it",
                 k->base.p, r->why);
    else if (r->status == 401)
        snprintf(why, sizeof(why),
                 "the API server at %s doesn't take the token in %s (401: %s): is it of this "
                 "cluster, and its ServiceAccount still there?",
                 k->base.p, k->c->conf->kubernetes_account, said);
    else if (r->status == 403)
        snprintf(why, sizeof(why),
                 "the ServiceAccount may not see who is there (403: %s): bind a Role with list and "
                 "watch of endpointslices (discovery.k8s.io) in namespace %s to it, as "
                 "k8s/components/without-consul does",
                 said, k->space.p);
    else
        snprintf(why, sizeof(why), "the API server at %s can't tell who is there (%d: %s)",
                 k->base.p, r->status, said);
    bad(k, l, r->err ? r->err : r->status, why);
}

/* ---- a list ---- */

static void on_list(const struct http_reply *r, void *arg)
{
    struct kube *k = arg;
    struct kube_slices listed;
    char why[COORD_WHY_MAX];

    k->call = NULL;
    if (r->err || r->status != 200) {
        refused(k, &k->lists, r);
        return;
    }
    if (kube_list(r->body, coord_self(k->c), &listed)) {
        bad(k, &k->lists, -ENODATA, "the API server's list of EndpointSlices can't be read");
        return;
    }
    if (!listed.n) { /* ours are there as long as the Service is: it is another one */
        kube_slices_done(&listed);
        snprintf(why, sizeof(why),
                 "namespace %s has no EndpointSlices of a Service %s: set kubernetes_service to "
                 "the edges' headless one",
                 k->space.p, k->c->conf->kubernetes_service);
        bad(k, &k->lists, -ENOENT, why);
        return;
    }
    kube_slices_done(&k->slices);
    k->slices = listed;
    show(k);
    good(k, &k->lists);
    ask(k);
}

/* ---- a watch ---- */

/* false: the watch is over. */
static bool on_line(struct kube *k, struct slice line, bool *changed)
{
    switch (kube_event(line, coord_self(k->c), &k->slices, k->said)) {
    case KUBE_EVENT_CHANGE:
        *changed = true;
        return true;
    case KUBE_EVENT_DELETED:
        coord_again(k->c, &k->settle, SETTLE_MS);
        if (kube_slices_left(&k->slices))
            return true;
        snprintf(k->said, sizeof(k->said), "no EndpointSlice is left");
        k->wrong = -ENOENT;
        return false;
    case KUBE_EVENT_NOTHING:
        return true;
    case KUBE_EVENT_EXPIRED:
        k->is_expired = true;
        return false;
    case KUBE_EVENT_ERROR:
        k->wrong = -EPROTO;
        return false;
    }
    return false;
}

static bool take_lines(struct kube *k, bool *changed)
{
    const char *end;
    size_t done = 0;
    bool goes_on = true;

    while (goes_on && (end = memchr(k->line.p + done, '\n', k->line.n - done))) {
        size_t n = (size_t)(end - k->line.p) - done;
        if (n)
            goes_on = on_line(k, (struct slice){k->line.p + done, n}, changed);
        done += n + 1;
    }
    buf_consume(&k->line, done);
    buf_shrink(&k->line, KIB(64));
    return goes_on;
}

static bool on_part(struct slice bytes, void *arg)
{
    struct kube *k = arg;
    bool changed = false, goes_on;

    buf_slice(&k->line, bytes);
    goes_on = take_lines(k, &changed);
    if (k->line.n > KUBE_ENTRY_MAX) {
        snprintf(k->said, sizeof(k->said), "an event of over %zu bytes", KUBE_ENTRY_MAX);
        k->wrong = -E2BIG;
        goes_on = false;
    }
    if (changed)
        show(k);
    return goes_on;
}

static void on_watch_end(const struct http_reply *r, void *arg)
{
    struct kube *k = arg;
    bool lasted = clock_mono_ms() - k->asked_ms >= PAUSE_MS;
    char why[COORD_WHY_MAX];

    k->call = NULL;
    ev_timer_stop(k->c->loop, &k->calm);
    if (k->is_expired || (!r->err && r->status == 410)) {
        k->slices.version[0] = '\0';
        again_soon(k);
    } else if (k->wrong) {
        snprintf(why, sizeof(why), "the API server ended the watch (%s)", k->said);
        bad(k, &k->watches, k->wrong, why);
    } else if (!k->watches.down && (r->err || (r->status == 200 && !lasted))) {
        /* is it away? A list will say */
        COORD_COUNT(k->c, answers_bad, 1);
        k->slices.version[0] = '\0';
        again_soon(k);
    } else if (r->status != 200) {
        refused(k, &k->watches, r);
    } else if (!lasted) {
        bad(k, &k->watches, -ESTALE, "the API server ends each watch at once: is it a proxy?");
    } else {
        good(k, &k->watches);
        again_soon(k);
    }
}

/* ---- asking ---- */

/* The token is a file that is written anew before it runs out: read each time. */
static bool add_token(struct kube *k, struct buf *header)
{
    struct buf why = BUF_INIT, token = BUF_INIT;
    char path[512];
    bool good = conf_file_text(file_of(k, "token", path), "the pod's token", &token, &why) == 0;

    for (size_t i = 0; i < token.n; i++)
        good = good && token.p[i] > ' ' && token.p[i] < 127;
    buf_lit(header, "Authorization: Bearer ");
    buf_slice(header, buf_as_slice(&token));
    buf_byte(header, '\0');
    conf_wipe(&token);
    if (!good) {
        while (why.n && why.p[why.n - 1] == '\n')
            why.n--;
        buf_byte(&why, '\0');
        bad(k, &k->lists, -EPERM, why.n > 1 ? why.p : "the pod's token is none");
    }
    buf_done(&why);
    return good;
}

static void ask(struct kube *k)
{
    struct buf url = BUF_INIT, token = BUF_INIT;
    const struct kube_ask what = {.base = k->base.p,
                                  .space = k->space.p,
                                  .service = k->c->conf->kubernetes_service,
                                  .version = k->slices.version};
    bool watches = k->slices.version[0];

    k->asked_ms = clock_mono_ms();
    k->is_expired = false;
    k->wrong = k->calm_ticks = 0;
    buf_clear(&k->line);
    if (add_token(k, &token)) {
        const char *const headers[] = {"Accept: application/json", token.p, NULL};
        kube_url(&url, &what);
        k->call = http_start(
            k->http,
            &(struct http_request){.method = "GET",
                                   .url = url.p,
                                   .headers = headers,
                                   .timeout_ms = LIST_MS + (watches ? 1000 * KUBE_WATCH_S : 0),
                                   .connect_ms = CONNECT_MS,
                                   .reply_max = LIST_MAX,
                                   .part = watches ? on_part : NULL},
            watches ? on_watch_end : on_list, k);
        if (watches)
            coord_again(k->c, &k->calm, CALM_MS);
    }
    buf_done(&url);
    conf_wipe(&token);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *t, int events)
{
    (void)loop, (void)events;
    ask(container_of(t, struct kube, timer));
}

/* ---- the table ---- */

static void start(struct coord *c)
{
    struct kube *k = mem_zalloc(sizeof(*k));
    struct buf errors = BUF_INIT;
    char path[512];

    c->state = k;
    k->c = c;
    ev_init(&k->timer, on_timer);
    ev_init(&k->settle, on_settle);
    ev_init(&k->calm, on_calm);
    coord_conf_kubernetes(c->conf, &k->base, &k->space, &errors); /* was good at boot */
    buf_done(&errors);
    k->http = http_new(c->loop, &(struct http_opts){.ca_file = file_of(k, "ca.crt", path)});
    ask(k);
}

/* The kubelet tells for us. */
static void tell(struct coord *c, const struct coord_load *load)
{
    (void)c, (void)load;
}

static void leave(struct coord *c)
{
    coord_left(c);
}

static void close_backend(struct coord *c)
{
    struct kube *k = c->state;

    http_free(k->http);
    kube_slices_done(&k->slices);
    buf_done(&k->base);
    buf_done(&k->space);
    buf_done(&k->line);
    free(k);
}

const struct coord_backend coord_kube = {.start = start,
                                         .tell = tell,
                                         .leave = leave,
                                         .close = close_backend};
