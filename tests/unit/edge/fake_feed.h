/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_feed.h: feed.h's functions over streams that a test writes itself. Include it once in a
 * program: its definitions take the place of feed*.c. Every step is the test's own: nothing moves
 * but by fake_turn(), fake_pass(), fake_serve(). fake_conn.h has the clients. @thread main
 */
#pragma once

#include "common/base/clock.h"

#include "edge-node/feed.h"
#include "edge-node/hub.h"
#include "edge-node/session.h"
#include "tests/unit/edge/edge_test.h"

#define FAKE_PARTS 3
#define FAKE_LOG   "LogAAAA1"

/* The namespaces, by index. "none": its topic is never known. "ahead": log_id is configured. */
enum fake_ns {
    FAKE_DEFAULT,
    FAKE_UNMAPPED,
    FAKE_NONE,
    FAKE_ANY,
    FAKE_AHEAD,
    FAKE_PRIVATE,
    FAKE_NS_COUNT
};

/* One stream entry, in Redis from the stream's `first` on. */
struct fake_rec {
    uint64_t pos, prev;
    bool lost; /* never was in Redis: the next entry's prev tells */
    char channel[24];
    struct slice payload;
};

struct fake_stream {
    struct plog *p;
    struct fake_rec *v;
    size_t n, cap, first;
    uint64_t last; /* position of the newest, lost ones included */
};

struct fake_want {
    struct fake_stream *s;
    uint64_t pos;
    bool backward;
};

struct feed {
    struct turns *turns;
    struct feed_shard shard;
    struct topic_view *views[FAKE_NS_COUNT];
    struct fake_stream streams[FAKE_PARTS];
    uint32_t tailed[FAKE_PARTS]; /* ups minus downs */
    struct fake_want wants[FAKE_PARTS][PLOG_WANTS];
    size_t wants_n[FAKE_PARTS];
    size_t page_records; /* most entries of a page */
    uint32_t
        hide; /* the call of feed_topic() that finds nothing, counted down from here; 0: none */
};

/* A shard without a thread. */
struct fake {
    struct edge_conf conf;
    struct namespace_conf ns_conf[FAKE_NS_COUNT];
    struct conf_item items[FAKE_NS_COUNT];
    struct namespaces nss;
    struct feed feed;
    struct hub hub;
    uint64_t now_ms;
    bool again;
};

/* ---- feed.h's own functions ---- */

const struct topic_view *feed_topic(const struct feed *f, uint32_t ns_index)
{
    uint32_t *hide = &((struct feed *)(uintptr_t)f)->hide;

    if (*hide && --*hide == 0)
        return NULL;
    return f->views[ns_index];
}

struct plog *feed_plog(const struct feed *f, uint32_t id)
{
    return id < FAKE_PARTS ? f->streams[id].p : NULL;
}

void feed_tail(struct feed *f, int shard, struct plog *p, bool on)
{
    (void)shard;
    if (p->id < FAKE_PARTS)
        f->tailed[p->id] += on ? 1 : UINT32_MAX;
}

void feed_want(struct feed *f, int shard, struct plog *p, uint64_t pos, uint64_t how)
{
    bool backward = how & PLOG_WANT_BACKWARD;

    (void)shard;
    for (size_t i = 0; i < f->wants_n[p->id]; i++)
        if (f->wants[p->id][i].pos == pos && f->wants[p->id][i].backward == backward)
            return;
    if (f->wants_n[p->id] < PLOG_WANTS)
        f->wants[p->id][f->wants_n[p->id]++] =
            (struct fake_want){&f->streams[p->id], pos, backward};
}

/* ---- streams ---- */

static inline void fake_signal(struct feed *f, const struct plog *p)
{
    atomic_fetch_or(&f->shard.grown[p->id / 64], 1ull << (p->id % 64));
}

static inline struct fake_stream *fake_stream_of(struct fake *x, const char *channel)
{
    const struct namespace *ns;
    struct slice key;
    int32_t part;

    assert_int_equal(namespaces_of_channel(&x->nss, slice_of(channel), &ns, &key), 0);
    part = partitioner_of(PARTITIONER_MURMUR2, key, FAKE_PARTS);
    return &x->feed.streams[part];
}

