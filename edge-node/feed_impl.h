/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_impl.h: what the files of feed share. Private to feed*.c. @thread feed unless said
 */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/stores.h"
#include "common/io/redis.h"
#include "common/runtime/namespace.h"

#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/feed.h"
#include "edge-node/turns.h"

#define GROUP_STREAMS   16 /* most streams on one connection: measured, each re-blocks on all */
#define XREAD_BLOCK_MS  "1000"
#define REPLY_COUNT_MAX 500
#define REPLY_BYTES     MIB(1)
#define IDLE_KEEP_MS    30000 /* a partition nobody listens to is tailed that long */
#define PAGE_KEEP_MS    5000
#define BEACON_STALE_MS 3000

/* A Redis connection that comes back by itself, with growing pauses. */
struct link {
    struct feed *f;
    struct feed_store *store; /* where it leads */
    const char *name;
    struct redis_conn *conn; /* NULL while waiting to retry */
    struct ev_timer retry;
    int tries;
    void (*on_up)(struct link *l);
};

/* A Redis server that streams are read from. */
struct feed_store {
    struct list node; /* in feed.stores; home is the first */
    struct feed *f;
    char *url;                 /* STORE_HOME, or one of the table's */
    struct redis_watch *watch; /* NULL: no Sentinels */
    bool deaf;                 /* none of them answers */
    struct link history;       /* pages, lookups, deep history */
    struct list groups;
    uint64_t relinked_ms; /* when a tail that stood made us reconnect */
};

/* One tailing connection and its streams. */
struct feed_group {
    struct list node;
    struct link link;
    struct plog *plogs[GROUP_STREAMS];
    uint32_t count;
    uint32_t hint;           /* index of the stream the last entry was of */
    bool reading;            /* an XREAD is unanswered */
    bool changed;            /* the set changed meanwhile: unblock it */
    struct ev_timer unblock; /* again every 5 ms: one that comes before the block is lost */
    uint64_t entries, bytes; /* for the mean size; halved now and then */
    uint32_t touched, fresh; /* within a reply: bit per stream; entries */
};

struct topic {
    const struct namespace *ns;
    _Atomic(struct topic_view *) view;
    _Atomic int32_t mapped; /* feed_partitions(). @thread any */
    uint64_t n;             /* the greatest seen */
    _Atomic int32_t excess; /* partitions of a log there is no room for; 0: there is. @thread any */
    char differs[96];  /* what of the workers' configuration isn't ours: was told; "" = nothing */
    bool asked;        /* HGETALL under way … */
    uint64_t asked_ms; /* … since */
    _Atomic uint64_t known_ms; /* when the last one was asked whose answer left nothing newer */
    _Atomic bool wanted;       /* a shard wants a newer answer */
};

/* feed_replica.c */
struct replica {
    bool on;                  /* tails and history are there, not at the master; since … */
    uint64_t on_ms, next_ms;  /* … then; looked for again at … */
    uint64_t pause_ms;        /* … this behind the next end */
    struct redis_conn *probe; /* is there one? */
    bool said;                /* that there is none */
};

struct feed {
    const struct edge_conf *conf;
    const struct namespaces *nss;
    struct turns *turns;
    struct feed_shard *shards;
    int shard_count;
    pthread_t thread;
    bool started;

    struct ev_loop *loop;
    bool shares; /* the loop is the only shard's: its turn follows each event of ours */
    bool beacon_asked;
    uint64_t beacon_asked_ms;
    uint64_t beacon_before_ms; /* when the question before that was asked; 0: of another server */
    struct ev_async asked;     /* shards */
    struct ev_async stop;
    struct ev_timer tick; /* 100 ms */
    uint64_t ticks;

    struct link control;    /* home: topics, beacon, CLIENT UNBLOCK, wants */
    struct replica replica; /* of home */
    struct list stores;     /* struct feed_store */
    struct feed_store *home;
    struct stores table;
    bool table_asked;
    struct list deeps;    /* struct deep, feed_deep.c */
    struct topic *topics; /* one a namespace */
    _Atomic(struct plog *) plogs[FEED_PLOGS_MAX];
    uint32_t plog_top; /* highest id in use + 1 */
    uint32_t deep_count;
    uint64_t broken_ms;           /* when an unreadable segment was last told of */
    size_t bytes;                 /* of all plogs */
    uint64_t relinked_ms;         /* when a stale beacon, or a demoted home, made us reconnect */
    uint64_t stale_ms;            /* its age then, until the new connection told its role; or 0 */
    uint64_t readonly_ms;         /* when a refused write did */
    char role[16];                /* of the Redis we are at, as ROLE says; "" = not known */
    bool role_refused;            /* we may not ask */
    bool demoted;                 /* it was another before */
    _Atomic uint64_t answered_ms; /* Redis' last answer, own monotonic time */
    _Atomic uint64_t asks[FEED_PLOGS_MAX / 64];
};

