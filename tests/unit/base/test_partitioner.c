/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_partitioner.c: ours against librdkafka's own, over many keys and partition counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "common/base/hash.h"
#include "common/base/partitioner.h"

static const int32_t counts[] = {1, 2, 3, 7, 16, 100, 1024, INT32_MAX};

static void compare(struct slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        int32_t n = counts[i];

        assert_int_equal(partitioner_of(PARTITIONER_MURMUR2, key, n),
                         rd_kafka_msg_partitioner_murmur2(NULL, key.p, key.n, n, NULL, NULL));
        assert_int_equal(partitioner_of(PARTITIONER_CRC32, key, n),
                         rd_kafka_msg_partitioner_consistent(NULL, key.p, key.n, n, NULL, NULL));
        assert_int_equal(partitioner_of(PARTITIONER_ANY, key, n), -1);
    }
}

/* Every length of 1..100 with bytes of all values, at every alignment. */
static void test_as_librdkafka(void **state)
{
    (void)state;
    char key[128];
    uint64_t x = 1;

    for (size_t n = 1; n <= 100; n++) {
        for (size_t at = 0; at < 20; at++) {
            for (size_t i = 0; i < n; i++)
                key[at + i] = (char)(x = hash_u64(x + 1));
            compare((struct slice){key + at, n});
        }
    }
}

/* docs/protocol.md has them, too. */
static void test_known(void **state)
{
    static const struct {
        const char *key;
        int32_t murmur2; /* as Java's own test of it has it */
    } java[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(java); i++)
        assert_int_equal((int32_t)murmur2(java[i].key, strlen(java[i].key)), java[i].murmur2);
    assert_int_equal(partitioner_of(PARTITIONER_CRC32, SLICE("123456789"), 16), 0xcbf43926 % 16);
}

static void test_names(void **state)
{
    (void)state;

    assert_string_equal(partitioner_name(PARTITIONER_MURMUR2), "murmur2");
    assert_string_equal(partitioner_name(PARTITIONER_CRC32), "crc32");
    assert_string_equal(partitioner_name(PARTITIONER_ANY), "any");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_librdkafka),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
