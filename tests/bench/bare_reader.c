/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_reader.c: what it costs to read a topic from its beginning and do nothing with it.
 *
 *   bench_bare_reader BOOTSTRAP TOPIC RECORDS
 *
 * A librdkafka consumer in no group, with what the worker's deep history sets, reads all partitions
 * until it has seen RECORDS, one message a call; then prints "read RECORDS WALL_MS CPU_MS", of this
 * process with librdkafka's threads. @thread main
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <librdkafka/rdkafka.h>

#include "common/base/base.h"
#include "common/base/clock.h"

static uint64_t cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static rd_kafka_t *open_kafka(const char *bootstrap)
{
    const char *const fixed[][2] = {{"bootstrap.servers", bootstrap},
                                    {"group.id", "bench-bare-reader"},
                                    {"enable.auto.commit", "false"},
                                    {"isolation.level", "read_committed"},
                                    {"check.crcs", "true"},
                                    {"queued.min.messages", "8192"},
                                    {"queued.max.messages.kbytes", "4096"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[512];
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], why, sizeof why) !=
            RD_KAFKA_CONF_OK) {
            (void)fprintf(stderr, "bench_bare_reader: %s\n", why);
            exit(1);
        }
    return rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
}

static int assign_all(rd_kafka_t *rk, const char *topic)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    if (rd_kafka_metadata(rk, 0, rkt, &md, 5000))
        return -1;
    for (int p = 0; p < md->topics[0].partition_cnt; p++)
        rd_kafka_topic_partition_list_add(l, topic, p)->offset = 0;
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    int rc = rd_kafka_assign(rk, l) ? -1 : 0;
    rd_kafka_topic_partition_list_destroy(l);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint64_t want = strtoull(argv[3], NULL, 10), seen = 0;
    rd_kafka_t *rk = open_kafka(argv[1]);
    if (!rk || rd_kafka_poll_set_consumer(rk) || assign_all(rk, argv[2]) < 0)
        return 1;
    uint64_t cpu = cpu_ms(), began = clock_mono_ms();
    while (seen < want && clock_mono_ms() - began < 60000) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
        seen += m && !m->err;
        if (m)
            rd_kafka_message_destroy(m);
    }
    printf("read %llu %llu %llu\n", (unsigned long long)seen,
           (unsigned long long)(clock_mono_ms() - began), (unsigned long long)(cpu_ms() - cpu));
    (void)fflush(stdout);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return seen == want ? 0 : 1;
}
