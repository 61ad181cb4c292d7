/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance.c: see balance.h.
 */
#include "edge-node/balance.h"

#define SETTLE_MS \
    3000 /* a surplus must last that long: somebody dead may still count, or not yet */
#define PAUSE_MS     5000
#define PAUSE_MAX_MS 600000

static double ratio(double now, double then)
{
    return then > 0 ? now / then : 1;
}

/* Newcomers, and those whom an edge left that is gone, don't come back: they come. */
static double growth(const struct balance *b, const struct balance_facts *f)
{
    double all = ratio(f->all, b->all), share = ratio(f->share, b->share);
    double most = all > share ? all : share;

    return most > 1 ? most : 1;
}

/* Did most of those who were told stay away? */
static bool was_of_use(const struct balance *b, const struct balance_facts *f)
{
    return growth(b, f) * b->had - f->clients >= b->shed / 2;
}

static enum balance_say begin(struct balance *b, const struct balance_facts *f)
{
    bool futile = b->shed > 0 && !was_of_use(b, f);

    b->pause_ms = futile ? b->pause_ms * 2 : PAUSE_MS;
    if (b->pause_ms > PAUSE_MAX_MS)
        b->pause_ms = PAUSE_MAX_MS;
    b->had = f->clients;
    b->all = f->all;
    b->share = f->share;
    b->shed = 0;
    b->left = f->surplus;
    b->due = 0;
    return futile ? BALANCE_FUTILE : BALANCE_BEGINS;
}

/* A round sheds no more than `most`, and is over when nobody is left of it. */
static void bound(struct balance *b, double most, uint64_t now_ms)
{
    if (b->left > most)
        b->left = most;
    if (balance_is_shedding(b))
        return;
    b->left = 0;
    b->after_ms = now_ms + b->pause_ms;
}

uint32_t balance_wave(struct balance *b, const struct balance_facts *f, enum balance_say *ret_say)
{
    uint32_t n;

    *ret_say = BALANCE_QUIET;
    if (f->surplus <= 0)
        b->over_ms = 0;
    else if (!b->over_ms)
        b->over_ms = f->now_ms;
    if (balance_is_shedding(b))
        bound(b, f->surplus, f->now_ms);
    if (!balance_is_shedding(b)) {
        if (!b->over_ms || f->now_ms < b->over_ms + SETTLE_MS || f->now_ms < b->after_ms)
            return 0;
        *ret_say = begin(b, f);
    }
    b->due += f->rate * (double)f->passed_ms / 1000;
    n = (uint32_t)(b->due < b->left ? b->due : b->left);
    b->due -= n;
    b->left -= n;
    b->shed += n;
    bound(b, b->left, f->now_ms);
    return n;
}
