/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul.h: what the files of the Consul backend share. Private to coord_consul*.c and their
 * tests: what coord_consul_text.c and _entry.c have is pure.
 *
 * A node is a service at its agent, `fanfare-edge` or `fanfare-worker`, with a TTL check that it
 * renews. The check says passing (ready), warning (there, but not ready, or draining) or, by
 * itself, critical: nobody renews it. So whoever balances by Consul's health leaves a draining edge
 * out, and to us all but the critical are live. The load is in the service's Meta: a check's output
 * would reach the servers after minutes only. @thread coord
 */
#pragma once

#include "common/io/coord_impl.h"
#include "common/io/http.h"

/* A node whose last beat is older is dead. Beats: three within it. Whoever dies is out of every
 * view after CONSUL_TTL_MS, the pause of a watch and what Consul takes: 3 s at most. An agent that
 * has just started or heard of a new leader may keep it to itself for longer, if no other node
 * beats at it (decision 29). */
#define CONSUL_TTL_MS  2500
#define CONSUL_BEAT_MS 800
/* Nodes that are gone after some trouble with Consul stay in the view for as long: they, too, need
 * time to find it again. */
#define CONSUL_GRACE_MS 5000
#define CONSUL_BLIND_MS 5000 /* a node that was registered for as long must be seen by itself */
#define CONSUL_WAIT_S   30   /* of a blocking query */
/* That, the sixteenth that Consul may add, and a second. */
#define CONSUL_BLOCKED_MS (INT64_C(1000) * (CONSUL_WAIT_S + CONSUL_WAIT_S / 16 + 1))
/* How long a lock whose session ended is nobody's. Whoever holds one and hasn't heard from its
 * session for as long lets go by itself, so that no two have it, whatever ended the session. */
#define CONSUL_LOCK_DELAY_MS 4000
/* Consul's own bound of a value in Meta. */
#define CONSUL_VALUE_MAX 512

struct consul;

/* The registration, or a watch. */
struct consul_lane {
    struct coord_lane state;
    uint64_t trouble_ms;     /* when it last failed, was slow, or began anew; 0: never */
    char why[COORD_WHY_MAX]; /* its last failure, while it is down */
};

struct consul_self {
    struct consul_lane lane;
    struct http_call *call; /* one at a time */
    struct ev_timer timer;
    struct coord_load load, told; /* now; in Meta */
    uint64_t told_ms, beat_ms;    /* when Meta was written, when the check was renewed last */
    uint64_t asked_ms;            /* when call began */
    uint64_t registered_ms;       /* since when it is */
    const char *status;           /* of the check as told; static */
    bool registered, registering; /* is it, is call to do that */
    bool leaving;
    unsigned failed_beats, forgotten; /* since a good one; of them, those it knew no check for */
    char instance[9];                 /* this process: a node's name may outlive it */
};

struct consul_watch {
    struct consul *k;
    enum coord_role role;
    const char *datacenter; /* "": the agent's */
    struct consul_lane lane;
    struct http_call *call;
    struct ev_timer timer, grace;
    uint64_t index;                  /* to wait behind; 0: ask for what is there */
    bool has_self;                   /* the last answer had this node */
    bool told_lost;                  /* its datacenter; of the first of its two */
    struct coord_list answer, shown; /* shown: and those that are missing since a trouble */
};

/* What locks are held by: one for this process, while it has locks. */
struct consul_session {
    char id[64];   /* "": none */
    unsigned made; /* how many there were, this one included */
    struct http_call *call;
    struct ev_timer timer; /* to renew it, or to try again */
    struct ev_timer fence; /* runs while it is sure to live */
    uint64_t asked_ms;     /* when call began */
    uint64_t ended_ms;     /* when one was found to have ended that was wanted; 0: never */
    bool idle;             /* nobody has locks: it isn't renewed, and may end */
    bool unsure;           /* it was to acquire a key, and may do so yet: nobody knows */
    unsigned failures;
};

struct consul {
    struct coord *c;
    const struct coord_conf *conf;
    struct http *http;
    struct consul_self self;
    struct consul_watch *watches; /* two for each datacenter */
    size_t watch_count;
    const char *own;    /* of their datacenters, the one that has this node; NULL: not known yet */
    char *token;        /* header line, or NULL */
    struct list kv_ops; /* coord_consul_kv.c */
    struct list locks;  /* coord_consul_lock.c */
    struct consul_session session;
    bool leaving; /* when the last lock is released */
};

/* ---- coord_consul.c ---- */

struct consul_ask {
    const char *method, *path; /* "/v1/…", to which name is added, escaped */
    struct slice name;
    const char *query; /* "?passing=1" or "" */
    const char *datacenter;
    uint64_t index; /* a blocking query, if > 0 */
    struct slice body;
    int64_t timeout_ms;
};
struct http_call *consul_ask(struct consul *k, const struct consul_ask *ask, http_done_fn *done,
                             void *arg);
