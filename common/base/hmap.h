/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hmap.h: intrusive chained hash map. The caller hashes (hash.h) and compares; the map grows to
 * one node a bucket, bucket by bucket, and never shrinks. Owns only its bucket array.
 * @thread of its owner
 */
#pragma once

#include "common/base/base.h"

struct hmap_node {
    struct hmap_node *next;
    uint64_t hash;
};

struct hmap {
    struct hmap_node **buckets;
    size_t mask;  /* buckets - 1 when they were last a power of two; 0 before the first insert */
    size_t split; /* those below it have had a sister since, chosen by one bit more of the hash */
    size_t count;
};

void hmap_init(struct hmap *m);
void hmap_done(struct hmap *m); /* frees the buckets, not the nodes */
void hmap_insert(struct hmap *m, struct hmap_node *n,
                 uint64_t hash);                       /* duplicates are not checked */
void hmap_remove(struct hmap *m, struct hmap_node *n); /* must be in m */

/* Of a map that has buckets. */
static inline struct hmap_node **hmap_bucket(const struct hmap *m, uint64_t hash)
{
    size_t i = hash & m->mask;

    return &m->buckets[i < m->split ? hash & (2 * m->mask + 1) : i];
}

/* First node of that hash, then the next one of the same hash; NULL at the end. */
static inline struct hmap_node *hmap_same(struct hmap_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->next;
    return n;
}
static inline struct hmap_node *hmap_first(const struct hmap *m, uint64_t hash)
{
    return m->buckets ? hmap_same(*hmap_bucket(m, hash), hash) : NULL;
}
static inline struct hmap_node *hmap_next(const struct hmap_node *n)
{
    return hmap_same(n->next, n->hash);
}

/* For a look-up that follows soon; a second one, once that came, for the first node behind it. */
static inline void hmap_prefetch(const struct hmap *m, uint64_t hash)
{
    if (m->buckets)
        __builtin_prefetch(hmap_bucket(m, hash));
}
static inline void hmap_prefetch_first(const struct hmap *m, uint64_t hash)
{
    if (m->buckets)
        __builtin_prefetch(*hmap_bucket(m, hash));
}

/* Walks all nodes: for (size_t i = 0; (n = hmap_walk(m, &i, n)); ) with n == NULL at first. The
 * current node may be removed only after the next one was taken. */
struct hmap_node *hmap_walk(const struct hmap *m, size_t *bucket, struct hmap_node *n);
