/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.h: one partition's batches on their way to its stream.
 *
 * Batches clock themselves: when nothing is under way a batch leaves at the end of the turn; what
 * comes meanwhile gathers in the open batch, which leaves with the answer; only full batches follow
 * behind one that is unanswered, up to the limits. Each batch names the position it expects, so a
 * refused one refuses all behind it. On any refusal the owner calls append_reset() and attaches
 * again: nothing is ever sent twice by itself.
 *
 * The transport is an ops table, so that it is tested without a server. An append owns its open
 * batch; a batch under way belongs to the transport until append_answered(). @thread pump
 */
#pragma once

#include "common/base/entry.h"

struct append;

struct append_limits {
    uint32_t batch_records;
    size_t batch_bytes;
    uint32_t inflight_batches;
    int64_t inflight_bytes;  /* of the whole worker */
    int64_t *inflight_total; /* the worker's sum */
};

/* A batch under way: what the answer must be accounted to. */
struct append_batch {
    void *owner;  /* append's arg */
    uint64_t gen; /* append's when it left; another one now: the answer is of no interest */
    uint64_t last;
    uint32_t last_fp, count;
    int64_t bytes;
};

/* What is sent: owned by the append, valid during send(). */
struct append_item {
    uint64_t pos;
    size_t at, n; /* of the field in data */
};

struct append_load {
    uint64_t expected; /* 0 = the stream must be absent */
    uint32_t last_fp, count;
    const struct append_item *items;
    const struct buf *data;
};

struct append_io {
    /* Takes the batch; answers later by append_answered() or append_failed(). */
    void (*send)(void *arg, struct append_batch *take_b, const struct append_load *load);
    /* Entries are ready and may leave only when a batch under way is answered. Until this is called
     * nobody minds if an answer is seen late. */
    void (*wait)(void *arg);
};

struct append {
    const struct append_limits *lim;
    const struct append_io *io;
    void *arg;
    uint64_t gen;      /* grows with each reset */
    uint64_t acked;    /* last position that Redis confirmed */
    uint32_t acked_fp; /* its fingerprint */
    bool has_fp;
    uint64_t tail;             /* expected by the next batch */
    uint64_t chain;            /* where the next entry continues from */
    uint32_t inflight;         /* batches */
    uint32_t inflight_entries; /* of them; while sending, the batch itself included */
    int64_t inflight_bytes;
    uint32_t mean; /* moving mean of an entry's bytes */
    struct buf data;
    struct append_item *items;
    uint32_t count, cap;
    uint32_t last_fp;
};

void append_init(struct append *a, const struct append_limits *lim, const struct append_io *io,
                 void *arg);
void append_done(struct append *a);
/* Forgets everything that isn't confirmed; answers still to come are ignored. */
void append_reset(struct append *a);
/* Begins at the stream's last position (0 = absent); the next entry continues from chain. */
void append_begin(struct append *a, uint64_t last, uint64_t chain);
/* e->pos must be greater than all before. Sets e->prev. May send. */
void append_add(struct append *a, struct entry *e);
/* False: the open batch is full and can't leave yet; stop reading this partition. */
bool append_has_room(const struct append *a);
/* The end of a turn: what is there leaves if nothing is under way. */
void append_turn(struct append *a);
/* The batch was appended. False: it is of an earlier generation and was only freed. Sends what may
 * leave now. */
bool append_answered(struct append *a, struct append_batch *take_b);
/* The batch failed (or the connection did): only gives back what it held. Returns whether it is of
 * the current generation. */
bool append_failed(struct append *a, struct append_batch *take_b);
void append_assert(const struct append *a);
