/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hmap.c: chains of intrusive nodes behind a power-of-two array of buckets.
 *
 * Owns the bucket array only. Invariant: every node stands in bucket hash & mask, and count nodes
 * stand in at most as many buckets as there are. @thread of its owner
 */
#include "common/base/hmap.h"

#include <stdlib.h>

#define HMAP_MIN_BUCKETS 16

void hmap_init(struct hmap *m)
{
    *m = (struct hmap){NULL, 0, 0};
}

void hmap_done(struct hmap *m)
{
    free((void *)m->buckets);
    hmap_init(m);
}

static void hmap_grow(struct hmap *m)
{
    size_t n = m->buckets ? (m->mask + 1) * 2 : HMAP_MIN_BUCKETS;
    struct hmap_node **to = mem_zalloc(n * sizeof(*to));

    for (size_t i = 0; m->buckets && i <= m->mask; i++) {
        struct hmap_node *node = m->buckets[i];

        while (node) {
            struct hmap_node *next = node->next;
            struct hmap_node **head = &to[node->hash & (n - 1)];

            node->next = *head;
            *head = node;
            node = next;
        }
    }
    free((void *)m->buckets);
    m->buckets = to;
    m->mask = n - 1;
}

void hmap_insert(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
    struct hmap_node **head;

    if (!m->buckets || m->count > m->mask)
        hmap_grow(m);
    head = &m->buckets[hash & m->mask];
    n->hash = hash;
    n->next = *head;
    *head = n;
    m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *n)
{
    struct hmap_node **at;

    must(m->count > 0);
    at = &m->buckets[n->hash & m->mask];
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
    while (m->buckets && *bucket <= m->mask) {
        n = m->buckets[(*bucket)++];
        if (n)
            return n;
    }
    return NULL;
}