/* feed_link.c */
void feed_link_start(struct link *l, struct feed_store *st, const char *name,
                     void (*on_up)(struct link *));
bool feed_link_is_up(const struct link *l);
void feed_link_stop(struct link *l);
void feed_link_restart(struct link *l); /* at once */
void feed_link_retry(struct link *l);   /* after a pause that grows until an answer is good */
void feed_ask_role(struct feed *f);
/* A reply to a write. Of a server that was made a replica under a connection that stays, that one
 * ends, now and then: its address may lead to the master by now, or later. */
void feed_see_readonly(struct feed *f, struct redis_conn *c, const struct redis_reply *r);
bool feed_is_at_master(const struct feed *f); /* or isn't told whether it is */
/* feed_shards.c */
void feed_wake(struct feed *f, int shard);
void feed_ring(struct feed *f, const struct plog *p); /* feed shall look at it. @thread any */
void feed_signal(struct feed *f, struct plog *p);     /* its shards shall look at it */
bool feed_is_tailed(const struct plog *p);
/* feed.c */
void feed_count_bytes(struct feed *f, struct plog *p); /* p->bytes changed: add up, evict */

/* feed_tail.c */
void feed_tail_add(struct feed *f, struct plog *p);
void feed_tail_remove(struct plog *p);
void feed_groups_free(struct feed_store *st);
uint64_t feed_page_count(const struct plog *p); /* entries to ask for: about REPLY_BYTES */
void feed_store_restart_groups(struct feed_store *st);
/* The beacon says that the stream reaches to `last`: a tail that stands before it for long is
 * connected anew. */
void feed_tail_look(struct feed *f, struct plog *p, uint64_t last);

/* feed_store.c */
void feed_stores_start(struct feed *f); /* home; others come by its table */
void feed_stores_stop(struct feed *f);
void feed_table_poll(struct feed *f);
struct feed_store *feed_store_of(struct feed *f, const char *log, int32_t partition);
const char *feed_store_url(const struct feed_store *st);
void feed_groups_restart(struct feed *f); /* all of them */

/* feed_history.c */
void feed_start_plog(struct feed *f, struct plog *p); /* finds its position, then tails it */
void feed_serve_wants(struct feed *f, struct plog *p);
void feed_add_page(struct feed *f, struct plog *p, struct plog_page *page); /* and signals */

/* feed_deep.c */
bool feed_deep_can(const struct plog *p, uint64_t pos); /* Kafka has some of what follows pos */
bool feed_deep_has(const struct feed *f, const struct plog *p, uint64_t pos); /* under way */
void feed_deep_start(struct feed *f, struct plog *p, uint64_t pos);
void feed_deep_stop(struct feed *f);

/* feed_index.c */
void feed_index_serve(struct feed *f, struct plog *p);
void feed_index_tidy(struct feed *f, struct plog *p); /* answers that are too many, or too old */

/* feed_replica.c */
#define FEED_BY_SENTINEL "sentinel" /* redis_replica_url: one that redis_url's Sentinels know */
void feed_replica_init(struct feed *f);
void feed_replica_tick(struct feed *f);
void feed_replica_stop(struct feed *f);
struct redis_opts feed_replica_redis(const struct feed *f, const char *name);
struct link *feed_deep_link(struct feed *f, struct plog *p); /* where its segments are */
/* A connection that failed. */
void feed_replica_lost(struct feed *f, const struct link *l, const char *why);
/* What is read as a replica is the master by now: perhaps there is another. */
void feed_replica_promoted(struct feed *f);
/* The beacon says that the stream reaches to `last`: does a replica we read lack some of it? One
 * that does for long is left. */
bool feed_replica_lacks(struct feed *f, struct plog *p, uint64_t last);

/* feed_topic.c */
void feed_topics_poll(struct feed *f);
void feed_beacon_poll(struct feed *f);
void feed_topics_free(struct feed *f);
