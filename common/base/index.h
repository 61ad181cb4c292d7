/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h: what the last-position index beside a stream says, and what it proves of a cursor.
 *
 * The index is a hash: channel -> its last position among all records in (since, upto]. The field
 * with the empty name, which no channel has, is the range: "<since> <upto> <bytes>". An index that
 * grew beyond its bound is kept as the old one, beside a new one that goes on from there. Workers
 * write both (fanout-worker/index*.lua), edges read them; schemas/region-stream.md draws them.
 *
 * What either says is said about the log, and a log doesn't change: it stays true for ever, also
 * when the two are read at different times. @thread any
 */
#pragma once

#include "common/base/base.h"

#define INDEX_RANGE_FIELD "" /* the range's name in the hash */

/* What one index says of one channel. */
struct index_says {
    bool is_there;        /* false: there is no such index, or its range can't be read */
    uint64_t since, upto; /* 0 <= since <= upto */
    uint64_t last;        /* the channel's; 0: it has none there */
};

/* Sets is_there, since and upto from the range's text. False (is_there): it isn't a range. */
bool index_take_range(struct index_says *says, struct slice text);
/* The channel's field. A text that isn't a position counts as the greatest: it proves nothing. */
uint64_t index_last(struct slice text);
/* The position up to which the channel surely has no record behind pos: pos itself if neither index
 * proves more. */
uint64_t index_proves(const struct index_says *now, const struct index_says *old, uint64_t pos);
