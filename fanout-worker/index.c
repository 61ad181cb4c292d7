/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c: what moved since the last-position index was brought forward, see index.h.
 *
 * Owns the moves. Invariant: they are the last positions of all channels in (from, at].
 * @thread pump
 */
#include "fanout-worker/index.h"

#include <stdlib.h>

#include "common/base/hash.h"

void index_init(struct index *ix, const struct index_io *io, void *arg)
{
    *ix = (struct index){.io = io, .arg = arg};
    hmap_init(&ix->moves);
}

static void clear(struct index *ix)
{
    struct hmap_node *n = NULL, *prev = NULL;

    for (size_t i = 0; (n = hmap_walk(&ix->moves, &i, n));) {
        free(prev ? container_of(prev, struct index_move, node) : NULL);
        prev = n;
    }
    free(prev ? container_of(prev, struct index_move, node) : NULL);
    hmap_done(&ix->moves);
    hmap_init(&ix->moves);
    ix->bytes = 0;
}

/* What was sent may be done or not: what was taken out of the map for it is unknown, too. */
static void forget(struct index *ix, uint64_t from)
{
    clear(ix);
    ix->gen++;
    ix->state = INDEX_UNKNOWN;
    ix->from = ix->at = from;
}

/* An answer under way keeps its meaning: it is compared with what is here when it comes. */
static void note_anew(struct index *ix)
{
    clear(ix);
    ix->from = ix->at;
    if (ix->state == INDEX_KNOWN) {
        ix->state = INDEX_UNKNOWN;
        ix->gen++;
    }
}

void index_done(struct index *ix)
{
    clear(ix);
}

void index_begin(struct index *ix, uint64_t chain)
{
    forget(ix, chain);
}

void index_reset(struct index *ix)
{
    forget(ix, 0);
    ix->state = INDEX_OFF;
}

static struct index_move *find(const struct index *ix, uint64_t hash, struct slice channel)
{
    struct hmap_node *n;

    for (n = hmap_first(&ix->moves, hash); n; n = hmap_next(n)) {
        struct index_move *m = container_of(n, struct index_move, node);

        if (m->n == channel.n && memcmp(m->name, channel.p, channel.n) == 0)
            return m;
    }
    return NULL;
}

void index_note(struct index *ix, struct slice channel, uint64_t pos)
{
    uint64_t hash = hash_bytes(channel.p, channel.n);
    struct index_move *m;

    must(ix->state != INDEX_OFF && pos > ix->at);
    if (ix->moves.count >= INDEX_MOVES || ix->bytes >= INDEX_BYTES)
        note_anew(ix);
    m = find(ix, hash, channel);
    if (!m) {
        m = mem_alloc(sizeof(*m) + channel.n);
        m->n = (uint8_t)channel.n;
        memcpy(m->name, channel.p, channel.n);
        hmap_insert(&ix->moves, &m->node, hash);
        ix->bytes += sizeof(*m) + channel.n;
    }
    m->pos = pos;
    ix->at = pos;
}

bool index_is_full(const struct index *ix)
{
    return ix->state == INDEX_KNOWN && ix->moves.count >= INDEX_FULL;
}

void index_flush(struct index *ix)
{
    if (ix->state == INDEX_UNKNOWN) {
        ix->state = INDEX_ASKED;
        ix->io->read(ix->arg, ix->gen, ix->from);
    } else if (ix->state == INDEX_KNOWN && (ix->at > ix->base || ++ix->idle >= INDEX_IDLE)) {
        ix->io->add(ix->arg, ix->gen, ix->base, ix->at, &ix->moves);
        clear(ix);
        ix->from = ix->base = ix->at;
        ix->idle = 0;
    }
}

void index_failed(struct index *ix, uint64_t gen)
{
    if (gen == ix->gen)
        forget(ix, ix->at);
}

void index_told(struct index *ix, uint64_t gen, uint64_t upto, bool moved)
{
    if (gen != ix->gen)
        return;
    must(ix->state == INDEX_ASKED);
    if (upto >= ix->from && upto <= ix->at) {
        ix->base = upto;
        ix->state = INDEX_KNOWN;
    } else if (upto < ix->from && moved) {
        ix->io->read(ix->arg, ix->gen, ix->from);
    } else { /* another one is ahead of us, or there is no stream: some other time */
        ix->state = INDEX_UNKNOWN;
    }
}

void index_assert(const struct index *ix)
{
    must(ix->from <= ix->at && (ix->moves.count > 0) == (ix->bytes > 0));
    must(ix->state != INDEX_KNOWN || (ix->from <= ix->base && ix->base <= ix->at));
    must(ix->moves.count <= INDEX_MOVES);
}
