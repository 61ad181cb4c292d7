/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hash.c: known vectors: CRC-32C (RFC 3720 B.4), CRC-32, murmur2 (the Java client's
 * UtilsTest), SipHash-1-3 (CPython 3.11's hash(bytes) with PYTHONHASHSEED=0:
 * a key of zeros).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hash.h"

static uint32_t crc_both(const void *p, size_t n)
{
    assert_int_equal(crc32c(0, p, n), crc32c_portable(0, p, n));
    return crc32c(0, p, n);
}

static void test_crc32c_vectors(void **state)
{
    (void)state;
    unsigned char bytes[32];

    assert_int_equal(crc_both("123456789", 9), 0xe3069283);
    assert_int_equal(crc_both("", 0), 0);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc_both(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc_both(bytes, 32), 0x62a8ab43);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc_both(bytes, 32), 0x46dd794e);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(crc_both(bytes, 32), 0x113fdb5c);
}

/* Every length and alignment: by CPU instruction, by table, and in two parts. */
static void test_crc32c_ways_agree(void **state)
{
    (void)state;
    unsigned char bytes[128];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)hash_u64(i);
    for (size_t at = 0; at < 16; at++) {
        for (size_t n = 0; n <= 100; n++) {
            uint32_t whole = crc_both(bytes + at, n);

            assert_int_equal(whole,
                             crc32c(crc32c(0, bytes + at, n / 3), bytes + at + n / 3, n - n / 3));
        }
    }
}

static void test_crc32_ieee(void **state)
{
    (void)state;
    assert_int_equal(crc32_ieee("123456789", 9), 0xcbf43926);
    assert_int_equal(crc32_ieee("", 0), 0);
    assert_int_equal(crc32_ieee("The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
}

static void test_murmur2(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } vectors[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };

    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        assert_int_equal((int32_t)murmur2(vectors[i].key, strlen(vectors[i].key)), vectors[i].hash);
}

static void test_siphash13(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash;
    } vectors[] = {
        {1, 0x68a914128e01e473},  {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
        {9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea}, {16, 0x8972188433a5c5b7},
        {63, 0x385d3e39e5f37359},
    };
    const uint64_t zero[2] = {0, 0};
    unsigned char bytes[64];

    for (unsigned char i = 0; i < 64; i++)
        bytes[i] = i;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        assert_true(siphash13(zero, bytes, vectors[i].n) == vectors[i].hash);
}

static void test_key_matters(void **state)
{
    (void)state;
    const uint64_t zero[2] = {0, 0}, low[2] = {1, 0}, high[2] = {0, 1};
    uint64_t before = hash_bytes("fanfare", 7);

    assert_true(siphash13(zero, "x", 1) != siphash13(low, "x", 1));
    assert_true(siphash13(zero, "x", 1) != siphash13(high, "x", 1));
    assert_true(siphash13(low, "x", 1) != siphash13(high, "x", 1));
    hash_seed();
    assert_true(hash_bytes("fanfare", 7) != before);
    assert_true(hash_bytes("fanfare", 7) == hash_bytes("fanfare", 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_vectors), cmocka_unit_test(test_crc32c_ways_agree),
        cmocka_unit_test(test_crc32_ieee),     cmocka_unit_test(test_murmur2),
        cmocka_unit_test(test_siphash13),      cmocka_unit_test(test_key_matters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
