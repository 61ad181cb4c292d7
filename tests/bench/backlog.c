/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backlog.c: fills a topic as fast as it goes, for the worker to drain.
 *
 *   bench_backlog BOOTSTRAP TOPIC RECORDS SIZE
 *
 * Keys k0 … k999 by murmur2_random, values JSON of SIZE bytes. Exit 0 only if every record was
 * acknowledged. @thread main
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "common/base/buf.h"

static uint64_t acked, failed;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (m->err)
        failed++;
    else
        acked++;
}

int main(int argc, char **argv)
{
    static const char *const fixed[][2] = {{"partitioner", "murmur2_random"},
                                           {"acks", "all"},
                                           {"linger.ms", "20"},
                                           {"queue.buffering.max.messages", "200000"}};
    char why[512];
    if (argc != 5)
        return 2;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool bad = rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why) != 0;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        bad = bad || rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], why, sizeof why) != 0;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = bad ? NULL : rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) {
        (void)fprintf(stderr, "bench_backlog: %s\n", why);
        return 1;
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);
    uint64_t records = strtoull(argv[3], NULL, 10);
    size_t size = strtoul(argv[4], NULL, 10);
    struct buf value = BUF_INIT;
    for (uint64_t i = 0; i < records; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "k%u", (unsigned)(i % 1000));
        buf_clear(&value);
        buf_printf(&value, "{\"s\":%llu,\"p\":\"", (unsigned long long)i);
        while (value.n + 2 < size)
            buf_byte(&value, (unsigned char)('a' + (i + value.n) % 26));
        buf_lit(&value, "\"}");
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value.p, value.n,
                                key, (size_t)n, NULL))
            rd_kafka_poll(rk, 50);
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    (void)rd_kafka_flush(rk, 60000);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    buf_done(&value);
    return acked == records && failed == 0 ? 0 : 1;
}