void consul_lane_good(struct consul *k, struct consul_lane *l);
/* what: "register this node". Returns after how many ms to try again. */
uint64_t consul_lane_bad(struct consul *k, struct consul_lane *l, const struct http_reply *r,
                         const char *what);
void consul_stop(struct consul *k, struct ev_timer *t);

/* What somebody has here, from any thread: an op on a value, a lock. */
struct consul_task {
    struct coord_job begin, end; /* begin: puts it into a list of the backend's */
    struct list node;
    struct coord *c;
    char *key;
    struct http_call *call;
    struct ev_timer timer;
};
/* With begin.run and timer set. 0; -ENOTSUP: coordination has none; -ECANCELED: it
 * ends. @thread any */
int consul_task_post(struct consul_task *t, struct coord *c, const char *key) _must_check_;
void consul_task_done(struct consul_task *t); /* out of its list, and nothing comes any more */

/* ---- coord_consul_self.c, coord_consul_watch.c ---- */

void consul_self_start(struct consul *k);
void consul_self_tell(struct consul *k, const struct coord_load *load);
void consul_self_leave(struct consul *k);
/* When the agent last kept this node waiting, now included; 0: never. */
uint64_t consul_self_trouble_ms(const struct consul *k);
void consul_watch_start(struct consul *k);
/* Ask anew, soon. all: also who doesn't wait behind an index, for its connection may be dead. */
void consul_watch_hurry(struct consul *k, bool all);
/* Why nothing is heard of this node's own datacenter (of any, as long as it isn't known which is);
 * NULL: it is. */
const struct consul_lane *consul_watch_lost(const struct consul *k);
/* Which others aren't heard of is said at a good beat: then it isn't the agent. */
void consul_watch_tell(struct consul *k);
/* This node is registered, and yet no answer has it: they are not the whole truth. */
bool consul_watch_is_blind(const struct consul *k);
void consul_watch_stop(struct consul *k);

/* ---- coord_consul_kv.c ---- */

void consul_kv_start(struct consul *k);
void consul_kv_stop(struct consul *k);
void consul_kv_hurry(struct consul *k); /* as consul_watch_hurry() */

/* ---- coord_consul_lock.c ---- */

void consul_lock_start(struct consul *k);
void consul_lock_hurry(struct consul *k); /* as consul_watch_hurry() */
/* All are released, and then this node leaves. */
void consul_lock_stop(struct consul *k);
void consul_lock_close(struct consul *k);                 /* nothing comes any more */
void consul_lock_ready(struct consul *k);                 /* there is a session */
void consul_lock_lost(struct consul *k, const char *why); /* not any more */

/* ---- coord_consul_session.c ---- */

void consul_session_start(struct consul *k);
/* Its id, while it is sure to live. NULL: not now; consul_lock_ready() when it does. */
const char *consul_session_want(struct consul *k);
void consul_session_doubt(struct consul *k);  /* Consul said something like that it has ended */
void consul_session_unused(struct consul *k); /* the last lock is gone */

/* ---- coord_consul_entry.c: pure ---- */

/* One key of an answer of /v1/kv. */
struct consul_entry {
    struct buf value;
    uint64_t index;   /* of its last change */
    char session[64]; /* that holds it; "": none */
};
/* 0, or -EBADMSG if it is no such answer. */
int consul_entry(struct slice body, struct consul_entry *ret) _must_check_;
void consul_entry_done(struct consul_entry *e);

/* ---- coord_consul_text.c: pure ---- */

const char *consul_service(enum coord_role role);
/* The service's id: "<service>:<node>", the node percent-encoded: an agent takes any id, but
 * answers 400 to a path with a character that it can't print. */
void consul_id(struct buf *out, const struct coord_member *m);
void consul_url(struct buf *out, const struct coord_conf *conf, const struct consul_ask *ask);
/* The body of a registration. */
void consul_registration(struct buf *out, const struct coord_member *m,
                         const struct coord_load *load, const char *instance);
const char *consul_status(const struct coord_load *load);
/* The others that live, of an answer of /v1/health/service; entries without a usable name are left
 * out. 0, or -EINVAL if it is no such answer. */
struct consul_seen {
    struct coord_list live;
    bool has_self; /* alive or not */
};
int consul_members(struct slice body, enum coord_role role, const struct coord_member *self,
                   struct consul_seen *ret) _must_check_;
/* Where the next query waits: header is X-Consul-Index's value, or NULL. 0: nowhere (there is no
 * index, or it went back). */
uint64_t consul_next_index(uint64_t asked, const char *header);
/* How long to wait after an answer: who watches many nodes would else be busy with all of them. */
uint64_t consul_pause_ms(size_t members, uint64_t index);
/* Is the load worth telling, so long after it was told last? */
bool consul_load_due(const struct coord_load *told, const struct coord_load *now, uint64_t since_ms,
                     size_t members);
/* ready or draining: told at once */
bool consul_load_urgent(const struct coord_load *told, const struct coord_load *now);
