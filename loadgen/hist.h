/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hist.h: a log-linear histogram of 64-bit values (nanoseconds here), in HDR's manner.
 *
 * Values below 2048 have a bucket each; above, every power of two has 1024 buckets, so a percentile
 * is off by less than 0.1 % (three significant digits). Fixed size, no pointers: it may live in
 * memory shared between processes, and two of them are merged by adding. One writer at a time.
 */
#pragma once

#include "common/base/buf.h"

#define HIST_BITS    42 /* values are cut at 2^42 - 1: 73 minutes in ns */
#define HIST_BUCKETS (1024 * (HIST_BITS - 11) + 2048)

struct hist {
    uint64_t count, min, max;
    double sum;
    uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that `percent` (0..100) of all values do not exceed, as the highest one of its bucket
 * but never more than the maximum; 0 if nothing was added. */
uint64_t hist_at(const struct hist *h, double percent);
double hist_mean(const struct hist *h);
/* What another program merges by adding, too: [[the highest value of a bucket, its count], …], only
 * buckets that aren't empty. */
void hist_buckets_json(const struct hist *h, struct buf *out);
