/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hmap.c: chains of intrusive nodes behind an array of buckets that grows by one a time (linear
 * hashing): an insert into a full map splits one bucket, so none of them waits for all the others.
 *
 * Owns the bucket array only. Invariant: every node stands in the bucket of its hash, and count
 * nodes stand in at most as many buckets as there are. @thread of its owner
 */
#include "common/base/hmap.h"

#include <stdlib.h>

#define HMAP_MIN_BUCKETS 16

void hmap_init(struct hmap *m)
{
    *m = (struct hmap){NULL, 0, 0, 0};
}

void hmap_done(struct hmap *m)
{
    free((void *)m->buckets);
    hmap_init(m);
}

/* Gives the bucket `split` a sister, one doubling above it, and each of its nodes to either. */
static void split_one(struct hmap *m)
{
    size_t half = m->mask + 1;
    struct hmap_node **at, **to;

    if (!m->split)
        m->buckets = mem_realloc((void *)m->buckets, 2 * half * sizeof(*m->buckets));
    at = &m->buckets[m->split];
    to = &m->buckets[m->split + half];
    *to = NULL;
    while (*at) {
        struct hmap_node *node = *at;
        if (!(node->hash & half)) {
            at = &node->next;
            continue;
        }
        *at = node->next;
        node->next = *to;
        *to = node;
    }
    if (++m->split == half) {
        m->split = 0;
        m->mask = 2 * half - 1;
    }
}

static void make_room(struct hmap *m)
{
    if (!m->buckets) {
        m->buckets = mem_zalloc(HMAP_MIN_BUCKETS * sizeof(*m->buckets));
        m->mask = HMAP_MIN_BUCKETS - 1;
    } else if (m->count > m->mask + m->split) {
        split_one(m);
    }
}

void hmap_insert(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
    struct hmap_node **head;

    make_room(m);
    head = hmap_bucket(m, hash);
    n->hash = hash;
    n->next = *head;
    *head = n;
    m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *n)
{
    struct hmap_node **at;

    must(m->count > 0);
    at = hmap_bucket(m, n->hash);
    while (*at != n) {
        must(*at);
        at = &(*at)->next;
    }
    *at = n->next;
    n->next = NULL;
    m->count--;
}

struct hmap_node *hmap_walk(const struct hmap *m, size_t *bucket, struct hmap_node *n)
{
    if (n && n->next)
        return n->next;
    while (m->buckets && *bucket <= m->mask + m->split) {
        n = m->buckets[(*bucket)++];
        if (n)
            return n;
    }
    return NULL;
}
