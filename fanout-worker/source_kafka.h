/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka.h: the Kafka source, and what every Kafka handle of the worker is made of.
 *
 * Handles are made in source_kafka_open.c, history.c, deep_reader.c and registry.c, each by
 * kafka_conf_new().
 */
#pragma once

#include "fanout-worker/source.h"

struct namespaces;
struct worker_conf;
struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_partition_list_s;

enum kafka_role {
    KAFKA_GROUP,  /* the member of the consumer group */
    KAFKA_SPARE,  /* reads as that does, but is no member: what another worker left */
    KAFKA_READER, /* reads given offsets; carries the group's name to see its commits */
    KAFKA_WRITER, /* a producer (registry) and admin client */
};

/* NULL with why filled: "kafka.foo: No such configuration property". The caller owns the result.
 * @thread any */
struct rd_kafka_conf_s *kafka_conf_new(const struct worker_conf *conf, enum kafka_role role,
                                       char *why, size_t why_size);
/* Sets one property that is ours; must() it is known. */
void kafka_conf_set(struct rd_kafka_conf_s *rc, const char *name, const char *value);
/* "group", or fanfare-<region>. */
void kafka_group(const struct worker_conf *conf, char *dst, size_t size);
/* One end of a partition: which is RD_KAFKA_OFFSET_BEGINNING or _END. Blocks for ms at most; 0 or
 * librdkafka's error. @thread any but pump */
int kafka_ask_offset(struct rd_kafka_s *rk, const char *topic, int32_t partition, int64_t which,
                     int ms, int64_t *ret);
/* The same of all partitions in the list, into their offsets: each broker is asked once for what it
 * leads, all at the same time. An error is one of any of them. */
int kafka_ask_offsets(struct rd_kafka_s *rk, struct rd_kafka_topic_partition_list_s *l,
                      int64_t which, int ms);
/* Adds one partition to what the handle reads, from `offset` on; takes it out. 0, -EAGAIN.
 * @thread any */
int kafka_assign_one(struct rd_kafka_s *rk, const char *topic, int32_t partition, int64_t offset);
void kafka_unassign_one(struct rd_kafka_s *rk, const char *topic, int32_t partition);
/* A message's bytes as a record; borrowed. */
void kafka_record_of(const struct rd_kafka_message_s *m, struct source_record *ret);

struct source_kafka_opts {
    bool spare;
    const struct worker_conf *conf;
    const struct namespaces *nss;
    int32_t partitions; /* of all topics together: bounds what is read ahead */
    const struct source_events *events;
    void *arg; /* of events */
};

/* Subscribes to the namespaces' topics, unless it is the spare. NULL with why filled.
 * @thread boot (then pump; the spare: pump) */
struct source *source_kafka_new(const struct source_kafka_opts *opts, char *why, size_t why_size);
