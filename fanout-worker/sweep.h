/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.h: which of the beacon's rows nobody writes any more, from reading it again and again.
 *
 * A row whose text has not changed for SWEEP_MS of the reader's own monotonic time is left over:
 * its writer died, or the partition has no owner. Rows of a kind that we don't know are nobody's
 * business. Owns what it remembers of each row. @thread pump
 */
#pragma once

#include "common/base/hmap.h"
#include "common/base/list.h"

#define SWEEP_MS 60000

struct sweep {
    struct hmap by_field;
    struct list rows; /* of the rounds before, then those of this round */
    uint32_t round;
};

void sweep_init(struct sweep *s);
/* Forgets all: what was read before says nothing of now. */
void sweep_clear(struct sweep *s);
/* A row as read just now. True: it is left over. */
bool sweep_row(struct sweep *s, struct slice field, struct slice value, uint64_t now_ms);
/* The end of a reading: rows that weren't in it are forgotten. */
void sweep_end(struct sweep *s);
