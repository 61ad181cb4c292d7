/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_impl.h: what history.c and history_facts.c share. @thread history
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "fanout-worker/history.h"

#define HISTORY_ASK_MS 5000 /* one question to Kafka */

struct history_topic {
    rd_kafka_topic_t *rkt; /* keeps the topic among those whose metadata is asked for */
    uint32_t n;            /* newest log that the pump was told of */
    int32_t *leaders;
    int32_t leader_count;
};

struct history {
    const struct worker_conf *conf;
    const struct namespaces *nss;
    rd_kafka_t *rk;
    struct history_topic *topics;
    struct registry *reg;
    struct inbox inbox, *reply;
    pthread_t thread;
    pthread_mutex_t lock; /* guards rung and stop */
    pthread_cond_t cond;
    bool rung, stop, started;
    bool owed_counts; /* somebody waits for counts, and the request failed */
};

bool history_stopping(struct history *h);
void history_answer(struct history *h, struct history_job *j); /* moves j to the pump */
/* Answers each job of the list; it is garbage afterwards. */
void history_answer_facts(struct history *h, struct list *jobs);
