/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h: what shards want to know of a partition's last-position index, and what they were told
 * lately. common/base/index.h says what an answer proves.
 *
 * Shards add channels to the open set, whichever shard it is, each once. Feed takes it, asks Redis
 * for all of them in one command, and publishes the set with the answers; what is asked meanwhile
 * gathers in the next one. So there is one lookup at a time for a partition, and however many ask,
 * a channel is in one of them. Answers stay for some seconds: they don't become false.
 *
 * Published sets are const. They are unlinked by feed and freed when no turn can see them.
 */
#pragma once

#include "common/base/hmap.h"
#include "common/base/index.h"

#include "edge-node/plog.h"

#define INDEX_CHANNELS 1024 /* of a set */
#define INDEX_ANSWERS  8    /* sets kept for a partition … */
#define INDEX_KEEP_MS  2000 /* … so long */

struct index_item {
    struct hmap_node node;
    uint64_t last, old_last; /* of the two hashes: 0, or as index_last() says */
    uint8_t n;
    char name[];
};

struct index_set {
    _Atomic(struct index_set *) next; /* an older one */
    uint64_t born_ms;
    uint64_t lowest;            /* of the cursors it was asked for */
    struct index_says now, old; /* the ranges */
    struct hmap items;
    struct index_item **v; /* in the order they came */
    uint32_t n, cap;
    size_t bytes;
};

struct index_asks;

struct index_asks *index_asks_new(void);
void index_asks_free(struct index_asks *a);

/* ---- shards, within a turn ---- */

/* True: it was answered, and the channel surely has no record in (pos, *ret]. */
bool index_answered(const struct index_asks *a, const struct channel_key *key, uint64_t pos,
                    uint64_t *ret);
/* Asks for it. Who finds no room asks again when the next answer has come. */
void index_ask(struct index_asks *a, const struct channel_key *key, uint64_t pos);

/* ---- feed ---- */

/* The open set, which is under way from now on; NULL: nobody asks, or there is one under way. */
struct index_set *index_take(struct index_asks *a);
/* It isn't under way any more: for the shards to see, or (no answer came) it is freed, and who
 * waits asks again. */
void index_publish(struct index_asks *a, struct index_set *take_set, uint64_t now_ms);
void index_give_up(struct index_asks *a, struct index_set *take_set);
/* Unlinks the oldest one if it is too many or too old, and retires it. Its bytes; 0: nothing. */
size_t index_evict(struct index_asks *a, uint64_t now_ms, struct turns *t);
