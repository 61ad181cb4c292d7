/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h: one partition's part in its last-position index: which channels moved since it was
 * brought forward last, and when that may be added.
 *
 * Redis has the index up to some position; here are the moves of (from, at]. Only while the index
 * is known to end inside of that may they be added, by a script that makes sure of it once more
 * (index_add.lua). Whenever that is in doubt (attached, refused, an error, too many moves) they are
 * forgotten, and another script reads the stream as far as `from`, or begins a new index there
 * (index_read.lua): also where the stream's chain has a break. So what the index says is true,
 * whoever else writes it; that it lags or begins anew costs proofs.
 *
 * The transport is an ops table, so that it is tested without a server. Owns the moves.
 * @thread pump
 */
#pragma once

#include "common/base/hmap.h"

#define INDEX_FULL  512  /* moves that are added before their time has come; a call's cost */
#define INDEX_MOVES 2048 /* no more are kept: Lua takes less than 8000 words in a call */
#define INDEX_BYTES KIB(256)
#define INDEX_IDLE  10

/* A channel's last position; what the map holds. */
struct index_move {
    struct hmap_node node;
    uint64_t pos;
    uint8_t n;
    char name[];
};

struct index_io {
    /* Calls index_add.lua; index_failed() says that it was refused or failed. The moves are valid
     * during the call. */
    void (*add)(void *arg, uint64_t gen, uint64_t base, uint64_t upto, const struct hmap *moves);
    /* Calls index_read.lua for `from`; answers by index_told() or index_failed(). */
    void (*read)(void *arg, uint64_t gen, uint64_t from);
};

enum index_state {
    INDEX_OFF,     /* not attached */
    INDEX_UNKNOWN, /* where the index in Redis ends isn't known */
    INDEX_ASKED,   /* nor yet */
    INDEX_KNOWN,   /* at base, once everything sent is done */
};

struct index {
    const struct index_io *io;
    void *arg;
    enum index_state state;
    uint64_t gen;      /* grows whenever answers under way lose their meaning */
    uint64_t from, at; /* the moves are those of all records in (from, at] */
    uint64_t base;     /* INDEX_KNOWN: from <= base <= at */
    uint32_t idle;     /* flushes that had nothing to add */
    struct hmap moves;
    size_t bytes;
};

void index_init(struct index *ix, const struct index_io *io, void *arg);
void index_done(struct index *ix);
/* Attached: the next entry continues from this position. */
void index_begin(struct index *ix, uint64_t chain);
void index_reset(struct index *ix); /* detached: forgets everything */
/* The next entry: it continues from the one before (or from where this began). */
void index_note(struct index *ix, struct slice channel, uint64_t pos);
/* So many moves that they should be added now. */
bool index_is_full(const struct index *ix);
/* All that was noted was sent to Redis: adds it, or asks where the index ends. Of calls with
 * nothing to add each INDEX_IDLE-th adds nothing: if the index is gone, that is seen. */
void index_flush(struct index *ix);

void index_failed(struct index *ix, uint64_t gen);
/* The index ends at upto. moved: a further call brings it nearer. */
void index_told(struct index *ix, uint64_t gen, uint64_t upto, bool moved);
void index_assert(const struct index *ix);
