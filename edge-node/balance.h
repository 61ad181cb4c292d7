/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance.h: when and how fast an edge that has too many clients sheds some: after another one
 * came, above all. In rounds, with a pause after each, since the others' numbers are seconds old.
 *
 * Of no use where clients come back to the edge that they left (a fixed address, a balancer that
 * hashes something): then the pauses grow. Pure: time is the caller's. @thread main
 */
#pragma once

#include "common/base/base.h"

struct balance {
    double left;       /* clients of this round that are still to be told */
    double due;        /* that may be told now */
    uint64_t over_ms;  /* since when there is a surplus; 0: there is none */
    uint64_t after_ms; /* no round before that */
    uint64_t pause_ms; /* after the next one */
    double shed;       /* clients that were told in the last round; as it began, there were … */
    double had, all, share;
};

enum balance_say {
    BALANCE_QUIET,
    BALANCE_BEGINS, /* a round */
    BALANCE_FUTILE, /* … but what was shed in the last one came back: the next one is later */
};

/* In a round: a surplus counts from where the round ends. */
static inline bool balance_is_shedding(const struct balance *b)
{
    return b->left >= 1;
}

/* clients: it has now; surplus: of these, and no round sheds more; rate: that others take each
 * second; all, share: cluster.h. */
struct balance_facts {
    double clients, surplus, rate;
    double all, share;
    uint64_t now_ms, passed_ms; /* passed: since the last call */
};

/* How many are to be told now. */
uint32_t balance_wave(struct balance *b, const struct balance_facts *f, enum balance_say *ret_say);
