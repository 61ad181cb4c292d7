/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h: the hashes that are part of a format, and the one for our own tables.
 *
 * @thread any. hash_seed() once at start, before other threads.
 */
#pragma once

#include "common/base/base.h"

/* CRC-32C (Castagnoli, reflected 0x1EDC6F41, as in iSCSI RFC 3720 B.4: "123456789" -> e3069283).
 * crc is 0 at the start; pass the last result to go on. Uses SSE4.2 where the CPU has it. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_portable(uint32_t crc, const void *p,
                         size_t n); /* the same by table, for its test */

/* murmur2 as in the Java Kafka client (Utils.murmur2), seed 0x9747b28c. */
uint32_t murmur2(const void *p, size_t n);

/* CRC-32 (IEEE, zlib's), librdkafka's "consistent" partitioner. */
uint32_t crc32_ieee(const void *p, size_t n);

/* SipHash-1-3 under a per-process random key: peers choose channel names, so table positions must
 * not be guessable. */
void hash_seed(void);
uint64_t hash_bytes(const void *p, size_t n);
uint64_t siphash13(const uint64_t key[2], const void *p, size_t n);

/* xxHash-like mixing of an integer (splitmix64 finaliser). */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
