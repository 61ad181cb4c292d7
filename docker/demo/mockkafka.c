/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mockkafka.c: librdkafka's mock cluster as a process of its own: a Kafka for the demo, no Java.
 *
 *   fanfare-demo-kafka TOPIC:PARTITIONS…    prints bootstrap=HOST:PORT, runs until SIGTERM, SIGINT
 *
 * It keeps everything in memory (the last 5 MB or so of each partition), is on loopback only, and
 * doesn't wake a waiting fetch: consumers set fetch.wait.max.ms to 10. Admin requests are not
 * offered, so it creates the topics itself. @thread main; the cluster has its own
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

static int create_topic(rd_kafka_mock_cluster_t *mc, const char *arg)
{
    char topic[250];
    const char *colon = strrchr(arg, ':');
    size_t len = colon ? (size_t)(colon - arg) : 0;
    long partitions = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (len == 0 || len >= sizeof(topic) || partitions < 1 || partitions > 1000) {
        fprintf(stderr, "fanfare-demo-kafka: %s: expected TOPIC:PARTITIONS\n", arg);
        return -EINVAL;
    }
    memcpy(topic, arg, len);
    topic[len] = '\0';
    rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(mc, topic, (int)partitions, 1);
    if (err) {
        fprintf(stderr, "fanfare-demo-kafka: topic %s: %s\n", topic, rd_kafka_err2str(err));
        return -EIO;
    }
    return 0;
}

int main(int argc, char **argv)
{
    /* Blocked before any thread exists, so that sigwait() below gets them. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    char text[512];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, text, sizeof(text));
    rd_kafka_mock_cluster_t *mc = rk ? rd_kafka_mock_cluster_new(rk, 1) : NULL;
    if (!mc) {
        fprintf(stderr, "fanfare-demo-kafka: no mock cluster%s%s\n", rk ? "" : ": ",
                rk ? "" : text);
        return 1;
    }
    int rc = 0;
    for (int i = 1; i < argc && rc == 0; i++)
        rc = create_topic(mc, argv[i]);
    if (rc == 0) {
        int number;
        printf("bootstrap=%s\n", rd_kafka_mock_cluster_bootstraps(mc));
        fflush(stdout);
        sigwait(&ends, &number);
    }
    rd_kafka_mock_cluster_destroy(mc);
    rd_kafka_destroy(rk);
    return rc ? 1 : 0;
}
