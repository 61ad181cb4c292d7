/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.h: where a partition goes on: decisions, pure functions of what Redis and Kafka say.
 *
 * A position is a Kafka offset + 1. So the stream's last position is also the next offset to read,
 * and the record at position p is at offset p - 1. Kafka keeps offsets low … end - 1.
 * Used by partition.c, which gathers the facts. @thread any
 */
#pragma once

#include "common/base/base.h"

/* What comparing the record at the last position with its fingerprint showed. */
enum attach_check {
    CHECK_NONE, /* nothing to compare with */
    CHECK_SAME,
    CHECK_DIFFERENT, /* another record, or none although its neighbours are there */
    CHECK_GONE,      /* retention took it */
    CHECK_BEYOND,    /* Kafka's end lies before it */
};

/* Which comparison is possible: looks only at where a position lies in Kafka. CHECK_SAME here means
 * "inside: fetch and compare". */
enum attach_check attach_place(uint64_t pos, int64_t low, int64_t end);

struct attach_facts {
    uint64_t last;    /* the stream's last position; 0 = absent */
    int64_t low, end; /* Kafka's */
    enum attach_check
        check;     /* of the last position; of the committed one if the stream is absent */
    int64_t share; /* records an absent stream may read again */
};

enum attach_verdict {
    ATTACH_RUN,
    ATTACH_BEYOND, /* Kafka's end is below the position: wait, then a new log */
    ATTACH_NEWLOG, /* another log under the same name */
};

struct attach_plan {
    enum attach_verdict verdict;
    int64_t start;  /* offset to read from */
    uint64_t chain; /* position that the next entry continues from */
    bool gap;       /* records between the stream's last and chain are lost: readers are told */
    bool rebuild;   /* the stream is absent and there is something to read again */
};

struct attach_plan attach_decide(const struct attach_facts *f);

/* Beats of the pump in which each running partition is checked once. */
#define ATTACH_CHECK_BEATS 20
/* Is it this one's turn? A fifth of a topic's partitions each time, so that what the checks read
 * from Kafka once more, seconds of records, doesn't come all at once. */
bool attach_check_is_due(uint64_t beat, uint32_t topic, int32_t partition);

/* How long a wrong sight must last before it is believed. */
#define ATTACH_BEYOND_MS  2000
#define ATTACH_SMALLER_MS 10000
/* Since when (0 = not) and now, monotonic ms. True: it has lasted. Updates *since. */
bool attach_lasts(uint64_t *since, bool seen, uint64_t now, uint64_t limit_ms);
