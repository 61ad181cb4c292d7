/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.h: the known incarnations of topics: what the registry topic says, in memory.
 *
 * Pure. The first record of a (topic, n) wins; later ones are ignored, so that every reader of the
 * same registry comes to the same answer. A record's text is JSON, one object:
 *   {"topic":"quakes","n":1,"log":"a8Zk20Qx","partitions":16,"cluster":"…"}
 * @thread boot, then history
 */
#pragma once

#include "common/base/buf.h"
#include "common/base/keys.h"

#define CLUSTER_MAX      63
#define LOGS_EARLIER_MAX 8

struct log_record {
    char topic[TOPIC_MAX + 1];
    uint32_t n; /* from 1; 0 = the log id is configured, not registered */
    char log[LOG_ID_LEN + 1];
    int32_t partitions;
    char cluster[CLUSTER_MAX + 1]; /* "" = not known */
};

struct logs {
    struct log_record *v;
    size_t count, cap;
};

void logs_done(struct logs *ls);
/* False: (topic, n) is known already, nothing changed. */
bool logs_add(struct logs *ls, const struct log_record *rec);
const struct log_record *logs_get(const struct logs *ls, const char *topic, uint32_t n);
const struct log_record *logs_newest(const struct logs *ls, const char *topic); /* NULL: none */
/* Partition counts of a topic's logs before n that were smaller than n's, newest first; returns how
 * many (at most LOGS_EARLIER_MAX). */
size_t logs_earlier(const struct logs *ls, const char *topic, uint32_t n,
                    int32_t ret[LOGS_EARLIER_MAX]);

void logs_print(struct buf *out, const struct log_record *rec);
int logs_parse(struct slice text, struct log_record *ret) _must_check_; /* 0 or -EBADMSG */

/* Does this log still describe a topic with so many partitions on this cluster? */
enum logs_fit {
    LOGS_FIT,
    LOGS_GROWN,   /* more partitions, or another cluster: a new incarnation */
    LOGS_SMALLER, /* old metadata, unless it lasts */
};
enum logs_fit logs_fits(const struct log_record *rec, int32_t partitions, const char *cluster);
