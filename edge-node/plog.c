/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plog.c: the writing and reading of partition logs; plog.h says who may do what.
 *
 * Order of publication: a record's bytes, segment.used and segment.upto, its bucket, and once a
 * reply plog.upto, each with release. A reader takes plog.upto first (acquire), so it sees at least
 * what that position promises; it may see more and stops at its turn's end.
 *
 * Order of eviction: `from`, then the buckets, then the memory is retired. So a reader that finds a
 * cleared bucket also finds the new `from`, and knows that its walk proved nothing.
 */
#include "edge-node/plog.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/hash.h"

#include "edge-node/index.h"
#include "edge-node/turns.h"

#define LOAD(p)      atomic_load_explicit(p, memory_order_acquire)
#define LOAD_OWN(p)  atomic_load_explicit(p, memory_order_relaxed)
#define STORE(p, v)  atomic_store_explicit(p, v, memory_order_release)
#define BUCKET_OF(h) ((h) & (PLOG_BUCKETS - 1))

#define BUCKETS_SIZE (PLOG_BUCKETS * sizeof(plog_bucket))

struct plog *plog_new(const char *log, int32_t partition, uint32_t id, int shards)
{
    struct plog *p = mem_zalloc(sizeof(*p));
    char key[KEY_MAX];

    memcpy(p->log, log, LOG_ID_LEN);
    p->partition = partition;
    p->stream.n = key_stream(key, p->log, partition);
    p->stream.p = mem_strndup(key, p->stream.n);
    p->id = id;
    p->wants = mem_zalloc(sizeof(_Atomic uint64_t) * (size_t)shards * PLOG_WANTS);
    p->index = index_asks_new();
    atomic_init(&p->state, PLOG_COLD);
    return p;
}

/* Retires all segments, or frees them where there are no turns to wait for. */
static void drop_segs(struct plog *p, struct turns *t)
{
    struct plog_seg *s = p->oldest;

    while (s) {
        struct plog_seg *newer = LOAD_OWN(&s->newer);
        p->bytes -= sizeof(*s) + s->cap;
        if (t)
            turns_retire(t, s, free);
        else
            free(s);
        s = newer;
    }
    p->oldest = NULL;
}

void plog_free(struct plog *p)
{
    struct plog_page *page = LOAD(&p->pages);

    while (page) {
        struct plog_page *next = LOAD_OWN(&page->next);
        free(page);
        page = next;
    }
    drop_segs(p, NULL);
    index_asks_free(p->index);
    free((void *)(uintptr_t)p->stream.p);
    free((void *)(uintptr_t)LOAD_OWN(&p->buckets));
    free((void *)(uintptr_t)p->wants);
    free(p);
}

static void clear(struct plog *p, uint64_t pos, struct turns *t)
{
    plog_bucket *buckets = LOAD_OWN(&p->buckets);

    p->unlinked_n = 0;
    STORE(&p->from, pos);
    for (size_t i = 0; buckets && i < PLOG_BUCKETS; i++)
        STORE(&buckets[i], (const struct plog_rec *)NULL);
    STORE(&p->newest, (struct plog_seg *)NULL);
    drop_segs(p, t);
    STORE(&p->upto, pos);
}

void plog_start(struct plog *p, uint64_t pos, struct turns *t)
{
    must(pos >= LOAD_OWN(&p->upto));
    if (!LOAD_OWN(&p->buckets)) {
        STORE(&p->buckets, (plog_bucket *)mem_zalloc(BUCKETS_SIZE));
        p->bytes += BUCKETS_SIZE;
    }
    clear(p, pos, t);
    STORE(&p->state, PLOG_READY);
}

void plog_set_lost(struct plog *p, uint64_t pos)
{
    uint64_t was = atomic_load(&p->lost);

    while (was < pos && !atomic_compare_exchange_weak(&p->lost, &was, pos))
        ;
}

void plog_stop(struct plog *p, struct turns *t)
{
    plog_bucket *buckets = LOAD_OWN(&p->buckets);

    STORE(&p->state, PLOG_COLD);
    while (plog_evict_page(p, t))
        ;
    clear(p, LOAD_OWN(&p->upto), t);
    if (buckets) {
        STORE(&p->buckets, (plog_bucket *)NULL);
        turns_retire(t, (void *)(uintptr_t)buckets, free);
        p->bytes -= BUCKETS_SIZE;
    }
}

