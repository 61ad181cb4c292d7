/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c: batches that clock themselves, see append.h.
 *
 * Owns the open batch of one partition. Invariant: the entries acked … tail are under way in order,
 * those behind tail are in the open batch, and chain is the last of them all. @thread pump
 */
#include "fanout-worker/append.h"

#include <stdlib.h>

/* A buffer that once held big records isn't kept at that size. */
#define APPEND_KEEP KIB(256)

void append_init(struct append *a, const struct append_limits *lim, const struct append_io *io,
                 void *arg)
{
    *a = (struct append){.lim = lim, .io = io, .arg = arg, .mean = 256};
}

void append_done(struct append *a)
{
    append_reset(a);
    buf_done(&a->data);
    free(a->items);
    a->items = NULL;
    a->cap = 0;
}

static void clear_open(struct append *a)
{
    a->count = 0;
    buf_clear(&a->data);
    buf_shrink(&a->data, APPEND_KEEP);
}

void append_reset(struct append *a)
{
    a->gen++;
    *a->lim->inflight_total -= a->inflight_bytes;
    a->inflight_bytes = 0;
    a->inflight = a->inflight_entries = 0;
    clear_open(a);
}

void append_begin(struct append *a, uint64_t last, uint64_t chain)
{
    must(a->inflight == 0 && a->count == 0);
    a->acked = last;
    a->tail = last;
    a->chain = chain;
    a->has_fp = false;
}

static bool is_full(const struct append *a)
{
    return a->count >= a->lim->batch_records || a->data.n >= a->lim->batch_bytes;
}

static bool may_leave(const struct append *a)
{
    if (a->count == 0)
        return false;
    if (a->inflight == 0)
        return true;
    return is_full(a) && a->inflight < a->lim->inflight_batches &&
           *a->lim->inflight_total + (int64_t)a->data.n <= a->lim->inflight_bytes;
}

static void leave(struct append *a)
{
    struct append_batch *b = mem_alloc(sizeof(*b));
    struct append_load load = {
        .expected = a->tail,
        .last_fp = a->last_fp,
        .count = a->count,
        .items = a->items,
        .data = &a->data,
    };
    uint32_t mean = (uint32_t)(a->data.n / a->count);

    *b = (struct append_batch){
        .owner = a->arg,
        .gen = a->gen,
        .last = a->items[a->count - 1].pos,
        .last_fp = a->last_fp,
        .count = a->count,
        .bytes = (int64_t)a->data.n,
    };
    a->mean = (a->mean * 7 + mean) / 8;
    a->tail = b->last;
    a->inflight++;
    a->inflight_entries += b->count;
    a->inflight_bytes += b->bytes;
    *a->lim->inflight_total += b->bytes;
    a->io->send(a->arg, b, &load);
    clear_open(a);
}

void append_add(struct append *a, struct entry *e)
{
    size_t at = a->data.n;

    must(e->pos > a->chain);
    if (a->count == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 16;
        a->items = mem_realloc(a->items, a->cap * sizeof(*a->items));
    }
    e->prev = a->chain;
    entry_encode(&a->data, e);
    a->items[a->count++] = (struct append_item){e->pos, at, a->data.n - at};
    a->chain = e->pos;
    a->last_fp = e->fingerprint;
    if (is_full(a) && may_leave(a))
        leave(a);
}

bool append_has_room(const struct append *a)
{
    return !is_full(a);
}

void append_turn(struct append *a)
{
    if (may_leave(a))
        leave(a);
    else if (a->count > 0)
        a->io->wait(a->arg);
}

bool append_failed(struct append *a, struct append_batch *take_b)
{
    bool current = take_b->gen == a->gen;

    if (current) {
        a->inflight--;
        a->inflight_entries -= take_b->count;
        a->inflight_bytes -= take_b->bytes;
        *a->lim->inflight_total -= take_b->bytes;
    }
    free(take_b);
    return current;
}

bool append_answered(struct append *a, struct append_batch *take_b)
{
    uint64_t last = take_b->last;
    uint32_t fp = take_b->last_fp;

    if (!append_failed(a, take_b))
        return false;
    a->acked = last;
    a->acked_fp = fp;
    a->has_fp = true;
    append_turn(a);
    return true;
}

void append_assert(const struct append *a)
{
    must(a->acked <= a->tail && a->tail <= a->chain);
    must(a->inflight_bytes >= 0 && (a->inflight > 0 || a->inflight_bytes == 0));
    must(a->inflight_entries >= a->inflight && (a->inflight > 0 || a->inflight_entries == 0));
    must(a->count <= a->cap);
}
