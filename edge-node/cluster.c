/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.c: see cluster.h. The view's members are copied: a shard never waits for the view, and
 * the guesses of who was sent where live on with their members.
 */
#include "edge-node/cluster.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/rendezvous.h"
#include "common/io/coord.h"

#define EDGES_MAX 256 /* of all regions, this one first; more are not sent any clients */
#define HERE_MAX  5   /* endpoints of this region; others' are behind them */
#define RATE_MIN  0.1 /* of a connect rate, however busy the edge is */

struct edge {
    uint64_t hash;
    struct rendezvous_guess guess;
    struct coord_load load;
    bool is_self, is_here, is_untold; /* is_here: of this region */
    char url[CLUSTER_URL_MAX], node[CLUSTER_NAME_MAX], region[CLUSTER_NAME_MAX];
};

struct cluster {
    pthread_mutex_t lock;
    uint64_t version, asked;
    bool is_lost; /* what is known of the others gets older and older */
    size_t n;
    struct edge *edges; /* EDGES_MAX of them */
};

struct cluster *cluster_new(void)
{
    struct cluster *c = mem_zalloc(sizeof(*c));

    must(pthread_mutex_init(&c->lock, NULL) == 0);
    c->edges = mem_zalloc(sizeof(*c->edges) * EDGES_MAX);
    return c;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->edges);
    free(c);
}

/* ---- the view ---- */

static struct edge *find(struct cluster *c, uint64_t hash)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->edges[i].hash == hash)
            return &c->edges[i];
    return NULL;
}

/* It goes into JSON and HTTP headers: one of other characters, or too long, is none. */
static bool is_url(const char *text)
{
    size_t n = 0;

    while (text[n] > ' ' && text[n] < 127)
        n++;
    return !text[n] && n < CLUSTER_URL_MAX;
}

static void copy(char *dst, size_t size, const char *src)
{
    (void)snprintf(dst, size, "%s", src);
}

static const struct coord_member *self_of(const struct coord_view *v)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->members[i].is_self)
            return &v->members[i];
    return NULL;
}

/* Numbers that aren't told are taken to be this edge's: those of one Service are alike. */
static struct coord_load load_of(const struct coord_member *m, const struct coord_member *self)
{
    struct coord_load l = m->is_untold && self ? self->load : m->load;

    l.ready = m->load.ready;
    l.draining = m->load.draining;
    return l;
}

static void take_in(struct cluster *c, const struct coord_member *m,
                    const struct coord_member *self, struct edge *e, uint64_t now_ms)
{
    uint64_t hash = rendezvous_hash(slice_of(m->node));
    const struct edge *was = find(c, hash);

    *e = (struct edge){
        .hash = hash, .load = load_of(m, self), .is_self = m->is_self, .is_untold = m->is_untold};
    if (was) {
        e->guess = was->guess;
        if (was->load.clients != e->load.clients)
            rendezvous_told(&e->guess, (double)e->load.clients, now_ms);
    } else {
        rendezvous_told(&e->guess, (double)e->load.clients, now_ms);
    }
    if (is_url(m->url))
        copy(e->url, sizeof(e->url), m->url);
    copy(e->node, sizeof(e->node), m->node);
    copy(e->region, sizeof(e->region), m->region);
}

struct taking {
    const struct coord_view *view;
    const struct coord_member *self;
    const char *region; /* this edge's */
    uint64_t now_ms;
    struct edge *edges;
    size_t n;
};

static void take_all(struct cluster *c, struct taking *t, bool here)
{
    for (size_t i = 0; i < t->view->count && t->n < EDGES_MAX; i++) {
        const struct coord_member *m = &t->view->members[i];
        if (m->role != COORD_EDGE || (strcmp(m->region, t->region) == 0) != here)
            continue;
        take_in(c, m, t->self, &t->edges[t->n], t->now_ms);
        t->edges[t->n].is_here = here;
        t->n++;
    }
}

