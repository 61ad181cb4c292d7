/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_index.c: what index_take_range() accepts is three numbers as decimal text has them, and
 * whatever stands in the two hashes, nothing is proved that they don't say. Input: two ranges and
 * two positions, each on its line. @thread main
 */
#include <stdio.h>

#include "common/base/index.h"

#include "tests/fuzz/fuzz.h"

static struct slice take_line(struct slice *rest)
{
    const char *at = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct slice line = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t used = line.n + (at ? 1 : 0);

    *rest = (struct slice){rest->p + used, rest->n - used};
    return line;
}

static void check_range(const struct index_says *says, struct slice text)
{
    char again[64];
    size_t n;

    must(says->since <= says->upto && says->upto <= INT64_MAX);
    n = (size_t)snprintf(again, sizeof(again), "%llu %llu ", (unsigned long long)says->since,
                         (unsigned long long)says->upto);
    must(text.n > n && memcmp(text.p, again, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};
    struct slice first = take_line(&rest), second = take_line(&rest);
    struct index_says now = {.is_there = false}, old = {.is_there = false};
    uint64_t cursors[8], upto;

    if (index_take_range(&now, first))
        check_range(&now, first);
    if (index_take_range(&old, second))
        check_range(&old, second);
    now.last = index_last(take_line(&rest));
    old.last = index_last(rest);
    memcpy(cursors,
           (uint64_t[]){0, now.since, now.upto, now.last, old.since, old.upto, old.last, 7},
           sizeof(cursors));
    for (size_t i = 0; i < ARRAY_LEN(cursors); i++) {
        upto = index_proves(&now, &old, cursors[i]);
        must(upto == cursors[i] || (upto > cursors[i] && upto == now.upto && now.is_there));
        if (upto == cursors[i])
            continue;
        must(now.last <= cursors[i]);
        must(now.since <= cursors[i] || (old.is_there && old.since <= cursors[i] &&
                                         old.last <= cursors[i] && old.upto >= now.since));
    }
    return 0;
}
