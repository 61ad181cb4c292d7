/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlog.h: what the clients of one process got, as a file of fixed rows in the order it happened,
 * and the digest by which a payload is compared. Written by client.c, read by judge.c; both run on
 * one machine, so rows are in its byte order. Shares nothing with worker and edge. @thread any
 */
#pragma once

#include "common/base/base.h"

enum dlog_type {
    DLOG_SUBSCRIBED =
        1,          /* pos: the subscription's first position; its obligation starts behind it */
    DLOG_DELIVERED, /* pos, digest of the payload */
    DLOG_MARKER,    /* pos: a record that could not be carried, told in its place */
    DLOG_RESUMED,   /* pos: the cursor asked for; recovered:true */
    DLOG_TOLD,      /* pos: recovered:false: what lies behind the cursor up to pos may be missing */
    DLOG_ENDED,     /* the server ended the subscription for good; nothing more is owed */
    DLOG_REWOUND,   /* pos: an earlier cursor, taken on purpose; from there all must come again */
};

struct dlog_row {
    uint32_t client;
    uint32_t channel; /* line of the channel in the oracle's list, from 0 */
    uint64_t pos;
    uint32_t digest;
    uint32_t type;
};

/* Words of 8 bytes, multiplied and folded; not cryptographic: it finds accidents. */
static inline uint32_t dlog_digest(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = 0x9e3779b97f4a7c15u ^ n;
    while (n > 0) {
        uint64_t word = 0;
        size_t take = n < 8 ? n : 8;
        memcpy(&word, p, take);
        h = (h ^ word) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        p += take;
        n -= take;
    }
    return (uint32_t)(h ^ (h >> 29));
}
