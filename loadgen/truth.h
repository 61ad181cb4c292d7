/* SPDX-License-Identifier: Apache-2.0 */
/*
 * truth.h: what the log holds, and the verdict on what every client got of it (judge.h).
 *
 * The truth is a list of records for each channel that is watched, in the order of the log. A
 * client's obligation for a channel runs from its first subscribe position to the end of the truth.
 * Per (client, channel), each record there must have been delivered once, in order, with its
 * payload:
 *
 *   missing    never delivered, and nobody said so
 *   duplicate  delivered again, or from before the subscription
 *   disorder   delivered after a later one
 *   wrong      another payload, a position the log doesn't have, or a channel not subscribed to
 *   told       times a gap (or a marker, or an end) was announced; told_records: what fell into it
 *
 * false_recovered counts those of the missing that lie between a cursor which the server called
 * recovered and the first record that came then: not only lost, but denied.
 *
 * Part of the oracle: shares no code with worker and edge; of common/ it uses memory and text
 * buffers only. @thread of its owner
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

struct tally {
    uint64_t subscriptions, expected, delivered, missing, duplicate, disorder, wrong, told,
        told_records, resumed, false_recovered;
};

/* The fields are judge.c's and truth.c's own. */
struct record {
    uint64_t pos;
    uint32_t digest;
};

struct channel {
    char *key;
    size_t key_len;
    struct record *v;
    size_t n, cap;
    int32_t partition; /* of its records; -1 = none yet */
    struct tally tally;
};

struct truth {
    struct channel *v;
    uint32_t n, cap;
    uint32_t *slots; /* open addressing: number + 1 of a channel by its key */
    size_t slot_mask;
    struct span {
        uint64_t begin, end; /* positions: last one before it, last one of it */
    } * spans;               /* by partition */
    size_t span_count;
    uint64_t records, others;
    bool broken; /* a key's positions didn't rise */
    struct tally all;
};

struct truth *truth_new(void);
void truth_free(struct truth *t);
/* Watches a record key; returns its number: 0, 1, 2 … */
uint32_t truth_watch(struct truth *t, struct slice key);
/* One record, in the order of its partition; keys nobody watches are counted only. 0, or -EBADMSG:
 * a key's positions must rise (its partition changed). */
int truth_record(struct truth *t, struct slice key, int32_t partition, uint64_t pos,
                 uint32_t digest);
/* Where the truth begins: the last position before it. Deliveries up to there are nobody's
 * business, unless they are from before the client's own subscription. */
void truth_begin(struct truth *t, int32_t partition, uint64_t last_pos);
/* Where the truth ends: what comes later is nobody's business. Partitions not named end at 0. */
void truth_end(struct truth *t, int32_t partition, uint64_t last_pos);
uint64_t truth_records(const struct truth *t); /* of watched keys */
uint32_t truth_channels(const struct truth *t);
uint64_t truth_last(const struct truth *t, uint32_t channel); /* last position; 0 = none */

void truth_sum(struct truth *t); /* after judging: the tally of all */
/* First record of a channel behind pos; n if there is none. */
size_t truth_index_behind(const struct channel *ch, uint64_t pos);
/* Is a position of a channel outside of the truth, so nobody's business? */
bool truth_is_outside(const struct truth *t, const struct channel *ch, uint64_t pos);
const struct tally *truth_tally(const struct truth *t); /* in all */
bool truth_is_clean(const struct truth *t, bool allow_told);
/* One line of JSON; channels with a fault first, at most `channels` of them. */
void truth_print(const struct truth *t, size_t channels, bool allow_told, struct buf *out);
