/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain_lock.h: one edge of a region drains at a time, if they can agree on it: the lock
 * fanfare/<region>/drain of the coordination service. @thread main
 */
#pragma once

#include "common/base/base.h"

struct coord;
struct drain_lock;

enum drain_lock_state {
    DRAIN_LOCK_NONE,  /* there is nobody to agree with, or he is lost: don't wait */
    DRAIN_LOCK_ASKED, /* no answer yet */
    DRAIN_LOCK_BUSY,  /* another edge has it */
    DRAIN_LOCK_OURS
};

struct drain_lock *drain_lock_new(struct coord *coord, const char *region); /* borrows coord */
void drain_lock_free(struct drain_lock *d); /* after coord_stop(); NULL is harmless */
void drain_lock_ask(struct drain_lock *d);
enum drain_lock_state drain_lock_look(struct drain_lock *d);
void drain_lock_give(struct drain_lock *d); /* harmless without it */
