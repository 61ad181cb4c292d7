/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_lock.h: locks with one holder in the whole cluster, kept by the coordination service.
 *
 * A lock is tried for until it is freed: it may be gained, lost and gained again. A holder that
 * dies is followed within 7 s (some more shortly after an election of Consul's: decision 29); one
 * that frees it, or ends, as soon as the service has heard of it.
 * A holder that can't reach the service is told that it lost before another one can gain, whatever
 * it was that ended its session (the agent, the network, a service that came back without data).
 *
 * Of one key a process has one lock at a time (freed counts as gone): the service knows processes,
 * and two locks would both be told that they gained.
 *
 * Not promised: a process that stood still for over 4 s (SIGSTOP, a frozen machine) holds nothing
 * any more, but hears of it only when it goes on. What must never be done twice needs more than a
 * lock. @thread any
 */
#pragma once

#include "common/io/coord.h"

struct coord_lock;

/* On coord's thread: be short. err 0: gained. -ESTALE: lost; why says how. -EBUSY: somebody else
 * has it, or had until now; why is the node's name. -ECANCELED: freed, or coord_stop(): the last
 * call, after which neither arg nor the lock is used any more. */
typedef void coord_lock_fn(int err, const char *why, void *arg);

/* Returns at once. -ENOTSUP: there is no service that has locks; -ECANCELED: coord_stop() ends
 * them; fn isn't called then. */
int coord_lock_new(struct coord *c, const char *key, coord_lock_fn *fn, void *arg,
                   struct coord_lock **ret) _must_check_;
/* Given up as soon as coord's thread hears of it; until -ECANCELED says so, fn may still be told
 * anything, a gain too. */
void coord_lock_free(struct coord_lock *l);
