/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c: lookups in a last-position index as shards and feed share them, see index.h.
 *
 * The lock guards the open set and who is under way; it is held for a look into a table. Answers
 * are a list that feed alone changes. @thread shard, feed
 */
#include "edge-node/index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "edge-node/turns.h"

struct index_asks {
    pthread_mutex_t lock;
    struct index_set *open, *under_way;  /* of the latter, who holds the lock sees the names */
    _Atomic(struct index_set *) answers; /* newest first */
};

struct index_asks *index_asks_new(void)
{
    struct index_asks *a = mem_zalloc(sizeof(*a));

    must(pthread_mutex_init(&a->lock, NULL) == 0);
    return a;
}

static void set_free(void *p)
{
    struct index_set *set = p;

    for (uint32_t i = 0; i < set->n; i++)
        free(set->v[i]);
    free((void *)set->v);
    hmap_done(&set->items);
    free(set);
}

void index_asks_free(struct index_asks *a)
{
    struct index_set *set = atomic_load(&a->answers), *next;

    must(!a->under_way);
    for (; set; set = next) {
        next = atomic_load(&set->next);
        set_free(set);
    }
    if (a->open)
        set_free(a->open);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static struct index_item *find(const struct index_set *set, const struct channel_key *key)
{
    struct hmap_node *n;

    for (n = hmap_first(&set->items, key->hash); n; n = hmap_next(n)) {
        struct index_item *item = container_of(n, struct index_item, node);

        if (item->n == key->name.n && memcmp(item->name, key->name.p, item->n) == 0)
            return item;
    }
    return NULL;
}

bool index_answered(const struct index_asks *a, const struct channel_key *key, uint64_t pos,
                    uint64_t *ret)
{
    const struct index_set *set = atomic_load_explicit(&a->answers, memory_order_acquire);

    for (; set; set = atomic_load_explicit(&set->next, memory_order_acquire)) {
        const struct index_item *item = find(set, key);
        struct index_says now = set->now, old = set->old;

        /* Of a lookup that didn't need to know the old index. */
        if (!item || (pos < set->lowest && pos < set->now.since))
            continue;
        now.last = item->last;
        old.last = item->old_last;
        *ret = index_proves(&now, &old, pos);
        return true;
    }
    return false;
}

static void add(struct index_set *set, const struct channel_key *key)
{
    struct index_item *item = mem_zalloc(sizeof(*item) + key->name.n);

    if (set->n == set->cap) {
        set->cap = set->cap ? set->cap * 2 : 8;
        set->v = mem_realloc((void *)set->v, set->cap * sizeof(struct index_item *));
    }
    item->n = (uint8_t)key->name.n;
    memcpy(item->name, key->name.p, key->name.n);
    hmap_insert(&set->items, &item->node, key->hash);
    set->v[set->n++] = item;
    /* its places in v and in the buckets, too */
    set->bytes += sizeof(*item) + key->name.n + 4 * sizeof(void *);
}

static struct index_set *set_new(uint64_t lowest)
{
    struct index_set *set = mem_zalloc(sizeof(*set));

    hmap_init(&set->items);
    set->lowest = lowest;
    set->bytes = sizeof(*set);
    return set;
}

void index_ask(struct index_asks *a, const struct channel_key *key, uint64_t pos)
{
    pthread_mutex_lock(&a->lock);
    if (!a->under_way || !find(a->under_way, key)) {
        if (!a->open)
            a->open = set_new(pos);
        if (a->open->n < INDEX_CHANNELS && !find(a->open, key))
            add(a->open, key);
        if (pos < a->open->lowest)
            a->open->lowest = pos;
    }
    pthread_mutex_unlock(&a->lock);
}

struct index_set *index_take(struct index_asks *a)
{
    struct index_set *set = NULL;

    pthread_mutex_lock(&a->lock);
    if (!a->under_way) {
        set = a->open;
        a->under_way = set;
        a->open = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    return set;
}

static void end(struct index_asks *a, const struct index_set *set)
{
    pthread_mutex_lock(&a->lock);
    must(a->under_way == set);
    a->under_way = NULL;
    pthread_mutex_unlock(&a->lock);
}

/* Published first: whoever finds it no longer under way finds its answer. */
void index_publish(struct index_asks *a, struct index_set *take_set, uint64_t now_ms)
{
    take_set->born_ms = now_ms;
    atomic_store_explicit(&take_set->next, atomic_load(&a->answers), memory_order_relaxed);
    atomic_store_explicit(&a->answers, take_set, memory_order_release);
    end(a, take_set);
}

void index_give_up(struct index_asks *a, struct index_set *take_set)
{
    end(a, take_set);
    set_free(take_set);
}

size_t index_evict(struct index_asks *a, uint64_t now_ms, struct turns *t)
{
    _Atomic(struct index_set *) *link = &a->answers;
    struct index_set *set = atomic_load(link);
    uint32_t n = 1;
    size_t bytes;

    if (!set)
        return 0;
    for (; atomic_load(&set->next); n++) {
        link = &set->next;
        set = atomic_load(link);
    }
    if (n <= INDEX_ANSWERS && now_ms - set->born_ms < INDEX_KEEP_MS)
        return 0;
    bytes = set->bytes;
    atomic_store_explicit(link, (struct index_set *)NULL, memory_order_release);
    turns_retire(t, set, set_free);
    return bytes;
}
