/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_heard.h: how old is what a Kafka handle knows of its partitions' ends?
 *
 * An end comes with each answer to a fetch, and was so at some time between the question and the
 * answer. On a narrow link that takes seconds, and a broker that says nothing isn't missed by the
 * library for long. So it is the time of the last *question that was answered* that counts.
 *
 * Who is asked about which partition: librdkafka's statistics. When: an interceptor, called in the
 * brokers' threads; what it writes is atomic. The rest @thread pump
 */
#pragma once

#include <stdatomic.h>

#include "common/base/base.h"

struct rd_kafka_conf_s;

#define KAFKA_HEARD_BROKERS 64 /* with more than these that are asked, nothing is known */

struct kafka_heard {
    struct kafka_heard_broker {
        _Atomic int64_t id;           /* and 1; 0: free */
        _Atomic uint64_t answered_ms; /* when the question was sent that was answered last */
        _Atomic uint64_t asked_ms;    /* the same, of the last whose answer was read to its end */
    } brokers[KAFKA_HEARD_BROKERS];
    uint64_t told_ms; /* when the statistics came; 0: none yet */
    size_t fetched_count;
    int64_t fetched[KAFKA_HEARD_BROKERS]; /* who were asked about partitions of ours, then */
    bool from_follower;                   /* one of them wasn't its partition's leader, then */
};

/* h lives as long as the handle that is made of rc. @thread boot, pump */
void kafka_heard_listen(struct kafka_heard *h, struct rd_kafka_conf_s *rc);
/* A broker has answered a fetch that was sent then, own monotonic time. The library says so before
 * it looks into the answer, whose partitions it reads one after the other, records and all: the
 * ends that it knows are still those of the answer before. @thread any */
void kafka_heard_answer(struct kafka_heard *h, int32_t broker, uint64_t asked_ms);
/* A broker was asked again, which it is when the answer before has been read. @thread any */
void kafka_heard_asked(struct kafka_heard *h, int32_t broker);
/* Statistics, a string, came. */
void kafka_heard_stats(struct kafka_heard *h, const char *stats, uint64_t now_ms);
/* What brokers told of partitions that are being fetched was so, for them, then or later; own
 * monotonic time. */
uint64_t kafka_heard_ms(const struct kafka_heard *h);
/* All ends we know were so in Kafka then or later; 0: not known. A follower (client.rack) hears of
 * the end with the records' replication: late by the link, or by anything if it is out of sync. */
uint64_t kafka_heard_end_ms(const struct kafka_heard *h);
