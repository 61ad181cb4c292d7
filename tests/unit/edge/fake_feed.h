/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_feed.h: feed.h's functions over streams that a test writes itself. Include it once in a
 * program: its definitions take the place of feed*.c. Nothing moves but by what a test calls.
 * fake_shards.h has the shards, fake_conn.h the clients. @thread main
 */
#pragma once

#include "common/base/clock.h"
#include "common/base/index.h"

#include "edge-node/feed.h"
#include "edge-node/hub.h"
#include "edge-node/session.h"
#include "tests/unit/edge/edge_test.h"

#define FAKE_PARTS  3
#define FAKE_LOGS   12 /* incarnations of all topics */
#define FAKE_SHARDS 2
#define FAKE_LOG    "LogAAAAA" /* the first; the last letter counts */

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

/* One stream entry, in Redis from the stream's `first` on, in Kafka from its `kafka` on. */
struct fake_rec {
    uint64_t pos, prev;
    bool lost; /* is nowhere: the next entry's prev tells */
    char channel[24];
    struct slice payload;
};

struct fake_stream {
    struct plog *p; /* NULL: its log ended, and nobody tails it any more */
    struct fake_rec *v;
    size_t n, cap, first, kafka;
    uint64_t last; /* position of the newest, lost ones included */
    /* Its last-position index covers (since, upto]; upto 0: it has none. Lookups that were asked
     * for are answered by fake_serve(). */
    uint64_t index_since, index_upto;
    bool index_open, index_asked, index_serves;
};

struct fake_want {
    uint64_t pos;
    bool backward, region;
};

struct feed {
    struct turns *turns;
    struct feed_shard shards[FAKE_SHARDS];
    struct topic_view *views[FAKE_NS_COUNT];
    int log;                                            /* the newest, from 0 */
    struct fake_stream streams[FAKE_LOGS * FAKE_PARTS]; /* by plog id */
    struct fake_want wants[FAKE_LOGS * FAKE_PARTS][FAKE_SHARDS * PLOG_WANTS];
    size_t wants_n[FAKE_LOGS * FAKE_PARTS];
    size_t page_records; /* most entries of a page */
    uint32_t hide;       /* the call of feed_topic() that finds nothing, counted down; 0: none */
    bool deaf;           /* no page comes */
    bool late;           /* a newer log may be there that this edge hasn't seen */
};

/* Shards without threads; most tests use the first only. */
struct fake {
    struct edge_conf conf;
    struct namespace_conf ns_conf[FAKE_NS_COUNT];
    struct conf_item items[FAKE_NS_COUNT];
    struct namespaces nss;
    struct feed feed;
    union {
        struct hub hub;
        struct hub hubs[FAKE_SHARDS];
    };
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

int32_t feed_partitions(const struct feed *f, uint32_t ns_index)
{
    const struct topic_view *v = f->views[ns_index];
    bool is_mapped = v && v->map == TOPIC_MAPPED && v->partitioner != PARTITIONER_ANY;

    return is_mapped ? v->partitions : 0;
}

bool feed_is_old_log(struct feed *f, uint32_t ns_index, const char *log, uint64_t since_ms)
{
    (void)since_ms;
    assert_string_not_equal(f->views[ns_index]->log, log);
    return !f->late;
}

struct plog *feed_plog(const struct feed *f, uint32_t id)
{
    return id < FAKE_LOGS * FAKE_PARTS ? f->streams[id].p : NULL;
}

void feed_tail(struct feed *f, int shard, struct plog *p, bool on)
{
    uint64_t bit = 1ull << shard;

    (void)f;
    assert_int_equal(!(atomic_load(&p->tailing[0]) & bit), on);
    atomic_fetch_xor(&p->tailing[0], bit);
}

void feed_want(struct feed *f, int shard, struct plog *p, uint64_t pos, uint64_t how)
{
    bool backward = how & PLOG_WANT_BACKWARD, region = how & PLOG_WANT_REGION;
    struct fake_want *wants = f->wants[p->id];
    size_t *n = &f->wants_n[p->id];

    (void)shard;
    for (size_t i = 0; i < *n; i++)
        if (wants[i].pos == pos && wants[i].backward == backward && wants[i].region == region)
            return;
    if (*n < PLOG_WANTS && !f->deaf)
        wants[(*n)++] = (struct fake_want){pos, backward, region};
}

/* What the index says, made of what the log is. A lookup that fake_serve() has answered goes for
 * every channel, until something else is asked. */
int feed_index(struct feed *f, struct plog *p, const struct channel_key *key, uint64_t pos,
               uint64_t *ret_upto)
{
    struct fake_stream *s = &f->streams[p->id];
    struct index_says says = {true, s->index_since, s->index_upto, 0}, none = {.is_there = false};

    *ret_upto = pos;
    if (!s->index_upto)
        return 0;
    if (!s->index_serves) {
        s->index_open = true;
        return -EAGAIN;
    }
    for (size_t i = 0; i < s->n && s->v[i].pos <= s->index_upto; i++)
        if (s->v[i].pos > s->index_since && slice_eq(slice_of(s->v[i].channel), key->name))
            says.last = s->v[i].pos;
    *ret_upto = index_proves(&says, &none, pos);
    return 0;
}

void feed_look_up(struct feed *f, struct plog *p)
{
    struct fake_stream *s = &f->streams[p->id];

    s->index_asked = s->index_asked || s->index_open;
    s->index_open = false;
}

/* ---- streams ---- */

/* To those who tail it, as feed does. */
static inline void fake_signal(struct feed *f, const struct plog *p)
{
    for (int i = 0; i < FAKE_SHARDS; i++)
        if (atomic_load(&p->tailing[0]) & (1ull << i))
            atomic_fetch_or(&f->shards[i].grown[p->id / 64], 1ull << (p->id % 64));
}

static inline int32_t fake_part_of(struct fake *x, const char *channel)
{
    const struct namespace *ns;
    struct slice key;

    assert_int_equal(namespaces_of_channel(&x->nss, slice_of(channel), &ns, &key), 0);
    return partitioner_of(PARTITIONER_MURMUR2, key, FAKE_PARTS);
}

/* Of the newest log. */
static inline struct fake_stream *fake_stream_of(struct fake *x, const char *channel)
{
    return &x->feed.streams[x->feed.log * FAKE_PARTS + fake_part_of(x, channel)];
}

/* The edge reads one entry, as feed does. */
static inline void fake_read(struct fake *x, struct fake_stream *s, const struct fake_rec *r)
{
    struct entry e = entry_of(r->pos, r->prev, r->channel, r->payload);

    if (atomic_load(&s->p->state) != PLOG_READY)
        return;
    if (plog_view(s->p).upto < r->prev)
        plog_start(s->p, r->prev, x->feed.turns);
    plog_append(s->p, &e, key_of_name(r->channel).hash, 0);
    plog_publish(s->p);
    fake_signal(&x->feed, s->p);
}

/* Reads all that it hasn't and that is still in Redis. */
static inline void fake_catch_up(struct fake *x, struct fake_stream *s)
{
    size_t i = s->n;

    while (i > s->first && s->v[i - 1].pos > plog_view(s->p).upto)
        i--;
    for (; i < s->n; i++)
        if (!s->v[i].lost)
            fake_read(x, s, &s->v[i]);
}

static inline uint64_t fake_write_to(struct fake *x, struct fake_stream *s, const char *channel,
                                     size_t pad, bool seen)
{
    struct fake_rec *r;
    char *text = mem_alloc(pad + 64);
    size_t name = strlen(channel);
    int n;

    must(name < sizeof(r->channel));
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = mem_realloc(s->v, s->cap * sizeof(*s->v));
    }
    r = &s->v[s->n];
    r->pos = s->last + 1 + s->n % 3;
    r->prev = s->n && s->v[s->n - 1].lost ? s->v[s->n - 1].pos : s->last;
    r->lost = false;
    memcpy(r->channel, channel, name + 1);
    n = snprintf(text, pad + 64, "{\"n\":%llu,\"pad\":\"%0*d\"}", (unsigned long long)r->pos,
                 (int)pad, 0);
    r->payload = (struct slice){text, (size_t)n};
    s->last = r->pos;
    s->n++;
    if (seen)
        fake_read(x, s, r);
    return s->last;
}

