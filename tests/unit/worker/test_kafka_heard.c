/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kafka_heard.c: how old what brokers told is: by their answers, and by the statistics, which
 * say who is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fanout-worker/source_kafka_heard.h"

/* A partition as the statistics show it; only what is read of it, and what stands between. */
#define FROM(at, leader, state)                                                              \
    "\"0\": { \"partition\":0, \"broker\":" at ", \"leader\":" leader ", \"desired\":true, " \
    "\"fetchq_cnt\":0, \"fetch_state\":\"" state "\", \"hi_offset\":7} , "
#define PART(at, state) FROM(at, at, state)
#define OURS(at)        PART(at, "active")
#define OTHERS(at)      PART(at, "none")
#define BROKERS         "\"brokers\":{ \"b\": { \"nodeid\":1, \"toppars\":{ \"t-0\": { } } } }, "

/* And the answer was read. */
static void answered(struct kafka_heard *h, int32_t broker, uint64_t asked_ms)
{
    kafka_heard_answer(h, broker, asked_ms);
    kafka_heard_asked(h, broker);
}

static void test_who_is_asked_counts(void **state)
{
    struct kafka_heard h = {0};

    (void)state;
    assert_int_equal(kafka_heard_ms(&h), 0); /* no statistics yet */
    kafka_heard_stats(&h, "", 50);
    assert_int_equal(kafka_heard_ms(&h), 50); /* nothing of ours: nothing is old */
    kafka_heard_stats(&h, BROKERS OTHERS("4") OURS("1") OURS("3") PART("5", "stopped") OURS("1"),
                      100);
    assert_int_equal(kafka_heard_ms(&h), 0); /* never answered */
    answered(&h, 1, 70);
    assert_int_equal(kafka_heard_ms(&h), 0);
    answered(&h, 3, 80);
    answered(&h, 2, 10);
    assert_int_equal(kafka_heard_ms(&h), 70); /* 4 and 5 are never asked */
    answered(&h, 1, 130);
    assert_int_equal(kafka_heard_ms(&h), 80);
    answered(&h, 3, 140);
    assert_int_equal(kafka_heard_ms(&h), 100); /* another may be asked since then */
    kafka_heard_stats(&h, BROKERS OURS("2"), 150);
    assert_int_equal(kafka_heard_ms(&h), 10);
    kafka_heard_stats(&h, OURS("-1"), 155); /* it has no leader */
    assert_int_equal(kafka_heard_ms(&h), 0);
    kafka_heard_stats(&h, "\"broker\":2, \"leader\":", 160); /* cut short */
    assert_int_equal(kafka_heard_ms(&h), 160);
}

static void test_an_answer_counts_when_it_was_read(void **state)
{
    struct kafka_heard h = {0};

    (void)state;
    kafka_heard_stats(&h, OURS("1"), 200);
    kafka_heard_asked(&h, 1); /* the first question */
    assert_int_equal(kafka_heard_ms(&h), 0);
    kafka_heard_answer(&h, 1, 100);
    assert_int_equal(kafka_heard_ms(&h), 0);
    kafka_heard_asked(&h, 1);
    assert_int_equal(kafka_heard_ms(&h), 100);
    kafka_heard_answer(&h, 1, 150);
    assert_int_equal(kafka_heard_ms(&h), 100);
}

static void test_a_follower_tells_no_end(void **state)
{
    struct kafka_heard h = {0};

    (void)state;
    answered(&h, 1, 70);
    answered(&h, 2, 80);
    kafka_heard_stats(&h, OURS("1") FROM("2", "3", "none") FROM("2", "1", "active"), 100);
    assert_int_equal(kafka_heard_ms(&h), 70); /* it answers */
    assert_int_equal(kafka_heard_end_ms(&h), 0);
    kafka_heard_stats(&h, OURS("1") OURS("2") FROM("2", "3", "none"), 100);
    assert_int_equal(kafka_heard_end_ms(&h), 70);
}

static void test_more_brokers_than_are_kept(void **state)
{
    char stats[(KAFKA_HEARD_BROKERS + 1) * 128];
    struct kafka_heard h = {0};
    size_t n = 0;

    (void)state;
    for (int i = 0; i <= KAFKA_HEARD_BROKERS; i++) {
        answered(&h, i, 90);
        n += (size_t)snprintf(stats + n, sizeof(stats) - n,
                              "\"broker\":%d, \"leader\":%d, \"fetch_state\":\"active\" ,", i, i);
        if (i == KAFKA_HEARD_BROKERS - 1) {
            kafka_heard_stats(&h, stats, 100);
            assert_int_equal(kafka_heard_ms(&h), 90);
        }
    }
    kafka_heard_stats(&h, stats, 100);
    assert_int_equal(kafka_heard_ms(&h), 0);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_who_is_asked_counts),
        cmocka_unit_test(test_an_answer_counts_when_it_was_read),
        cmocka_unit_test(test_a_follower_tells_no_end),
        cmocka_unit_test(test_more_brokers_than_are_kept),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
