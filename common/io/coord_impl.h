/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_impl.h: what the files of coord share: lists of members, what backends ask by, and the
 * table that a backend fills. Private to coord*.c. @thread coord unless said
 */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/list.h"
#include "common/io/coord.h"

/* ---- members (coord_list.c) ---- */

/* Owns its members' texts. */
struct coord_list {
    struct coord_member *v;
    size_t n, cap;
};

#define COORD_MEMBERS_MAX 10000

void coord_list_add(struct coord_list *l, const struct coord_member *m); /* copies */
void coord_list_done(struct coord_list *l);
void coord_list_sort(struct coord_list *l); /* by region, role, node; one of each (role, node) */
/* NULL if there is none of that role and name. */
const struct coord_member *coord_list_find(const struct coord_list *l,
                                           const struct coord_member *m);
/* Who is it? By role and node. */
bool coord_member_is_same(const struct coord_member *a, const struct coord_member *b);
int coord_member_order(const struct coord_member *a, const struct coord_member *b); /* a view's */
bool coord_load_eq(const struct coord_load *a, const struct coord_load *b);

/* ---- views (coord_view.c) ---- */

/* Takes the list's members; one reference. */
struct coord_view *coord_view_take(struct coord_list *members, uint64_t lost_ms);
void coord_view_ref_more(const struct coord_view *v);
/* Is there any difference that a reader could care for? (version and at_ms are none) */
bool coord_view_differs(const struct coord_view *a, const struct coord_view *b);

/* ---- addresses (coord_address.c) ---- */

/* host:port of a listener (admin_address()), with the machine's name for "every address"; "none"
 * becomes "". */
void coord_reachable(char dst[COORD_ADDRESS_MAX], const char *bound);

/* ---- answers (coord_answer.c) ---- */

struct json;
/* false: that is no such entry. */
typedef bool coord_entry_fn(const struct json *entry, void *arg);
/* Reads [entry, …] from the front of *rest, which moves behind it. 0, or -EINVAL: it is no list,
 * has more than `most` entries, one of over entry_max bytes, or one that `each` refused. */
int coord_entries(struct slice *rest, size_t entry_max, size_t most, coord_entry_fn *each,
                  void *arg) _must_check_;
/* ---- lanes (coord_lane.c) ---- */

/* One thing that is asked again and again. Down: it failed twice in a row, or never succeeded. */
struct coord_lane {
    unsigned failures; /* in a row */
    int kind;          /* of the last one: -errno or an HTTP status */
    bool succeeded, down;
};
void coord_lane_succeeded(struct coord_lane *l);
/* Counts it. true: it is down, and this is news: it went down, the same kind came twice in a row,
 * or kinds take turns (each fifth failure). What came once, on the way back, isn't. */
bool coord_lane_failed(struct coord_lane *l, int kind);
/* When to ask again. Full jitter: anything up to base × 2^(failures - 1), at most cap; random is
 * any number. */
uint64_t coord_backoff_ms(unsigned failures, uint64_t base, uint64_t cap, uint64_t random);

/* ---- the module and its backend ---- */

#define COORD_WHY_MAX  800 /* bytes of a loss's reason */
#define COORD_TOLD_MAX 16  /* reasons that are logged of one loss */

/* Something for coord's thread to do; a part of what it is about. */
struct coord_job {
    struct list node;
    void (*run)(struct coord *c, struct coord_job *j);
};
/* In the order in which they were posted, before coord_stop() ends anything. false: it does
 * already, and the job isn't run. @thread any */
bool coord_post(struct coord *c, struct coord_job *j);

struct coord_backend {
    void (*start)(struct coord *c); /* the loop is about to run; sets c->state */
    /* The load changed. */
    void (*tell)(struct coord *c, const struct coord_load *load);
    void (*leave)(struct coord *c); /* say goodbye, then coord_left() */
    void (*close)(struct coord *c); /* free c->state; the loop has ended */
};

extern const struct coord_backend coord_consul, coord_kube;

struct coord {
    const struct coord_conf *conf;
    struct coord_metrics *metrics;
    const struct coord_backend *backend; /* NULL: this node is alone, no thread */
    void *state;                         /* the backend's */
    struct ev_loop *loop;
    struct ev_async woken;
    struct ev_timer patience; /* with the goodbye */
    pthread_t thread;
    struct coord_list others; /* as the backend saw them last */
    uint64_t lost_ms;         /* since when it is; 0: it isn't */
    struct coord_told {
        const struct coord_lane *lane;
        int kind;
    } told[COORD_TOLD_MAX]; /* reasons that were logged of this loss */
    unsigned told_count;
    _Atomic uint64_t version;
    _Atomic bool stopping;
    pthread_mutex_t lock;    /* of what follows */
    struct coord_list self;  /* one member */
    struct coord_view *view; /* one reference */
    struct list jobs;
    bool closed; /* no more of them */
};

/* The backend's news. seen: who is there besides this node; its members are taken. */
void coord_seen(struct coord *c, struct coord_list *seen);
/* At its begin, and while it lasts with what is news (coord_lane_failed()). Each kind of a lane's
 * is logged once for a loss, so that who mended one thing learns of the next; a backend's own
 * -errno is none of http.h's. */
void coord_lost(struct coord *c, const struct coord_lane *lane, const char *why);
void coord_back(struct coord *c);
void coord_left(struct coord *c);
/* Starts t anew: it goes off once, so much from now. */
void coord_again(struct coord *c, struct ev_timer *t, uint64_t ms);
/* This node; only its load ever changes, which the backend is told of. */
const struct coord_member *coord_self(const struct coord *c);

#define COORD_COUNT(c, field, n) metric_add(&(c)->metrics->field, (int64_t)(n))
