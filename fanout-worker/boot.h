/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h: everything a worker must know and check before it starts: Redis, Kafka, topics, registry.
 *
 * What is wrong is told in one line, with what mends it. Calls block, bounded. @thread boot
 */
#pragma once

#include "common/io/redis.h"

#include "fanout-worker/history.h"
#include "fanout-worker/pump.h"
#include "fanout-worker/registry.h"

#define BOOT_WHY 1024

struct boot {
    const struct worker_conf *conf;
    struct namespaces nss;
    struct scripts scripts;
    char where[REDIS_WHERE_MAX]; /* the Redis, for messages */
    int64_t maxmemory;           /* of Redis; 0 = no bound */
    int64_t stream_bytes;
    char cluster[CLUSTER_MAX + 1];
    int32_t partitions; /* of all topics together */
    struct pump_topic_boot *topics;
    struct history *history;
    struct registry *registry;
};

/* 0, or a negative value with why filled. boot_done() either way. */
int boot_run(struct boot *bt, const struct worker_conf *conf, char why[BOOT_WHY]) _must_check_;
void boot_done(struct boot *bt); /* what was taken out (set to NULL) isn't freed */

/* Pure: a number behind "name:" in INFO's text; -1 if it isn't there. */
int64_t boot_info_number(struct slice info, const char *name);
/* Pure: the bound of one stream. */
int64_t boot_stream_bytes(int64_t configured, int64_t maxmemory, int32_t partitions);
/* Pure: the bound of one last-position index. */
int64_t boot_index_bytes(int64_t configured, int64_t maxmemory, int32_t partitions);
/* Pure: the bound of deep history. */
int64_t boot_history_bytes(int64_t configured, int64_t maxmemory);
