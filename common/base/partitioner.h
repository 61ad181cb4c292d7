/* SPDX-License-Identifier: Apache-2.0 */
/*
 * partitioner.h: record key -> partition, as the producers' clients compute it.
 *
 * murmur2: Java client, franz-go, librdkafka's murmur2_random: (murmur2(key) & 0x7fffffff) % n.
 * crc32:   librdkafka's default (consistent_random): crc32(key) % n.
 * any:     nothing is known; edges tail every partition. @thread any
 */
#pragma once

#include "common/base/base.h"

enum partitioner {
    PARTITIONER_MURMUR2,
    PARTITIONER_CRC32,
    PARTITIONER_ANY
};

/* Partition of a non-empty key among n >= 1; -1 for PARTITIONER_ANY. */
int32_t partitioner_of(enum partitioner how, struct slice key, int32_t n);
const char *partitioner_name(enum partitioner how); /* "murmur2" | "crc32" | "any" */
