/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.h: what one channel got in one turn, encoded and framed once for all its subscribers.
 *
 * A block is one or more chunks, each a whole frame of at most write_max bytes (one record alone
 * may make a larger one) that ends at a known position: a client that can't take more stops between
 * two chunks. Memory is reused from turn to turn. @thread shard
 */
#pragma once

#include "common/base/buf.h"

#include "edge-node/plog.h"
#include "edge-node/proto.h"
#include "edge-node/transport.h"

struct chunk {
    size_t at, n;   /* bytes in the block */
    uint64_t last;  /* position of its last record */
    uint32_t count; /* records */
};

struct block {
    struct buf bytes;
    struct buf message; /* scratch */
    struct chunk *chunks;
    size_t n, cap;
    size_t size; /* of all chunks */
};

struct block_how {
    const struct proto *proto;
    const struct transport *tr;
    size_t write_max;
    bool bare; /* no positions: a channel that is live only */
};

#define BLOCK_KEEP KIB(256) /* memory of a block that stays for the next turn */

void block_done(struct block *b);
/* It was written: gives back what an unusual turn needed. */
void block_clear(struct block *b);
static inline size_t block_memory(const struct block *b)
{
    return b->bytes.cap + b->message.cap + b->cap * sizeof(*b->chunks);
}
/* Encodes one channel's records (at least one, ascending). */
void block_encode(struct block *b, const struct block_how *how, const struct rec_vec *recs);
