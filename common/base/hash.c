/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c: CRC-32C, CRC-32, murmur2 and SipHash.
 *
 * The two CRC tables are filled before main() and constant afterwards; so is the SipHash key after
 * hash_seed(). Every hash reads its input as bytes, little end first, on any machine. @thread any
 */
#include "common/base/hash.h"

#include <sys/random.h>

#define CRC32C_POLY   0x82f63b78u /* 0x1EDC6F41 reflected */
#define CRC_IEEE_POLY 0xedb88320u /* 0x04C11DB7 reflected */

static uint32_t crc32c_table[256];
static uint32_t crc_ieee_table[256];
static uint64_t hash_key[2];

static inline uint64_t read_le(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline uint64_t read_le64(const unsigned char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static uint32_t crc_of_byte(uint32_t crc, uint32_t poly)
{
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? poly : 0);
    return crc;
}

static __attribute__((constructor)) void crc_tables_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        crc32c_table[i] = crc_of_byte(i, CRC32C_POLY);
        crc_ieee_table[i] = crc_of_byte(i, CRC_IEEE_POLY);
    }
}

static uint32_t crc_by_table(const uint32_t table[256], uint32_t crc, const unsigned char *p,
                             size_t n)
{
    for (; n > 0; n--)
        crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
    return crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n)
{
    return ~crc_by_table(crc32c_table, ~crc, p, n);
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p,
                                                               size_t n)
{
    uint64_t c = ~crc;

    for (; n >= 8; n -= 8, p += 8)
        c = __builtin_ia32_crc32di(c, read_le64(p));
    for (; n > 0; n--)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, p, n);
#endif
    return crc32c_portable(crc, p, n);
}

uint32_t crc32_ieee(const void *p, size_t n)
{
    return ~crc_by_table(crc_ieee_table, ~0u, p, n);
}

uint32_t murmur2(const void *p, size_t n)
{
    const uint32_t m = 0x5bd1e995;
    const unsigned char *at = p;
    size_t rest = n % 4;
    uint32_t h = 0x9747b28c ^ (uint32_t)n;

    for (size_t words = n / 4; words > 0; words--, at += 4) {
        uint32_t k = (uint32_t)read_le(at, 4) * m;

        h = h * m ^ (k ^ k >> 24) * m;
    }
    if (rest > 0)
        h = (h ^ (uint32_t)read_le(at, rest)) * m;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotate_left(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = rotate_left(v->b, 13) ^ v->a;
    v->d = rotate_left(v->d, 16) ^ v->c;
    v->a = rotate_left(v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = rotate_left(v->b, 17) ^ v->c;
    v->d = rotate_left(v->d, 21) ^ v->a;
    v->c = rotate_left(v->c, 32);
}

static inline void sip_word(struct sip *v, uint64_t word)
{
    v->d ^= word;
    sip_round(v);
    v->a ^= word;
}

uint64_t siphash13(const uint64_t key[2], const void *p, size_t n)
{
    const unsigned char *at = p;
    struct sip v = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                    key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t left = n;

    for (; left >= 8; left -= 8, at += 8)
        sip_word(&v, read_le64(at));
    sip_word(&v, (uint64_t)n << 56 | read_le(at, left));
    v.c ^= 0xff;
    sip_round(&v);
    sip_round(&v);
    sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

void hash_seed(void)
{
    must(getrandom(hash_key, sizeof(hash_key), 0) == (ssize_t)sizeof(hash_key));
}

uint64_t hash_bytes(const void *p, size_t n)
{
    return siphash13(hash_key, p, n);
}
