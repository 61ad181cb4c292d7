/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.c: where a partition goes on, see attach.h. Pure: no state, no clock. @thread any
 */
#include "fanout-worker/attach.h"

enum attach_check attach_place(uint64_t pos, int64_t low, int64_t end)
{
    if (pos == 0)
        return CHECK_NONE;
    if ((int64_t)pos > end)
        return CHECK_BEYOND;
    if ((int64_t)pos - 1 < low)
        return CHECK_GONE;
    return CHECK_SAME;
}

static struct attach_plan from_nothing(const struct attach_facts *f)
{
    struct attach_plan plan = {.verdict = ATTACH_RUN};
    int64_t start = f->end - f->share;

    plan.start = start > f->low ? start : f->low;
    /* The first entry continues from the position before it: that of the offset start - 1. */
    plan.chain = (uint64_t)plan.start;
    plan.rebuild = plan.start < f->end;
    return plan;
}

struct attach_plan attach_decide(const struct attach_facts *f)
{
    struct attach_plan plan = {.verdict = ATTACH_RUN, .start = (int64_t)f->last, .chain = f->last};

    if (f->check == CHECK_DIFFERENT)
        return (struct attach_plan){.verdict = ATTACH_NEWLOG};
    if (f->check == CHECK_BEYOND || (f->last && (int64_t)f->last > f->end))
        return (struct attach_plan){.verdict = ATTACH_BEYOND};
    if (f->last == 0)
        return from_nothing(f);
    if (plan.start < f->low) {
        plan.start = f->low;
        plan.chain = (uint64_t)f->low;
        plan.gap = true;
    }
    return plan;
}

/* A second apart; and not in the tick of commits and of all else that comes each second. */
bool attach_check_is_due(uint64_t beat, uint32_t topic, int32_t partition)
{
    uint64_t turns = ATTACH_CHECK_BEATS / 4, turn = beat / 4;

    return beat % 4 == 2 && turn % turns == (topic + (uint32_t)partition) % turns;
}

bool attach_lasts(uint64_t *since, bool seen, uint64_t now, uint64_t limit_ms)
{
    if (!seen) {
        *since = 0;
        return false;
    }
    if (*since == 0) {
        *since = now ? now : 1;
        return false;
    }
    return now - *since >= limit_ms;
}
