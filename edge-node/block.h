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
    struct chunk *chunks;
    size_t n, cap;
    uint64_t first, last; /* positions */
    size_t size;          /* of all chunks */
};

void block_done(struct block *b);
/* Encodes recs[0..n) (ascending) of one channel. */
void block_encode(struct block *b, const struct proto *proto, const struct transport *tr,
                  const struct plog_rec *const *recs, size_t n, size_t write_max, bool bare);
