/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_registry.c: the registry on librdkafka's mock cluster, which refuses now and then, as
 * brokers do while a new topic gets its leader.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "fanout-worker/registry.h"
#include "fanout-worker/worker_conf.h"
#include "tests/unit/runtime/conf_run.h"

#define LIST_OFFSETS 2 /* ApiKeys of the Kafka protocol */

struct broker {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mc;
    struct worker_conf conf;
};

static int setup(void **state)
{
    struct broker *b = mem_zalloc(sizeof(*b));
    char servers[300], why[200];
    const char *const args[] = {"-s", "namespaces.q.topic=q", "-s", servers, NULL};
    struct conf_run r;

    b->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof(why));
    b->mc = rd_kafka_mock_cluster_new(b->rk, 1);
    snprintf(servers, sizeof(servers), "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(b->mc));
    r = conf_run(&worker_program, &b->conf, args);
    assert_int_equal(r.rc, 0);
    conf_run_done(&r);
    assert_int_equal(rd_kafka_mock_topic_create(b->mc, b->conf.registry_topic, 1, 1), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct broker *b = *state;

    rd_kafka_mock_cluster_destroy(b->mc);
    rd_kafka_destroy(b->rk);
    conf_done(&worker_program, &b->conf);
    free(b);
    return 0;
}

static struct registry *open_it(const struct broker *b)
{
    char why[300] = "";
    struct registry *reg = registry_open(&b->conf, why, sizeof(why));

    if (!reg)
        fail_msg("%s", why);
    return reg;
}

static void register_q(const struct broker *b)
{
    struct registry *reg = open_it(b);
    struct log_record want = {.n = 1, .log = "abcdefgh", .partitions = 4}, got;
    char why[300] = "";

    snprintf(want.topic, sizeof(want.topic), "q");
    if (registry_register(reg, &want, &got, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_string_equal(got.log, "abcdefgh");
    registry_close(reg);
}

static void test_what_was_registered_is_read(void **state)
{
    struct registry *reg;

    register_q(*state);
    reg = open_it(*state);
    assert_string_equal(logs_newest(registry_logs(reg), "q")->log, "abcdefgh");
    registry_close(reg);
}

/* The reader asks where the topic begins, and is refused: with auto.offset.reset=error librdkafka
 * gives up the partition and says so once. It must be asked again. */
static void test_a_broker_that_refuses_at_first(void **state)
{
    struct broker *b = *state;
    struct registry *reg;

    register_q(b);
    rd_kafka_mock_push_request_errors(
        b->mc, LIST_OFFSETS, 3, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    reg = open_it(b);
    assert_string_equal(logs_newest(registry_logs(reg), "q")->log, "abcdefgh");
    registry_close(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_registered_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broker_that_refuses_at_first, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
