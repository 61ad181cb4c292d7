/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_kv.h: small values that the whole cluster shares, kept by the coordination service. For
 * decisions and settings, never for anything on a record's way. No program has any yet: it is used
 * by its tests alone (tests/integration/coord_probe.c).
 *
 * All functions return at once; -ENOTSUP where there is no service that has them, -ECANCELED once
 * coord_stop() cancels, and then nothing is called. Callbacks run on coord's thread and must be
 * short: hand over to your own loop. Each one comes exactly once, or, for a watch, comes a last
 * time with -ECANCELED, after which its arg isn't used any more; coord_stop() cancels what is left.
 * @thread any
 */
#pragma once

#include "common/io/coord.h"

struct coord_value {
    int err;            /* 0; -ENOENT: no such key; -EAGAIN: cas refused; else no usable answer */
    struct slice value; /* borrowed until the callback returns */
    uint64_t index;     /* of its last change: for cas and delete */
};
typedef void coord_value_fn(const struct coord_value *v, void *arg);

#define COORD_VALUE_MAX KIB(256)

int coord_kv_get(struct coord *c, const char *key, coord_value_fn *fn, void *arg) _must_check_;
int coord_kv_put(struct coord *c, const char *key, struct slice value, coord_value_fn *fn,
                 void *arg) _must_check_;

/* What must be so for a change to be made. */
struct coord_kv_if {
    const char *key;
    uint64_t index; /* as read; 0: there is no such key */
};
int coord_kv_cas(struct coord *c, const struct coord_kv_if *when, struct slice value,
                 coord_value_fn *fn, void *arg) _must_check_;
/* index 0: whatever it is. Deleting what isn't there is no error. */
int coord_kv_delete(struct coord *c, const struct coord_kv_if *when, coord_value_fn *fn,
                    void *arg) _must_check_;

/* fn hears of the value now (or -ENOENT), and then of each change, not necessarily of each one
 * between two. Trouble with the service isn't told: the value stays as it was heard last. */
struct coord_kv_op;
int coord_kv_watch(struct coord *c, const char *key, coord_value_fn *fn, void *arg,
                   struct coord_kv_op **ret) _must_check_;
void coord_kv_unwatch(struct coord_kv_op *watch);
