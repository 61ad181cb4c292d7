/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.h: whose partitions stand still, and whose turn it is to carry them on, from reading the
 * beacon's rows again and again (keys.h).
 *
 * A worker that we saw moving is dead when its row stands still for ADOPT_STALE_MS, or is gone. Its
 * partitions fall to the living in an order that every worker computes alike (rendezvous hashing),
 * each next one waiting ADOPT_TURN_MS longer, in case the one before can't. Whoever carries on a
 * partition that isn't its own writes its row with ADOPT_MARK behind its id, and gives way to an
 * owner, and to whoever comes before it in the order.
 *
 * Time is ours, monotonic, and counted by readings that show a new row of our own: one that comes
 * late counts ADOPT_STEP_MS. So neither our own sleep makes anybody look dead, nor a Redis that
 * stood still, or takes no rows (it is full, or no longer a master). Knows no Redis, so that it is
 * tested without one. @thread pump
 */
#pragma once

#include "common/base/keys.h"
#include "common/base/list.h"

#define ADOPT_STALE_MS 500
#define ADOPT_TURN_MS  400
#define ADOPT_STEP_MS  200
#define ADOPT_MARK     '+'

struct adopt {
    const char *self; /* our id; borrowed */
    struct list workers, marked;
    uint64_t read_ms;
    uint32_t step_ms; /* not yet counted */
    uint32_t round;
    uint32_t value, value_round; /* our own row's checksum; when it was last there */
    bool ticked;                 /* it moved */
};

void adopt_init(struct adopt *a, const char *self);
/* Forgets all: what was read before says nothing of now. */
void adopt_clear(struct adopt *a);

/* A reading: begin, each worker's row ("w:<id>"), ours as well, then end. whole: it had every row
 * that there is, so a worker without one has left. */
void adopt_begin(struct adopt *a, uint64_t now_ms);
void adopt_worker(struct adopt *a, struct slice id, struct slice value);
void adopt_end(struct adopt *a, bool whole);

/* Has somebody died since the last whole reading, or has a row gone? Then a whole one is due. */
bool adopt_has_news(const struct adopt *a);
/* The ids of the others that are known, for reading their rows only. Returns how many were set. */
size_t adopt_others(const struct adopt *a, struct slice *dst, size_t cap);

enum adopt_say {
    ADOPT_OTHERS, /* its writer lives, or we know too little */
    ADOPT_WAIT,   /* nobody carries it; somebody else's turn, so far */
    ADOPT_TAKE,   /* nobody carries it, and it is our turn */
    ADOPT_YIELD,  /* if we carry it: its writer comes before us */
};
/* A partition's row, of the whole reading that has just ended. */
enum adopt_say adopt_look(struct adopt *a, const struct beacon_row *row);
