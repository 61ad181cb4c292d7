/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain_lock.c: see drain_lock.h. Coord's thread tells how the lock stands; main looks at it when
 * it wants to know. One that was given may still be told of until it has ended: so what is told is
 * of a lock by its number, of all that were asked for. @thread main; coord: on_lock()
 */
#include "edge-node/drain_lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/io/coord_lock.h"
#include "common/runtime/log.h"

#define STATES (DRAIN_LOCK_OURS + 1u)

struct drain_lock {
    struct coord *coord;
    char *key;
    struct coord_lock *lock; /* NULL: not asked for */
    unsigned asked;          /* number of the last one */
    unsigned ended;          /* coord's: so many have; the next is the one that is told of */
    bool had;                /* coord's: what comes after a loss is no news */
    _Atomic unsigned told;   /* STATES × number + state */
};

struct drain_lock *drain_lock_new(struct coord *coord, const char *region)
{
    struct drain_lock *d = mem_zalloc(sizeof(*d));
    struct buf key = BUF_INIT;

    buf_printf(&key, "fanfare/%s/drain", region);
    buf_byte(&key, '\0');
    d->key = key.p;
    d->coord = coord;
    return d;
}

void drain_lock_free(struct drain_lock *d)
{
    if (!d)
        return;
    free(d->key);
    free(d);
}

static void on_lock(int err, const char *why, void *arg)
{
    struct drain_lock *d = arg;
    enum drain_lock_state state = !err            ? DRAIN_LOCK_OURS
                                  : err == -EBUSY ? DRAIN_LOCK_BUSY
                                                  : DRAIN_LOCK_ASKED;

    if (err == -EBUSY && !d->had)
        log_info("drain_waits", " holder=%s", log_value(slice_of(why)));
    d->had = err != -ECANCELED && (d->had || !err);
    atomic_store(&d->told, STATES * (d->ended + 1) + state);
    d->ended += err == -ECANCELED;
}

void drain_lock_ask(struct drain_lock *d)
{
    if (!d->lock && coord_lock_new(d->coord, d->key, on_lock, d, &d->lock) == 0)
        d->asked++;
}

enum drain_lock_state drain_lock_look(struct drain_lock *d)
{
    const struct coord_view *v = coord_view_ref(d->coord);
    unsigned told = atomic_load(&d->told);
    bool is_lost = v->lost_ms > 0;

    coord_view_unref(v);
    if (is_lost || !d->lock)
        return DRAIN_LOCK_NONE;
    return told / STATES == d->asked ? (enum drain_lock_state)(told % STATES) : DRAIN_LOCK_ASKED;
}

void drain_lock_give(struct drain_lock *d)
{
    if (d->lock)
        coord_lock_free(d->lock);
    d->lock = NULL;
}