/* This region's first: if there are more than we keep, others' are missing. */
void cluster_see(struct cluster *c, const struct coord_view *v, uint64_t now_ms)
{
    const struct coord_member *self = self_of(v);
    struct taking t = {
        .view = v, .self = self, .region = self ? self->region : "", .now_ms = now_ms};

    pthread_mutex_lock(&c->lock);
    if (v->version != c->version) {
        t.edges = mem_zalloc(sizeof(*t.edges) * EDGES_MAX);
        take_all(c, &t, true);
        take_all(c, &t, false);
        free(c->edges);
        c->edges = t.edges;
        c->n = t.n;
        c->version = v->version;
        c->is_lost = v->lost_ms > 0;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- whom ---- */

struct choice {
    size_t n;
    size_t at[EDGES_MAX]; /* in edges */
    struct rendezvous_node v[EDGES_MAX];
    size_t order[EDGES_MAX];
};

static double room_left(const struct edge *e, uint64_t now_ms)
{
    double left = (double)e->load.room - rendezvous_guessed(&e->guess, now_ms);

    return left > 0 ? left : 0;
}

/* Those of this region, or of the others; with rooms as weights if all of them have said theirs. */
static void choose(const struct cluster *c, bool here, uint64_t now_ms, struct choice *ret)
{
    bool weigh = true;

    ret->n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct edge *e = &c->edges[i];
        if (e->load.draining || e->is_here != here || !e->url[0])
            continue;
        weigh = weigh && e->load.room > 0;
        ret->at[ret->n++] = i;
    }
    for (size_t i = 0; i < ret->n; i++) {
        const struct edge *e = &c->edges[ret->at[i]];
        ret->v[i] = (struct rendezvous_node){.hash = e->hash,
                                             .weight = weigh ? (double)e->load.room : 1,
                                             .load = rendezvous_guessed(&e->guess, now_ms)};
    }
}

static bool takes_clients(const struct edge *e, uint64_t now_ms)
{
    return e->load.ready && (!e->load.room || room_left(e, now_ms) >= 1);
}

/* Shares are of those who take clients, and of this edge: who is left out is no place to go to. */
static void leave_out_others(const struct cluster *c, struct choice *ch, uint64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < ch->n; i++) {
        const struct edge *e = &c->edges[ch->at[i]];
        if (!e->is_self && !takes_clients(e, now_ms))
            continue;
        ch->at[n] = ch->at[i];
        ch->v[n++] = ch->v[i];
    }
    ch->n = n;
}

/* Those who aren't ready, or are full, are better than nobody: last. */
static void last_are_unready(const struct cluster *c, struct choice *ch, uint64_t now_ms)
{
    size_t good = 0, bad = 0, later[EDGES_MAX];

    for (size_t i = 0; i < ch->n; i++) {
        const struct edge *e = &c->edges[ch->at[ch->order[i]]];
        if (takes_clients(e, now_ms))
            ch->order[good++] = ch->order[i];
        else
            later[bad++] = ch->order[i];
    }
    memcpy(&ch->order[good], later, sizeof(later[0]) * bad);
}

static bool is_told(const struct cluster_endpoint *v, size_t n, const char *url)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].url, url) == 0)
            return true;
    return false;
}

/* Behind the n that are there, up to `most` in all. Edges behind one address, a balancer's, are one
 * place to go to. */
static size_t put(const struct cluster *c, const struct choice *ch, size_t most,
                  struct cluster_endpoint *ret, size_t n)
{
    for (size_t i = 0; i < ch->n && n < most; i++) {
        const struct edge *e = &c->edges[ch->at[ch->order[i]]];
        if (is_told(ret, n, e->url))
            continue;
        copy(ret[n].url, sizeof(ret[n].url), e->url);
        copy(ret[n].node, sizeof(ret[n].node), e->node);
        copy(ret[n].region, sizeof(ret[n].region), e->region);
        n++;
    }
    return n;
}

static void order_for(struct choice *ch, struct slice place, uint64_t any)
{
    if (place.n)
        rendezvous_order(rendezvous_hash(place), ch->v, ch->n, CLUSTER_BOUND, ch->order);
    else
        rendezvous_emptiest(any, ch->v, ch->n, ch->order);
}

size_t cluster_place(struct cluster *c, struct slice place, uint64_t now_ms,
                     struct cluster_endpoint ret[CLUSTER_ENDPOINTS_MAX])
{
    struct choice ch;
    uint64_t any;
    size_t n;

