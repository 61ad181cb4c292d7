/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h: the names in a region's Redis, and the formats that workers write and edges read there.
 *
 *   ff:{<log>:<p>}        stream: one (log, partition); entry.h
 *   ff:{<log>:<p>}:side   hash: last (position), fp (its fingerprint, decimal)
 *   ff:{<log>:<p>}:last   hash: the last-position index, and its forerunner `:last:old`; index.h
 *   ff:{<log>:<p>}:seg:<from>        string: a segment of deep history; segment.h
 *   ff:{<log>:<p>}:seg:<from>:want   string: somebody wants it; kept by the worker that reads it
 *   ff:want               list: "<log> <p> <from>", for any worker of the region
 *   ff:segs, ff:segs:sum  zset of "<size> <ttl> <key>" by when it expires, and their sum in bytes
 *   ff:topic:<topic>      hash: n, log, partitions, partitioner, state (live | unmapped |
 *                         compacted), and what edges must have alike: namespace, key, history
 *   ff:shards             hash: the other Redis servers of the region; stores.h
 *   ff:beacon             hash: a row for each worker (w:<id>) and each partition (p:<log>:<p>)
 *
 * A beacon row is text, fields split by one space:
 *   worker      "<counter> <assigned partitions>"; deleted by a worker that stops
 *   partition   "<counter> <worker id> <state> <low> <end> <last>"
 *               a + behind the id: the worker doesn't own it, it carries on what a dead one left
 *               state: live | rebuild | stalled; low: the lowest position still in Kafka; end: the
 *               position of Kafka's last record (high watermark; 0 = empty); last: last appended.
 * The counter grows with each write; only its changing means life (no clock travels). Rows that
 * stood still for 60 s are deleted by any worker.
 * @thread any
 */
#pragma once

#include "common/base/base.h"

#define LOG_ID_LEN    8   /* characters of a log id: [0-9A-Za-z] */
#define TOPIC_MAX     249 /* Kafka's own limit for a topic's name */
#define KEY_MAX       320 /* any key below fits, with its NUL */
#define KEY_BEACON    "ff:beacon"
#define KEY_SHARDS    "ff:shards"
#define KEY_WANTS     "ff:want"
#define KEY_SEGS      "ff:segs"
#define KEY_SEGS_SUM  "ff:segs:sum"
#define WORKER_ID_MAX 64

size_t key_stream(char dst[KEY_MAX], const char *log, int32_t partition);
size_t key_side(char dst[KEY_MAX], const char *log, int32_t partition);
size_t key_index(char dst[KEY_MAX], const char *log, int32_t partition);
size_t key_index_old(char dst[KEY_MAX], const char *log, int32_t partition);
size_t key_segment(char dst[KEY_MAX], const char *log, int32_t partition, uint64_t from);
size_t key_segment_want(char dst[KEY_MAX], const char *log, int32_t partition, uint64_t from);
size_t key_topic(char dst[KEY_MAX], const char *topic);
bool log_id_is_valid(struct slice s);

/* An element of ff:want. */
struct segment_want {
    char log[LOG_ID_LEN + 1];
    int32_t partition;
    uint64_t from;
};
size_t segment_want_print(char dst[KEY_MAX], const struct segment_want *w);
int segment_want_parse(struct slice text, struct segment_want *ret) _must_check_; /* 0, -EBADMSG */

enum beacon_state {
    BEACON_LIVE,
    BEACON_REBUILD,
    BEACON_STALLED
};

#define BEACON_AGE_UNKNOWN INT64_MAX

struct beacon_row {
    char log[LOG_ID_LEN + 1];
    int32_t partition;
    uint64_t counter;
    enum beacon_state state;
    uint64_t low, end, last; /* positions */
    uint64_t age_ms;         /* of end, at most; BEACON_AGE_UNKNOWN: not told */
    char worker[WORKER_ID_MAX];
};

size_t beacon_field(char dst[KEY_MAX], const char *log, int32_t partition);
size_t beacon_print(char dst[256], const struct beacon_row *row);
/* Parses a row's field name and value. 0; -ENOENT if the field is a worker's row; -EBADMSG. */
int beacon_parse(struct slice field, struct slice value, struct beacon_row *ret) _must_check_;
