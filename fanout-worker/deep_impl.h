/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_impl.h: what deep.c (wants, publishing) and deep_read.c (Kafka) share. @thread history
 */
#pragma once

#include <ev.h>

#include "common/base/segment.h"
#include "common/io/redis.h"

#include "fanout-worker/deep.h"
#include "fanout-worker/history_impl.h"
#include "fanout-worker/record.h"
#include "fanout-worker/script.h"

#define DEEP_READERS 16 /* partitions that stay assigned, each with what it has read ahead */

/* A partition's place in Kafka: the next record is that behind `at`. */
struct deep_reader {
    rd_kafka_queue_t *queue; /* NULL: free */
    uint32_t topic;
    int32_t partition;
    char log[LOG_ID_LEN + 1]; /* what was read ahead is this one's, whatever the topic is by now */
    uint64_t at;              /* position */
    rd_kafka_message_t *kept; /* read, and belongs to the next segment */
    uint64_t used;            /* when, for the oldest's turn to go */
};

struct deep {
    struct history *h;
    struct redis_conn *redis;
    ev_timer retry;
    uint32_t tries;
    bool asked; /* for a want; its reply is on its way */

    /* the want in hand */
    struct segment_want want;
    uint32_t topic;
    int64_t low;          /* Kafka's lowest offset, as the overlap check saw it */
    uint32_t unpublished; /* segments whose publishing isn't answered */
    bool row_done;
    uint64_t checked_ms; /* when the overlap check last passed, of `checked` */
    struct segment_want checked;

    /* deep_read.c's */
    rd_kafka_t *rk;
    struct deep_reader readers[DEEP_READERS];
    uint64_t uses;
    struct record_maker maker;
};

/* One segment from `from` on, at most up to the position `limit`: records and head appended to out.
 * 0; -ETIMEDOUT, -EIO, -ECANCELED (the worker stops): out is of no use. */
int deep_read(struct deep *d, uint64_t from, uint64_t limit, struct buf *ret_value,
              struct segment *ret_head) _must_check_;
bool deep_goes_on(const struct deep *d); /* the want continues what was read last */
void deep_read_rest(struct deep *d);     /* nobody wants anything: nothing stays assigned */
void deep_read_done(struct deep *d);