    pthread_mutex_lock(&c->lock);
    any = hash_u64(now_ms << 20 ^ c->asked++);
    choose(c, true, now_ms, &ch);
    order_for(&ch, place, any);
    last_are_unready(c, &ch, now_ms);
    n = put(c, &ch, HERE_MAX, ret, 0);
    if (n) /* as many as we send are sent by each of the others, if they are asked as often */
        rendezvous_sent(&c->edges[ch.at[ch.order[0]]].guess, (double)ch.n, now_ms);
    choose(c, false, now_ms, &ch);
    order_for(&ch, place, any);
    last_are_unready(c, &ch, now_ms);
    n = put(c, &ch, CLUSTER_ENDPOINTS_MAX, ret, n);
    pthread_mutex_unlock(&c->lock);
    return n;
}

bool cluster_is_elsewhere(struct cluster *c, struct slice place)
{
    uint64_t now_ms = clock_mono_ms();
    struct choice ch;
    bool elsewhere = false;
    size_t home;

    pthread_mutex_lock(&c->lock);
    choose(c, true, now_ms, &ch);
    leave_out_others(c, &ch, now_ms);
    if (ch.n) {
        home = rendezvous_home(rendezvous_hash(place), ch.v, ch.n);
        elsewhere =
            !c->edges[ch.at[home]].is_self && rendezvous_surplus(ch.v, ch.n, home, 1, 1) <= 0;
    }
    pthread_mutex_unlock(&c->lock);
    return elsewhere;
}

/* ---- how many ---- */

void cluster_get_spare(struct cluster *c, uint64_t now_ms, struct cluster_spare *ret)
{
    struct cluster_spare s = {0};
    double draining = 0;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n; i++) {
        const struct edge *e = &c->edges[i];
        double idle = 1 - (double)e->load.cpu_permille / 1000;
        if (!e->is_here)
            continue;
        draining += e->load.draining || e->is_self;
        if (e->load.draining || e->is_self || !e->load.ready)
            continue;
        s.edges++;
        s.connect_rate += (double)e->load.connect_rate * (idle > RATE_MIN ? idle : RATE_MIN);
        s.room += e->load.room ? room_left(e, now_ms) : INFINITY;
    }
    pthread_mutex_unlock(&c->lock);
    if (draining > 1) {
        s.connect_rate /= draining;
        s.room /= draining;
    }
    *ret = s;
}

void cluster_sent_away(struct cluster *c, uint32_t n, uint64_t now_ms)
{
    struct choice ch;
    size_t others = 0;

    pthread_mutex_lock(&c->lock);
    choose(c, true, now_ms, &ch);
    for (size_t i = 0; i < ch.n; i++)
        others += !c->edges[ch.at[i]].is_self;
    for (size_t i = 0; i < ch.n; i++) {
        struct edge *e = &c->edges[ch.at[i]];
        if (!e->is_self)
            rendezvous_sent(&e->guess, (double)n / (double)others, now_ms);
    }
    pthread_mutex_unlock(&c->lock);
}

/* Who doesn't know how many the others have can't have too many. */
static bool are_told(const struct cluster *c, const struct choice *ch)
{
    for (size_t i = 0; i < ch->n; i++)
        if (c->edges[ch->at[i]].is_untold)
            return false;
    return true;
}

void cluster_get_standing(struct cluster *c, double clients, double above, uint64_t now_ms,
                          struct cluster_standing *ret)
{
    struct choice ch;

    *ret = (struct cluster_standing){0};
    pthread_mutex_lock(&c->lock);
    choose(c, true, now_ms, &ch);
    leave_out_others(c, &ch, now_ms);
    for (size_t i = 0; i < ch.n && !c->is_lost && are_told(c, &ch); i++) {
        if (!c->edges[ch.at[i]].is_self)
            continue;
        ch.v[i].load = clients;
        ret->share = rendezvous_share(ch.v, ch.n, i, &ret->all);
        ret->surplus = rendezvous_surplus(ch.v, ch.n, i, above, CLUSTER_BOUND);
    }
    pthread_mutex_unlock(&c->lock);
}
