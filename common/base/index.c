/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c: the last-position index as readers see it; index.h says what it is. No state.
 * @thread any
 */
#include "common/base/index.h"

#include "common/base/decimal.h"

static bool take_number(struct slice *text, char end, uint64_t *ret)
{
    const char *at = text->n ? memchr(text->p, end, text->n) : NULL;
    struct slice digits = {text->p, at ? (size_t)(at - text->p) : 0};

    if (!at || !decimal_parse(digits, INT64_MAX, ret))
        return false;
    *text = (struct slice){at + 1, text->n - digits.n - 1};
    return true;
}

bool index_take_range(struct index_says *says, struct slice text)
{
    uint64_t since, upto, bytes;

    says->is_there = take_number(&text, ' ', &since) && take_number(&text, ' ', &upto) &&
                     decimal_parse(text, INT64_MAX, &bytes) && since <= upto;
    if (says->is_there) {
        says->since = since;
        says->upto = upto;
    }
    return says->is_there;
}

uint64_t index_last(struct slice text)
{
    uint64_t pos;

    return decimal_parse(text, INT64_MAX, &pos) && pos ? pos : UINT64_MAX;
}

/* The channel has no record in (pos, upto], where (since, upto] is covered. */
static bool is_quiet(const struct index_says *says, uint64_t pos)
{
    return says->is_there && says->last <= pos;
}

uint64_t index_proves(const struct index_says *now, const struct index_says *old, uint64_t pos)
{
    bool covered = now->since <= pos;

    if (!covered)
        covered = is_quiet(old, pos) && old->since <= pos && old->upto >= now->since;
    return covered && is_quiet(now, pos) && now->upto > pos ? now->upto : pos;
}
