/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partitioner.c: where producers put a key. Tested against librdkafka and the Java client's
 * vectors. No state. @thread any
 */
#include "common/base/partitioner.h"

#include "common/base/hash.h"

static const char *const names[] = {
    [PARTITIONER_MURMUR2] = "murmur2",
    [PARTITIONER_CRC32] = "crc32",
    [PARTITIONER_ANY] = "any",
};

int32_t partitioner_of(enum partitioner how, struct slice key, int32_t n)
{
    must(n >= 1);
    switch (how) {
    case PARTITIONER_MURMUR2:
        return (int32_t)((murmur2(key.p, key.n) & 0x7fffffff) % (uint32_t)n);
    case PARTITIONER_CRC32:
        return (int32_t)(crc32_ieee(key.p, key.n) % (uint32_t)n);
    case PARTITIONER_ANY:
        break;
    }
    return -1;
}

const char *partitioner_name(enum partitioner how)
{
    must((size_t)how < ARRAY_LEN(names));
    return names[how];
}
