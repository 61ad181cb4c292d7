/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.c: a bare librdkafka consumer: the least latency anybody can have who reads this topic.
 *
 *   bench_floor BOOTSTRAP TOPIC
 *
 * Reads every partition from its end without a group, until stdin ends; "ready" is printed when it
 * does. Latency runs from the payload's "t" (monotonic ns) to the poll that returned the record. By
 * lines on stdin: "reset" forgets what was seen (warm-up). At the end, the histogram as a line of
 * JSON, pairs of ns and count. One thread, polls stdin every 20 ms between records.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "common/base/clock.h"

#include "loadgen/hist.h"
#include "loadgen/reply.h"

_Noreturn static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_floor: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *open_consumer(const char *bootstrap)
{
    static const char *const fixed[][2] = {{"group.id", "bench-floor"},
                                           {"enable.auto.commit", "false"},
                                           {"isolation.level", "read_committed"}};
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why))
        die("bootstrap", why);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], why, sizeof why))
            die(fixed[i][0], why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk)
        die("consumer", why);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void assign_ends(rd_kafka_t *rk, const char *topic)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &md, 10000);
    if (err || md->topic_cnt != 1 || md->topics[0].partition_cnt == 0)
        die("topic", err ? rd_kafka_err2str(err) : "has no partitions");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    for (int p = 0; p < md->topics[0].partition_cnt; p++) {
        int64_t low, high;
        int tries = 30; /* a topic just created has no leader for a moment */
        do
            err = rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, 10000);
        while (err && --tries > 0 && poll(NULL, 0, 100) == 0);
        if (err)
            die("watermarks", rd_kafka_err2str(err));
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = high;
    }
    err = rd_kafka_assign(rk, list);
    if (err)
        die("assign", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
}

static void take(struct hist *h, rd_kafka_message_t *m)
{
    if (!m->err && m->payload) {
        struct slice value = {m->payload, m->len};
        uint64_t now = clock_mono_ns(), due = payload_number(value, SLICE("\"t\":"));
        if (due > 0)
            hist_add(h, now > due ? now - due : 0);
    }
    rd_kafka_message_destroy(m);
}

/* false at the end of stdin. */
static bool obey(struct hist *h)
{
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    char line[64];
    if (poll(&in, 1, 0) <= 0)
        return true;
    if (read(STDIN_FILENO, line, sizeof line) <= 0)
        return false;
    hist_init(h);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct hist *h = mem_alloc(sizeof *h);
    hist_init(h);
    rd_kafka_t *rk = open_consumer(argv[1]);
    assign_ends(rk, argv[2]);
    printf("ready\n");
    (void)fflush(stdout);
    uint64_t looked = 0;
    for (;;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 20);
        if (m)
            take(h, m);
        uint64_t now = clock_mono_ms();
        if (now - looked >= 20) {
            looked = now;
            if (!obey(h))
                break;
        }
    }
    struct buf out = BUF_INIT;
    hist_buckets_json(h, &out);
    printf("%.*s\n", (int)out.n, out.p);
    buf_done(&out);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    free(h);
    return 0;
}