/* Writes a record to the stream; with `seen` the edge has read it too. Returns its position. */
static inline uint64_t fake_write(struct fake *x, const char *channel, size_t pad, bool seen)
{
    struct fake_stream *s = fake_stream_of(x, channel);
    struct fake_rec *r;
    uint64_t hash = key_of_name(channel).hash;
    char *text = mem_alloc(pad + 64);
    int n;
    struct entry e;

    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = mem_realloc(s->v, s->cap * sizeof(*s->v));
    }
    r = &s->v[s->n];
    r->pos = s->last + 1 + s->n % 3;
    r->prev = s->n && s->v[s->n - 1].lost ? s->v[s->n - 1].pos : s->last;
    r->lost = false;
    snprintf(r->channel, sizeof(r->channel), "%s", channel);
    n = snprintf(text, pad + 64, "{\"n\":%llu,\"pad\":\"%0*d\"}", (unsigned long long)r->pos,
                 (int)pad, 0);
    r->payload = (struct slice){text, (size_t)n};
    s->last = r->pos;
    s->n++;
    if (seen) {
        e = entry_of(r->pos, r->prev, r->channel, r->payload);
        if (plog_view(s->p).upto < r->prev)
            plog_start(s->p, r->prev, x->feed.turns);
        plog_append(s->p, &e, hash, 0);
        plog_publish(s->p);
        fake_signal(&x->feed, s->p);
    }
    return s->last;
}

/* The edge starts its tail over at the stream's end: what it had not read is in Redis only. */
static inline void fake_restart(struct fake *x, struct fake_stream *s)
{
    plog_start(s->p, s->last, x->feed.turns);
    fake_signal(&x->feed, s->p);
}

/* A record that was in Kafka and comes to no Redis; the next one tells. */
static inline void fake_lose(struct fake *x, const char *channel)
{
    struct fake_stream *s = fake_stream_of(x, channel);

    fake_write(x, channel, 1, false);
    s->v[s->n - 1].lost = true;
}

/* Redis keeps only the newest `keep` entries. */
static inline void fake_trim(struct fake_stream *s, size_t keep)
{
    if (s->n - s->first > keep)
        s->first = s->n - keep;
}

static inline struct page_builder *fake_page(struct feed *f, const struct fake_want *w,
                                             uint64_t *ret_upto)
{
    struct fake_stream *s = w->s;
    struct page_builder *b = page_builder_new(w->pos, w->backward, PLOG_PAGE_BYTES);

    for (size_t i = 0; i < s->n - s->first && page_builder_count(b) < f->page_records; i++) {
        const struct fake_rec *r = &s->v[w->backward ? s->n - 1 - i : s->first + i];
        struct entry e = entry_of(r->pos, r->prev, r->channel, r->payload);
        if (r->lost || (w->backward ? r->pos > w->pos : r->pos <= w->pos))
            continue;
        page_builder_add(b, &e, key_of_name(r->channel).hash);
        *ret_upto = r->pos;
    }
    if (w->backward)
        *ret_upto = w->pos;
    return b;
}

static inline void fake_serve_one(struct feed *f, const struct fake_want *w)
{
    uint64_t upto = 0;
    struct page_builder *b = fake_page(f, w, &upto);

    if (page_builder_count(b) || w->backward) {
        struct plog_page *page = page_builder_take(b, upto, 0);
        page->final = true; /* what is lost is lost in Kafka, too */
        plog_add_page(w->s->p, page);
    } else {
        page_builder_free(b);
    }
    fake_signal(f, w->s->p);
}

/* Answers the wants; true if there was one. */
static inline bool fake_serve(struct fake *x)
{
    struct feed *f = &x->feed;
    bool any = false;

    for (size_t p = 0; p < FAKE_PARTS; p++) {
        any |= f->wants_n[p] > 0;
        for (size_t i = 0; i < f->wants_n[p]; i++)
            fake_serve_one(f, &f->wants[p][i]);
        f->wants_n[p] = 0;
    }
    return any;
}

/* ---- the shard ---- */

static inline void fake_turn(struct fake *x)
{
    x->now_ms++;
    x->again = false;
    hub_turn(&x->hub, x->now_ms);
    turns_reclaim(x->feed.turns);
}

/* Turns until nothing moves any more. */
static inline void fake_settle(struct fake *x)
{
    for (int i = 0; i < 10000; i++) {
        bool moved = fake_serve(x);
        for (size_t k = 0; k < FEED_PLOGS_MAX / 64; k++)
            moved |= atomic_load(&x->feed.shard.grown[k]) != 0;
        if (!moved && !x->again && i)
            return;
        fake_turn(x);
    }
    fail_msg("it never comes to rest");
}