static void rec_fill(struct plog_rec *r, const struct entry *e, uint64_t hash)
{
    r->pos = e->pos;
    r->hash = hash;
    r->back = NULL;
    r->back_pos = 0;
    r->payload_len = (uint32_t)e->payload.n;
    r->tags_len = (uint32_t)e->tags.n;
    r->channel_len = (uint8_t)e->channel.n;
    r->tag_count = e->tag_count;
    r->kind = e->kind;
    r->marker = e->marker;
    memcpy(r->bytes, e->channel.p, e->channel.n);
    if (e->tags.n)
        memcpy(r->bytes + e->channel.n, e->tags.p, e->tags.n);
    if (e->payload.n)
        memcpy(r->bytes + e->channel.n + e->tags.n, e->payload.p, e->payload.n);
}

/* A quiet partition's only segment is small; each next one is twice as large. */
static size_t seg_cap(const struct plog_seg *before, size_t need)
{
    size_t cap = before ? before->cap * 2 : PLOG_SEG_FIRST;

    if (cap > PLOG_SEG_BYTES)
        cap = PLOG_SEG_BYTES;
    return need > cap ? need : cap;
}

static struct plog_seg *seg_for(struct plog *p, size_t need, uint64_t now_ms)
{
    struct plog_seg *s = LOAD_OWN(&p->newest);
    struct plog_seg *n;
    size_t cap = seg_cap(s, need);

    if (s && s->cap - LOAD_OWN(&s->used) >= need)
        return s;
    n = mem_alloc(sizeof(*n) + cap);
    n->older = s;
    n->from = s ? LOAD_OWN(&s->upto) : LOAD_OWN(&p->upto);
    n->cap = cap;
    n->born_ms = now_ms;
    atomic_init(&n->newer, NULL);
    atomic_init(&n->upto, n->from);
    atomic_init(&n->used, 0);
    if (s)
        STORE(&s->newer, n);
    else
        p->oldest = n;
    p->bytes += sizeof(*n) + cap;
    STORE(&p->newest, n);
    return n;
}

/* A bucket and the record it leads to are lines that nobody touched for long: those of several
 * records are fetched at once. */
static void link_some(struct plog *p)
{
    plog_bucket *buckets = LOAD_OWN(&p->buckets);
    uint32_t n = p->unlinked_n;

    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&buckets[BUCKET_OF(p->unlinked[i]->hash)], 1);
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(LOAD_OWN(&buckets[BUCKET_OF(p->unlinked[i]->hash)]));
    for (uint32_t i = 0; i < n; i++) {
        struct plog_rec *r = p->unlinked[i];
        plog_bucket *bucket = &buckets[BUCKET_OF(r->hash)];
        r->back = LOAD_OWN(bucket);
        if (r->back)
            r->back_pos = r->back->pos;
        STORE(bucket, (const struct plog_rec *)r);
    }
    p->unlinked_n = 0;
}

void plog_append(struct plog *p, const struct entry *e, uint64_t hash, uint64_t now_ms)
{
    size_t need = plog_rec_size(e->channel.n + e->tags.n + e->payload.n);
    struct plog_seg *s = seg_for(p, need, now_ms);
    size_t used = LOAD_OWN(&s->used);
    struct plog_rec *r = (struct plog_rec *)(void *)(s->data + used);

    must(e->pos > LOAD_OWN(&s->upto));
    rec_fill(r, e, hash);
    STORE(&s->used, used + need);
    STORE(&s->upto, e->pos);
    p->unlinked[p->unlinked_n++] = r;
    if (p->unlinked_n == PLOG_LINKED)
        link_some(p);
}

void plog_publish(struct plog *p)
{
    struct plog_seg *s = LOAD_OWN(&p->newest);

    link_some(p);
    if (s)
        STORE(&p->upto, LOAD_OWN(&s->upto));
}

static const struct plog_rec *rec_at(const char *data, size_t offset)
{
    return (const struct plog_rec *)(const void *)(data + offset);
}

bool plog_evict(struct plog *p, struct turns *t)
{
    struct plog_seg *s = p->oldest;
    plog_bucket *buckets = LOAD_OWN(&p->buckets);
    size_t used;

    if (!s || s == LOAD_OWN(&p->newest))
        return false;
    link_some(p); /* some may be in it */
    used = LOAD_OWN(&s->used);
    STORE(&p->from, LOAD_OWN(&s->upto));
    for (size_t at = 0; at < used; at += plog_rec_stride(rec_at(s->data, at))) {
        const struct plog_rec *r = rec_at(s->data, at);
        plog_bucket *bucket = &buckets[BUCKET_OF(r->hash)];
        if (LOAD_OWN(bucket) == r)
            STORE(bucket, (const struct plog_rec *)NULL);
    }
    p->oldest = LOAD_OWN(&s->newer);
    p->bytes -= sizeof(*s) + s->cap;
    turns_retire(t, s, free);
    return true;
}

