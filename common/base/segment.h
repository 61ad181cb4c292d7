/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h: a closed range of one partition, as a worker read it from Kafka for the edges: deep
 * history, older than the region stream (schemas/deep-history.md draws keys and bytes).
 *
 * The value of a segment's key is:
 *
 *   byte 0     version, SEGMENT_VERSION
 *   byte 1     SEGMENT_END: it touches the log's end and is not a closed range yet
 *              SEGMENT_FULL: there was no room for it (history_bytes); nothing follows but `from`
 *   varint     from: the position it was asked for
 *   varint     upto - from: every record that Kafka has in (from, upto] is here
 *   varint     low: the lowest position that Kafka had then; what is below it is gone for good
 *   then, for each record, ascending:
 *     varint   its position - the last one's (from, to begin with); >= 1
 *     varint n n bytes: the entry (entry.h), whose prev is the last one's position; the first
 *              one's is from, or low - 1 if that is greater
 *
 * A range that is closed never changes: any worker's answer for the same `from` is the same. `upto`
 * is where the next segment begins; the first of a row begins at a multiple of SEGMENT_POSITIONS.
 * Decoding borrows from the input and checks everything. @thread any
 */
#pragma once

#include "common/base/entry.h"

#define SEGMENT_VERSION   1
#define SEGMENT_POSITIONS UINT64_C(4096) /* a segment ends at a multiple of it */
#define SEGMENT_BYTES     MIB(1)         /* or with the record that brings it to this size */
#define SEGMENT_ROW_BYTES MIB(4)         /* what one want makes a worker read */
#define SEGMENT_END       0x01
#define SEGMENT_FULL      0x02

struct segment {
    uint8_t flags;
    uint64_t from, upto, low;
    struct slice rest; /* records not yet taken */
    uint64_t last;     /* position of the one taken last */
    uint64_t chain;    /* what the next one's prev must be */
};

/* Where the row of segments that holds pos + 1 begins. */
static inline uint64_t segment_row(uint64_t pos)
{
    return pos - pos % SEGMENT_POSITIONS;
}

/* Writing: the records first, then the head in front of them. e->pos must ascend from above *last,
 * which moves on; e->prev is set to *chain, which moves on, too. */
void segment_add(struct buf *records, struct entry *e, uint64_t *last, uint64_t *chain);
void segment_head(struct buf *out, uint8_t flags, uint64_t from, uint64_t upto, uint64_t low);

/* 0, -EPROTONOSUPPORT or -EBADMSG. */
int segment_open(struct slice value, struct segment *ret) _must_check_;
/* The next record; 0, -ENOENT at the end, -EBADMSG. */
int segment_next(struct segment *s, struct entry *ret) _must_check_;
