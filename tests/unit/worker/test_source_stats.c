/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_source_stats.c: how long brokers have been silent, from librdkafka's statistics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout-worker/source_kafka.h"

#define BROKER(idle, led)                                                                      \
    "\"b\": { \"name\":\"b\", \"nodeid\":1, \"state\":\"UP\", \"rxidle\":" idle ", \"rx\":7, " \
    "\"toppars\":{ " led "} } ,"
#define LEADS "\"t-0\": { \"topic\":\"t\", \"partition\":0} "

static void test_silence(void **state)
{
    (void)state;
    assert_int_equal(kafka_silence_ms(""), 0);
    assert_int_equal(kafka_silence_ms("{ \"brokers\":{ " BROKER("90000000", "") "} }"), 0);
    assert_int_equal(kafka_silence_ms(BROKER("42000", LEADS)), 42);
    assert_int_equal(kafka_silence_ms(BROKER("42000", LEADS) BROKER("99000000", "")
                                          BROKER("1500999", LEADS) BROKER("700", LEADS)),
                     1500);
    assert_true(kafka_silence_ms(BROKER("-1", LEADS)) > 1000000000);        /* never heard */
    assert_int_equal(kafka_silence_ms("\"rxidle\":5000, \"toppars\":"), 0); /* cut short */
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
