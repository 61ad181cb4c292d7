/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_lane.c: what backends share: something that is asked again and again, whether it fails, and
 * when to ask next. Pure.
 */
#include <limits.h>

#include "common/io/coord_impl.h"

#define LASTS 5

void coord_lane_succeeded(struct coord_lane *l)
{
    *l = (struct coord_lane){.succeeded = true};
}

bool coord_lane_failed(struct coord_lane *l, int kind)
{
    bool is_news = !l->down || l->kind == kind;

    if (l->failures < UINT_MAX)
        l->failures++;
    l->kind = kind;
    l->down = l->failures > 1 || !l->succeeded;
    return l->down && (is_news || l->failures % LASTS == 0);
}

uint64_t coord_backoff_ms(unsigned failures, uint64_t base, uint64_t cap, uint64_t random)
{
    unsigned doublings = failures > 1 ? failures - 1 : 0;
    uint64_t most = doublings < 16 ? base << doublings : cap;

    return 1 + random % (most < cap ? most : cap);
}
