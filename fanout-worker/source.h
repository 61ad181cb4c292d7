/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h: where records come from: anything with partitions and replayable positions. Kafka is
 * the first (source_kafka.c); the pump knows only this table.
 *
 * A source belongs to the pump's thread, never blocks, and calls back only from within poll(). A
 * partition is (topic index in the configuration, number). It is read only between start() and
 * stop(), always from an explicit offset; a partition whose record() said "no more" is not read
 * until resume(). @thread pump
 */
#pragma once

#include "common/base/base.h"

/* The i-th header of a record; false at the end. */
typedef bool source_header_fn(const void *raw, size_t i, struct slice *ret_name,
                              struct slice *ret_value);

struct source_record {
    int64_t offset;
    int64_t time_ms;  /* 0 = none */
    struct slice key; /* p == NULL: absent */
    struct slice value;
    const void *raw; /* for header() */
    source_header_fn *header;
};

struct source_id {
    uint32_t topic; /* index of its namespace */
    int32_t partition;
};

enum source_trouble {
    SOURCE_OUT_OF_RANGE, /* the offset asked for is not there */
    SOURCE_FETCH_ERROR,
};

struct source_events {
    void (*assigned)(void *arg, const struct source_id *ids, size_t n);
    void (*revoked)(void *arg, const struct source_id *ids, size_t n);
    /* One record of a started partition (handle is start()'s). False: no more for now. */
    bool (*record)(void *handle, const struct source_record *r);
    /* Reading has reached the end that the source has now. */
    void (*end)(void *handle);
    /* All that was waiting for this partition has been handed over, for now. */
    void (*turn)(void *handle);
    void (*trouble)(void *handle, enum source_trouble what, const char *text);
    /* A connection was lost or changed: what was fetched before may not continue. */
    void (*connection)(void *arg, const char *text);
    /* The source can't go on at all. */
    void (*failed)(void *arg, const char *text);
};

struct source_commit {
    struct source_id id;
    int64_t offset; /* the next one to read */
    char metadata[64];
};

struct source {
    const struct source_ops *ops;
};

struct source_ops {
    int (*fd)(const struct source *s); /* readable: call poll */
    /* Hands over what waits, at most about `budget` records. True: call again soon. with_all: look
     * at every partition, not only those that said something. */
    bool (*poll)(struct source *s, size_t budget, bool with_all);
    int (*start)(struct source *s, struct source_id id, int64_t offset, void *handle);
    void (*stop)(struct source *s, struct source_id id);
    void (*resume)(struct source *s, struct source_id id);
    /* What the last fetches told: the lowest offset kept, and the end. False: not known yet. */
    bool (*watermarks)(const struct source *s, struct source_id id, int64_t *ret_low,
                       int64_t *ret_end);
    /* For lag tools only; sent without waiting. */
    void (*commit)(struct source *s, const struct source_commit *v, size_t n);
    bool (*has_joined)(struct source *s);
    /* Is what watermarks() says no older than a second or so? */
    bool (*is_current)(const struct source *s);
    /* For how long one of those that are asked hasn't said anything new. */
    uint64_t (*silent_ms)(const struct source *s);
    /* What watermarks() says of a partition that is being fetched was so then or later; own
     * monotonic time. Not told of anything: 0. */
    uint64_t (*known_ms)(const struct source *s);
    /* Leaves the group (at most 3 s) and frees. Callbacks may still come from within. */
    void (*close)(struct source *s);
};
