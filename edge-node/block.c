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
    free(b->chunks);
    *b = (struct block){0};
}

static struct chunk *chunk_add(struct block *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 4;
        b->chunks = mem_realloc(b->chunks, b->cap * sizeof(*b->chunks));
    }
    return &b->chunks[b->n++];
}

/* Where a record's message can begin: a view of the block's tail as a batch of its own. */
static void chunk_close(struct block *b, const struct transport *tr, bool binary, size_t payload)
{
    struct chunk *c = &b->chunks[b->n - 1];
    size_t head = tr->frame(b->bytes.p + payload, b->bytes.n - payload, binary);

    c->at = payload - head;
    c->n = b->bytes.n - c->at;
    b->size += c->n;
}

void block_encode(struct block *b, const struct proto *proto, const struct transport *tr,
                  const struct plog_rec *const *recs, size_t n, size_t write_max, bool bare)
{
    struct slice channel = plog_rec_channel(recs[0]);
    struct buf batch = BUF_INIT;

    b->bytes.n = b->n = b->size = 0;
    b->first = recs[0]->pos;
    b->last = recs[n - 1]->pos;
    for (size_t i = 0; i < n;) {
        struct chunk *c = chunk_add(b);
        size_t payload = b->bytes.n + tr->head_max;
        c->count = 0;
        buf_reserve(&b->bytes, tr->head_max);
        b->bytes.n = payload;
        do {
            batch.n = 0;
            proto->push_pub(&batch, channel, recs[i], bare);
            if (c->count && b->bytes.n - payload + batch.n + 1 > write_max)
                break;
            if (c->count && !proto->binary)
                buf_byte(&b->bytes, '\n');
            buf_add(&b->bytes, batch.p, batch.n);
            c->count++;
            c->last = recs[i]->pos;
        } while (++i < n);
        chunk_close(b, tr, proto->binary, payload);
    }
    buf_done(&batch);
}
