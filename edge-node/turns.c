/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.c: see turns.h. A retired thing remembers each shard's count at its unlinking; the list is
 * in order of retirement, so only its head has to be asked.
 */
#include "edge-node/turns.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/list.h"

struct counter {
    _Alignas(64) _Atomic uint64_t n; /* a cache line each: a shard writes its own twice a turn */
};

struct turns {
    int shards;
    size_t waiting;
    struct list retired;
    struct counter *counters;
};

struct retired {
    struct list node;
    void *p;
    void (*free_fn)(void *);
    uint64_t seen[]; /* odd count of a shard that was in a turn; 0: it slept */
};

struct turns *turns_new(int shards)
{
    struct turns *t = mem_zalloc(sizeof(*t));

    t->shards = shards;
    list_init(&t->retired);
    t->counters = aligned_alloc(64, sizeof(*t->counters) * (size_t)shards);
    must(t->counters);
    memset(t->counters, 0, sizeof(*t->counters) * (size_t)shards);
    return t;
}

static void release(struct turns *t, struct retired *r)
{
    list_del(&r->node);
    t->waiting--;
    r->free_fn(r->p);
    free(r);
}

void turns_free(struct turns *t)
{
    struct retired *r, *tmp;

    list_for_each_safe(r, tmp, &t->retired, node)
        release(t, r);
    free(t->counters);
    free(t);
}

void turns_begin(struct turns *t, int shard)
{
    /* seq_cst: the count must be visible before anything of the turn is read */
    atomic_fetch_add(&t->counters[shard].n, 1);
    atomic_thread_fence(memory_order_seq_cst);
}

void turns_end(struct turns *t, int shard)
{
    atomic_fetch_add_explicit(&t->counters[shard].n, 1, memory_order_release);
}

void turns_retire(struct turns *t, void *p, void (*free_fn)(void *))
{
    struct retired *r = mem_alloc(sizeof(*r) + sizeof(r->seen[0]) * (size_t)t->shards);

    r->p = p;
    r->free_fn = free_fn;
    atomic_thread_fence(memory_order_seq_cst);
    for (int i = 0; i < t->shards; i++) {
        uint64_t n = atomic_load(&t->counters[i].n);
        r->seen[i] = n & 1 ? n : 0;
    }
    list_add_tail(&t->retired, &r->node);
    t->waiting++;
}

static bool is_free(const struct turns *t, const struct retired *r)
{
    for (int i = 0; i < t->shards; i++)
        if (r->seen[i] && atomic_load(&t->counters[i].n) == r->seen[i])
            return false;
    return true;
}

size_t turns_reclaim(struct turns *t)
{
    struct retired *r;

    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): release() takes it off the list first */
    while ((r = list_first(&t->retired, struct retired, node)) && is_free(t, r))
        release(t, r);
    return t->waiting;
}