struct plog_view plog_view(const struct plog *p)
{
    struct plog_view v;

    v.upto = LOAD(&p->upto);
    v.from = LOAD(&p->from);
    if (v.from > v.upto) /* started over between the two loads */
        v.upto = v.from;
    return v;
}

static size_t place_in(const struct plog_place *place, const struct plog_seg *s, uint64_t after)
{
    return place && place->seg_from == s->from && place->pos == after ? place->at : 0;
}

uint64_t plog_part(const struct plog *p, uint64_t after, uint64_t upto,
                   const struct plog_place *place, size_t *bytes)
{
    const struct plog_seg *s = LOAD(&p->newest);
    uint64_t end = upto;
    size_t at;

    if (after < LOAD(&p->from))
        return upto; /* a hole: nothing will be read */
    while (s && s->from > after)
        s = s->older;
    at = s ? place_in(place, s, after) : 0;
    for (; s && *bytes; s = LOAD(&s->newer), at = 0) {
        size_t n = LOAD(&s->used) - at;
        *bytes -= n < *bytes ? n : *bytes;
        end = LOAD(&s->upto);
    }
    return end < upto ? end : upto;
}

int plog_each(const struct plog *p, uint64_t after, uint64_t upto, struct plog_place *place,
              void (*each)(void *arg, const struct plog_rec *r), void *arg)
{
    const struct plog_seg *s = LOAD(&p->newest);
    size_t at;

    if (after >= upto)
        return 0;
    if (after < LOAD(&p->from)) /* the oldest segment's `older` may be freed: never go there */
        return -ENOENT;
    while (s && s->from > after)
        s = s->older;
    if (!s)
        return -ENOENT;
    at = place_in(place, s, after);
    for (; s; s = LOAD(&s->newer), at = 0) {
        size_t used = LOAD(&s->used);
        while (at < used) {
            const struct plog_rec *r = rec_at(s->data, at);
            if (r->pos > upto)
                return 0;
            at += plog_rec_stride(r);
            if (r->pos > after)
                each(arg, r);
            if (place)
                *place = (struct plog_place){s->from, r->pos, at};
        }
    }
    return 0;
}

void rec_vec_add(struct rec_vec *vec, const struct plog_rec *r)
{
    if (vec->n == vec->cap) {
        vec->cap = vec->cap ? vec->cap * 2 : 4;
        vec->v = mem_realloc((void *)vec->v, vec->cap * sizeof(*vec->v));
    }
    vec->v[vec->n++] = r;
}

void rec_vec_done(struct rec_vec *vec)
{
    free((void *)vec->v);
    *vec = (struct rec_vec){NULL, 0, 0};
}

void plog_walk_begin(struct plog_walk *w, const struct channel_key *key, size_t steps)
{
    w->key = *key;
    w->steps = steps;
    w->begun = false;
    w->next = NULL;
    w->next_pos = 0;
    w->found.n = 0;
}

int plog_walk(const struct plog *p, const struct plog_view *v, uint64_t after, struct plog_walk *w)
{
    const plog_bucket *buckets = LOAD(&p->buckets);

    if (after < v->from || !buckets)
        return -ENOENT;
    if (!w->begun) {
        w->next = LOAD(&buckets[BUCKET_OF(w->key.hash)]);
        w->next_pos = w->next ? w->next->pos : 0;
        w->begun = true;
    }
    for (; w->next_pos > after && w->steps; w->steps--) {
        const struct plog_rec *r = w->next; /* above `after`: not evicted before this turn */
        if (r->pos <= v->upto && plog_rec_is_of(r, &w->key))
            rec_vec_add(&w->found, r);
        w->next = r->back;
        w->next_pos = r->back_pos;
    }
    if (LOAD(&p->from) > after) { /* evicted while we walked: buckets may have been cleared */
        plog_walk_begin(w, &w->key, w->steps);
        return -ENOENT;
    }
    return w->next_pos > after ? -E2BIG : 0;
}
