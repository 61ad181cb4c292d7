/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.c: see block.h. Each chunk leaves head_max bytes free before it, so that the framing, whose
 * length depends on the content's, can be put right before it without moving anything.
 */
#include "edge-node/block.h"

#include <stdlib.h>

void block_done(struct block *b)
{
    buf_done(&b->bytes);
    buf_done(&b->message);
    free(b->chunks);
    *b = (struct block){0};
}

void block_clear(struct block *b)
{
    buf_clear(&b->bytes);
    buf_shrink(&b->bytes, BLOCK_KEEP);
    buf_clear(&b->message);
    buf_shrink(&b->message, BLOCK_KEEP);
}

static struct chunk *chunk_add(struct block *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 4;
        b->chunks = mem_realloc(b->chunks, b->cap * sizeof(*b->chunks));
    }
    return &b->chunks[b->n++];
}

static void chunk_close(struct block *b, const struct transport *tr, bool binary, size_t payload)
{
    struct chunk *c = &b->chunks[b->n - 1];
    size_t head = tr->frame(b->bytes.p + payload, b->bytes.n - payload, binary);

    c->at = payload - head;
    c->n = b->bytes.n - c->at;
    b->size += c->n;
}

/* Adds a record's message to the chunk that begins at `payload`; false if it would grow over
 * write_max: it begins the next one. */
static bool chunk_take(struct block *b, const struct block_how *how, size_t payload,
                       const struct plog_rec *r)
{
    struct chunk *c = &b->chunks[b->n - 1];

    b->message.n = 0;
    how->proto->push_pub(&b->message, plog_rec_channel(r), r, how->bare);
    if (c->count && b->bytes.n - payload + b->message.n + 1 > how->write_max)
        return false;
    if (c->count && !how->proto->binary)
        buf_byte(&b->bytes, '\n');
    buf_add(&b->bytes, b->message.p, b->message.n);
    c->count++;
    c->last = r->pos;
    return true;
}

void block_encode(struct block *b, const struct block_how *how, const struct rec_vec *recs)
{
    size_t i = 0;

    b->bytes.n = b->n = b->size = 0;
    while (i < recs->n) {
        size_t payload = b->bytes.n + how->tr->head_max;
        *chunk_add(b) = (struct chunk){0};
        buf_reserve(&b->bytes, how->tr->head_max);
        b->bytes.n = payload;
        while (i < recs->n && chunk_take(b, how, payload, recs->v[i]))
            i++;
        chunk_close(b, how->tr, how->proto->binary, payload);
    }
}
