/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.h: when may feed free what shards could still be reading? (Quiescent-state reclamation.)
 *
 * Each shard counts: odd within a turn, even asleep. A thing unlinked now may be freed when every
 * shard is asleep or in a later turn than it was at the unlinking.
 *
 * turns_begin/turns_end: @thread shard, its own index. turns_retire/turns_reclaim: @thread feed.
 */
#pragma once

#include "common/base/base.h"

struct turns;

struct turns *turns_new(int shards);
void turns_free(struct turns *t); /* frees everything retired; no shard may run */
void turns_begin(struct turns *t, int shard);
void turns_end(struct turns *t, int shard);

/* Takes ownership; free_fn(p) is called by a later turns_reclaim. */
void turns_retire(struct turns *t, void *p, void (*free_fn)(void *));
/* Frees what can be; returns how many things still wait. */
size_t turns_reclaim(struct turns *t);