/* Writes a record to the stream; with `seen` the edge has read it too. Returns its position. */
static inline uint64_t fake_write(struct fake *x, const char *channel, size_t pad, bool seen)
{
    return fake_write_to(x, fake_stream_of(x, channel), channel, pad, seen);
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
static inline void fake_trim_region(struct fake_stream *s, size_t keep)
{
    if (s->n - s->first > keep)
        s->first = s->n - keep;
}

/* Kafka, too. */
static inline void fake_trim(struct fake_stream *s, size_t keep)
{
    fake_trim_region(s, keep);
    s->kafka = s->first;
    atomic_store(&s->p->kafka_low, s->first ? s->v[s->first].prev + 1 : 0);
}

/* Does Redis have all that follows pos? */
static inline bool fake_region_has(const struct fake_stream *s, uint64_t pos)
{
    for (size_t i = s->kafka; i < s->first; i++)
        if (s->v[i].pos > pos)
            return false;
    return true;
}

static inline struct page_builder *fake_page(const struct feed *f, const struct fake_stream *s,
                                             const struct fake_want *w, uint64_t *ret_upto)
{
    struct page_builder *b = page_builder_new(w->pos, w->backward, PLOG_PAGE_BYTES);

    size_t first = w->backward || w->region || fake_region_has(s, w->pos) ? s->first : s->kafka;

    for (size_t i = 0; i < s->n - first && page_builder_count(b) < f->page_records; i++) {
        const struct fake_rec *r = &s->v[w->backward ? s->n - 1 - i : first + i];
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

static inline void fake_serve_one(struct feed *f, struct fake_stream *s, const struct fake_want *w)
{
    uint64_t upto = 0;
    struct page_builder *b = fake_page(f, s, w, &upto);

    if (page_builder_count(b) || w->backward) {
        struct plog_page *page = page_builder_take(b, upto, 0);
        page->final |= !w->region; /* what is lost is lost in Kafka, too */
        plog_add_page(s->p, page);
    } else {
        page_builder_free(b);
    }
    fake_signal(f, s->p);
}

/* Answers the wants; true if there was one. */
static inline bool fake_serve(struct fake *x)
{
    struct feed *f = &x->feed;
    bool any = false;

    for (size_t p = 0; p < ARRAY_LEN(f->streams); p++) {
        struct fake_stream *s = &f->streams[p];

        any |= s->index_asked || f->wants_n[p] > 0;
        s->index_serves = s->index_asked;
        if (s->index_asked && s->p)
            fake_signal(f, s->p);
        s->index_asked = false;
        for (size_t i = 0; i < f->wants_n[p] && f->streams[p].p; i++)
            fake_serve_one(f, &f->streams[p], &f->wants[p][i]);
        f->wants_n[p] = 0;
    }
    return any;
}
