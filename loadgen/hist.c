/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hist.c: see hist.h. Bucket of v: e = max(0, bits(v) - 11), index = 1024 e + (v >> e). @thread of
 * its owner
 */
#include "loadgen/hist.h"

#include <inttypes.h>

void hist_init(struct hist *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

static unsigned shift_of(uint64_t v)
{
    return v < 2048 ? 0 : 53u - (unsigned)__builtin_clzll(v);
}

void hist_add(struct hist *h, uint64_t value)
{
    if (value >> HIST_BITS)
        value = ((uint64_t)1 << HIST_BITS) - 1;
    unsigned e = shift_of(value);
    h->bucket[1024 * (uint64_t)e + (value >> e)]++;
    h->count++;
    h->sum += (double)value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

static uint64_t highest_of(size_t index)
{
    if (index < 2048)
        return index;
    unsigned e = (unsigned)(index / 1024) - 1;
    return ((uint64_t)(index - 1024 * (size_t)e + 1) << e) - 1;
}

uint64_t hist_at(const struct hist *h, double percent)
{
    if (h->count == 0)
        return 0;
    /* A hair less, or 99.9 % of 20,000 were rank 19,981 by rounding. */
    double exact = percent / 100.0 * (double)h->count * (1 - 1e-12);
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return highest_of(i) < h->max ? highest_of(i) : h->max;
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count ? h->sum / (double)h->count : 0.0;
}

void hist_buckets_json(const struct hist *h, struct buf *out)
{
    const char *comma = "";
    buf_byte(out, '[');
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        if (h->bucket[i] == 0)
            continue;
        buf_printf(out, "%s[%" PRIu64 ",%" PRIu64 "]", comma, highest_of(i), h->bucket[i]);
        comma = ",";
    }
    buf_byte(out, ']');
}
