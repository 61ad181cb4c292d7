/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_impl.h: what history.c, history_ask.c, history_facts.c and deep history share.
 * @thread history
 */
#pragma once

#include <ev.h>
#include <stdatomic.h>

#include <librdkafka/rdkafka.h>

#include "common/runtime/namespace.h"

#include "fanout-worker/history.h"

#define HISTORY_ASK_MS 5000 /* one question to Kafka */

struct history_topic {
    rd_kafka_topic_t *rkt; /* keeps the topic among those whose metadata is asked for */
    struct log_record log; /* newest one that the pump was told of; n = 0: configured */
    int32_t earlier[LOGS_EARLIER_MAX];
    size_t earlier_count;
    int32_t *leaders;
    int32_t leader_count;
};

struct history {
    const struct worker_conf *conf;
    const struct namespaces *nss;
    rd_kafka_t *rk;
    struct history_topic *topics;
    struct history_opts opts;
    struct registry *reg;
    struct deep *deep;
    struct policies *policies;
    struct inbox inbox, *reply;
    struct ev_loop *loop;
    ev_async bell;
    ev_timer tick;
    uint64_t refreshed_ms;
    uint64_t no_commit_until; /* don't ask for commits that are only one more witness */
    pthread_t thread;
    _Atomic bool stop;
    bool started;
    bool owed_counts; /* somebody waits for counts, and the request failed */
};

static inline const char *history_topic_of(const struct history *h, const struct history_job *j)
{
    return h->nss->v[j->topic].topic;
}

bool history_stopping(const struct history *h);
void history_answer(struct history *h, struct history_job *j); /* moves j to the pump */
/* Answer each job of the list; it is garbage afterwards. */
void history_answer_facts(struct history *h, struct list *jobs);
void history_answer_checks(struct history *h, struct list *jobs);
/* Fills HISTORY_FACTS jobs, which stay the caller's; their records come within ms. -EAGAIN: another
 * one's question took too long. */
void history_look(struct history *h, struct list *jobs, uint64_t ms);
/* Of these jobs, everything but the records: ends, commit, and what is to be compared. */
void history_ask(struct history *h, struct list *jobs);
