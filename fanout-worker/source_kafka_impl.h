/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_impl.h: what source_kafka.c (at work), source_kafka_open.c (at start) and
 * source_kafka_group.c (in the group?) share.
 *
 * @thread pump (at start: boot)
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "common/base/list.h"

#include "fanout-worker/source_kafka.h"
#include "fanout-worker/source_kafka_heard.h"

struct slot {
    struct source_id id;
    uint32_t index;
    rd_kafka_queue_t *queue; /* NULL: not started */
    void *handle;
    bool held;       /* record() said no more */
    struct list hot; /* in source_kafka.hot: may have records waiting */
};

struct source_kafka {
    struct source base;
    const struct namespaces *nss;
    const struct source_events *ev;
    void *arg;
    rd_kafka_t *rk;
    rd_kafka_queue_t *main_queue;
    int pipe_rd, pipe_wr;
    struct slot **slots;
    size_t count, cap;
    struct list hot;
    uint64_t coordinator_ms, session_ms; /* source_kafka_group.c */
    uint64_t fetch_wait_ms, began_ms;    /* the same */
    struct kafka_heard heard;
    bool spare;              /* in no group: nothing to leave */
    rd_kafka_topic_t **rkts; /* of the spare: keep the topics known; one a namespace */
    bool closing;
    bool is_reading; /* the library is in a partition's queue */
    struct {
        bool is_there, is_fatal;
        char text[256];
    } error; /* that it told meanwhile */
};

extern const struct source_ops source_kafka_ops;
void source_kafka_free(struct source_kafka *sk);
void source_kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *l, void *opaque);
void source_kafka_group_init(struct source_kafka *sk); /* sk->rk is there */
bool source_kafka_is_member(const struct source_kafka *sk);
bool source_kafka_is_current(const struct source_kafka *sk);
uint64_t source_kafka_silent_ms(const struct source_kafka *sk);
int source_kafka_on_stats(rd_kafka_t *rk, char *json, size_t n, void *opaque);
void source_kafka_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque);
/* What a started partition's queue has, or NULL. What was read after an error that stops the
 * partition is nobody's: it may be of another log. */
rd_kafka_message_t *source_kafka_read(struct source_kafka *sk, const struct slot *sl);
