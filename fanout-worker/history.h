/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h: the second Kafka handle, a member of no group, in a thread of its own: what the pump
 * must know of Kafka and may not wait for.
 *
 * The pump posts jobs; each comes back through `reply` filled. By itself the thread refreshes the
 * topics' metadata every 5 s and reads the registry on, and posts what changed as jobs of its own
 * (HISTORY_TOPIC, HISTORY_LEADER, HISTORY_LOG). Owns its handle and, from history_start() on, the
 * registry. @thread history (the functions here: boot)
 */
#pragma once

#include "fanout-worker/attach.h"
#include "fanout-worker/inbox.h"
#include "fanout-worker/logs.h"

struct history;
struct namespaces;
struct registry;
struct worker_conf;
struct worker_metrics;
struct scripts;
struct pump_topic_boot;

/* A record that was carried, as it is known again: the overlap check fetches and compares it. */
struct history_point {
    uint64_t pos; /* 0: none */
    uint32_t fp;
    bool has_fp; /* false: only its place can be compared */
};

enum history_kind {
    HISTORY_FACTS,  /* low and end of a partition; compares the records at now and before */
    HISTORY_CHECK,  /* the regular check, of a partition that goes on: compares and asks no more */
    HISTORY_TOPIC,  /* a topic's partition count; asked for, or the regular one */
    HISTORY_LEADER, /* a partition's leader changed */
    HISTORY_NEWLOG, /* register log n; answered as HISTORY_LOG, or with err */
    HISTORY_LOG,    /* a log newer than the one at start */
};

struct history_job {
    struct list link;
    enum history_kind kind;
    uint32_t topic;
    int32_t partition;
    uint64_t token; /* the pump's, untouched */
    uint32_t late;  /* the asker's: failures in a row. 1: asked with few others; more: alone */
    int err;
    char why[160];
    /* HISTORY_FACTS, HISTORY_CHECK */
    struct history_point now;    /* the highest position known */
    struct history_point before; /* an earlier one; of a CHECK the only one that is compared */
    char log[LOG_ID_LEN + 1];    /* given: the group's commit of this log counts, too, as now */
    uint64_t commit;             /* answer: that commit; 0: there is none */
    int64_t low, end;            /* answer of FACTS */
    enum attach_check check;
    const struct history_point *wait; /* history's: its record isn't here yet */
    /* HISTORY_TOPIC */
    int32_t partitions;
    bool asked;
    bool compacted; /* and its namespace promises more than that leaves */
    /* HISTORY_NEWLOG, HISTORY_LOG */
    struct log_record rec;
    int32_t earlier[LOGS_EARLIER_MAX];
    size_t earlier_count;
};

static inline struct history_job *history_job_new(enum history_kind kind, uint32_t topic)
{
    struct history_job *j = mem_zalloc(sizeof(*j));

    list_init(&j->link);
    j->kind = kind;
    j->topic = topic;
    return j;
}

/* NULL with why filled. */
struct history *history_new(const struct worker_conf *conf, const struct namespaces *nss, char *why,
                            size_t why_size);
/* Boot: partition counts of all topics. 0; -EIO or -ENOENT (a topic is missing) with why filled,
 * how to mend it included. */
int history_count(struct history *h, int32_t *ret_partitions, char *why,
                  size_t why_size) _must_check_;
/* Boot: 0, or -EINVAL with why filled: a topic is compacted, and its namespace promises more. */
int history_policies(struct history *h, char *why, size_t why_size) _must_check_;
/* Boot: the cluster's id, "" if it has none. */
void history_cluster(struct history *h, char *dst, size_t size);
struct history_opts {
    const struct pump_topic_boot *topics; /* one a namespace, in order; copied */
    const struct scripts *scripts;
    struct worker_metrics *metrics;
    int64_t history_bytes; /* all segments of deep history together */
};
void history_start(struct history *h, const struct history_opts *opts, struct registry *take_reg,
                   struct inbox *reply);
void history_post(struct history *h, struct history_job *take_job);
void history_stop(struct history *h); /* joins the thread and frees */
