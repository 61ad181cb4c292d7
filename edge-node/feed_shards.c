/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_shards.c: what shards and feed say to each other, without locks: who tails which plog, which
 * pages are wanted, that a plog grew. Each is a bit or a place, so nothing can overflow; what was
 * said twice is seen once. @thread any
 */
#include "edge-node/feed_impl.h"

void feed_wake(struct feed *f, int shard)
{
    if (!f->shares)
        f->shards[shard].wake(f->shards[shard].arg);
}

void feed_signal(struct feed *f, struct plog *p)
{
    uint64_t bit = 1ull << (p->id % 64);

    /* What was published before what is asked now; feed_tail() has the other half. Else a shard
     * that begins in this moment sees neither the record nor the signal. */
    atomic_thread_fence(memory_order_seq_cst);
    for (int w = 0; w * 64 < f->shard_count; w++) {
        uint64_t who = atomic_load(&p->tailing[w]);
        while (who) {
            int shard = w * 64 + __builtin_ctzll(who);
            who &= who - 1;
            if (!(atomic_fetch_or(&f->shards[shard].grown[p->id / 64], bit) & bit))
                feed_wake(f, shard);
        }
    }
}

bool feed_is_tailed(const struct plog *p)
{
    for (size_t i = 0; i < ARRAY_LEN(p->tailing); i++)
        if (atomic_load(&p->tailing[i]))
            return true;
    return false;
}

static void ring(struct feed *f, uint32_t id)
{
    uint64_t bit = 1ull << (id % 64);

    if (!(atomic_fetch_or(&f->asks[id / 64], bit) & bit) && f->loop)
        ev_async_send(f->loop, &f->asked);
}

void feed_ring(struct feed *f, const struct plog *p)
{
    ring(f, p->id);
}

void feed_tail(struct feed *f, int shard, struct plog *p, bool on)
{
    uint64_t bit = 1ull << (shard % 64);
    uint32_t id = p->id; /* p may be retired once its bit is off */

    if (on)
        atomic_fetch_or(&p->tailing[shard / 64], bit);
    else
        atomic_fetch_and(&p->tailing[shard / 64], ~bit);
    atomic_thread_fence(memory_order_seq_cst); /* see feed_signal() */
    ring(f, id);
}

void feed_want(struct feed *f, int shard, struct plog *p, uint64_t pos, uint64_t how)
{
    uint64_t want = (pos + 1) | how;
    _Atomic uint64_t *mine = &p->wants[(size_t)shard * PLOG_WANTS], *place = NULL;

    for (int i = 0; i < PLOG_WANTS; i++) {
        uint64_t there = atomic_load_explicit(&mine[i], memory_order_relaxed);
        if (there == want)
            return;
        if (!there)
            place = &mine[i];
    }
    if (!place) /* who is too late asks again when one of these has come */
        return;
    atomic_store(place, want);
    ring(f, p->id);
}

const struct topic_view *feed_topic(const struct feed *f, uint32_t ns_index)
{
    return atomic_load_explicit(&f->topics[ns_index].view, memory_order_acquire);
}

struct plog *feed_plog(const struct feed *f, uint32_t id)
{
    return atomic_load_explicit(&f->plogs[id], memory_order_acquire);
}