/* Time goes on by ms, in ticks of 100. */
static inline void fake_pass(struct fake *x, uint64_t ms)
{
    for (uint64_t end = x->now_ms + ms; x->now_ms < end;) {
        x->now_ms += 100;
        hub_tick(&x->hub, x->now_ms);
        fake_settle(x);
    }
}

static inline void fake_again(void *arg)
{
    ((struct fake *)arg)->again = true;
}

static inline struct topic_view *fake_view(struct fake *x, enum partitioner partitioner)
{
    struct topic_view *v = mem_zalloc(sizeof(*v) + sizeof(v->plogs[0]) * FAKE_PARTS);

    v->n = 1;
    memcpy(v->log, FAKE_LOG, LOG_ID_LEN);
    v->partitions = FAKE_PARTS;
    v->partitioner = partitioner;
    for (int i = 0; i < FAKE_PARTS; i++)
        v->plogs[i] = x->feed.streams[i].p;
    return v;
}

static inline void fake_namespaces(struct fake *x)
{
    static const char *const names[] = {"", "um", "none", "any", "ahead", "priv"};
    static const char *const topics[] = {"t0", "t1", "t2", "t3", "t4", "t5"};
    struct conf_table table = {x->items, FAKE_NS_COUNT};
    struct buf errors = BUF_INIT;

    for (size_t i = 0; i < FAKE_NS_COUNT; i++) {
        struct namespace_conf *c = &x->ns_conf[i];
        c->topic = (char *)(uintptr_t)topics[i];
        c->log_id = (char *)(uintptr_t)(i == FAKE_AHEAD ? FAKE_LOG : "");
        c->partitioner = i == FAKE_ANY ? PARTITIONER_ANY : PARTITIONER_MURMUR2;
        c->anonymous = i != FAKE_PRIVATE;
        c->history = true;
        x->items[i] = (struct conf_item){(char *)(uintptr_t)names[i], c};
    }
    assert_int_equal(namespaces_init(&x->nss, &table, &errors), 0);
    buf_done(&errors);
}

static inline void fake_init(struct fake *x, uint64_t start)
{
    struct feed *f = &x->feed;

    memset(x, 0, sizeof(*x));
    x->conf = (struct edge_conf){
        .ping_interval = 25000,
        .pong_timeout = 8000,
        .connect_timeout = 5000,
        .write_max = (int64_t)KIB(64),
        .frame_max = (int64_t)KIB(64),
        .channels_max = 128,
        .anonymous = true,
    };
    fake_namespaces(x);
    f->turns = turns_new(1);
    f->page_records = 7;
    for (uint32_t i = 0; i < FAKE_PARTS; i++) {
        f->streams[i].p = plog_new(FAKE_LOG, (int32_t)i, i, 1);
        f->streams[i].last = start;
        plog_start(f->streams[i].p, start, f->turns);
    }
    for (int i = 0; i < FAKE_NS_COUNT; i++)
        if (i != FAKE_NONE)
            f->views[i] = fake_view(x, i == FAKE_ANY ? PARTITIONER_ANY : PARTITIONER_MURMUR2);
    f->views[FAKE_UNMAPPED]->map = TOPIC_UNMAPPED;
    hub_init(&x->hub, &x->conf, &x->nss, f, f->turns);
    x->now_ms = x->hub.now_ms;
    x->hub.inbox = &f->shard;
    x->hub.node = "n1";
    x->hub.again = fake_again;
    x->hub.again_arg = x;
}

/* All sessions were closed. */
static inline void fake_done(struct fake *x)
{
    fake_turn(x);
    hub_done(&x->hub);
    for (size_t i = 0; i < FAKE_PARTS; i++) {
        struct fake_stream *s = &x->feed.streams[i];
        assert_int_equal(x->feed.tailed[i], 0);
        plog_free(s->p);
        for (size_t k = 0; k < s->n; k++)
            free((void *)(uintptr_t)s->v[k].payload.p);
        free(s->v);
    }
    for (size_t i = 0; i < FAKE_NS_COUNT; i++)
        free(x->feed.views[i]);
    turns_free(x->feed.turns);
    namespaces_done(&x->nss);
}
