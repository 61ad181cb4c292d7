/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.h: the one thread that talks to the region's Redis: tails the streams somebody here listens
 * to, fetches pages of their history, follows topics and the beacon.
 *
 * Shards ask (feed_tail, feed_want) and are woken; nothing is queued for them: they look at what
 * grew. Thread `feed` owns the Redis connections and writes the plogs. A process with one shard may
 * have feed on that shard's loop: a record then costs one wake-up instead of two.
 */
#pragma once

#include "common/base/partitioner.h"

#include "edge-node/plog.h"

struct edge_conf;
struct ev_loop;
struct namespaces;
struct redis_opts;
struct feed;

#define FEED_PLOGS_MAX 4096 /* partitions of all logs at a time */

/* Can an edge compute where a channel's records are? If not: error 108. */
enum topic_map {
    TOPIC_MAPPED,
    TOPIC_UNMAPPED,  /* producers place keys otherwise */
    TOPIC_COMPACTED, /* and the namespace promises every record */
    TOPIC_DIFFERS,   /* the workers' configuration leads elsewhere */
};

/* One incarnation of one topic. Immutable; valid within a turn. */
struct topic_view {
    uint64_t n;
    char log[LOG_ID_LEN + 1];
    char was[LOG_ID_LEN + 1]; /* the log before, as far as this edge has seen one; "" = not */
    int32_t partitions;
    enum partitioner partitioner;
    enum topic_map map; /* PARTITIONER_ANY needs none: always TOPIC_MAPPED */
    struct plog *plogs[];
};

/* A shard's side: wake(arg) is called from the feed thread; it must coalesce. */
struct feed_shard {
    void (*wake)(void *arg);
    void *arg;
    _Atomic uint64_t grown[FEED_PLOGS_MAX / 64]; /* plogs to look at, a bit each */
};

/* ---- main ---- */
/* How it connects to Redis; name is the connection's. */
struct redis_opts feed_redis(const struct edge_conf *conf, const char *name);
struct feed *feed_new(const struct edge_conf *conf, const struct namespaces *nss,
                      struct turns *turns, struct feed_shard *shards, int shard_count);
/* Begins its thread; or, given the only shard's loop, which isn't running yet, joins that. */
void feed_start(struct feed *f, struct ev_loop *shared);
void feed_stop(struct feed *f); /* the shards have ended before */
void feed_free(struct feed *f);
/* Does the data path work? Redis answered within 3 s and every topic is known. why: text for
 * people, filled in either case. @thread any */
bool feed_is_ready(struct feed *f, char *why, size_t why_size);

/* ---- shards, within a turn ---- */
/* NULL: not known (yet). */
const struct topic_view *feed_topic(const struct feed *f, uint32_t ns_index);
/* Is `log`, which isn't feed_topic()'s, surely an older one? Another edge may know a newer log
 * already, and send its clients here: so it is only if the topic was read after since_ms, or `log`
 * is what this one followed. False: the topic is read again within 100 ms; the next tick may ask
 * anew. */
bool feed_is_old_log(struct feed *f, uint32_t ns_index, const char *log, uint64_t since_ms);
struct plog *feed_plog(const struct feed *f, uint32_t id);
/* Of how many partitions is the one that a key leads to? 0: that isn't known (yet), or keys don't
 * lead to one (`any`, or error 108). @thread any, also between turns */
int32_t feed_partitions(const struct feed *f, uint32_t ns_index);
void feed_tail(struct feed *f, int shard, struct plog *p, bool on);
/* Asks for the page of history after pos: 0, or as PLOG_WANT_… say. Idempotent; the shard is woken
 * with the plog's bit when something came, and asks again for what it still needs: no more than
 * PLOG_WANTS are kept, and the first ones stay. */
void feed_want(struct feed *f, int shard, struct plog *p, uint64_t pos, uint64_t how);
/* The channel's records behind pos: 0: it surely has none in (pos, *ret_upto], by the last-position
 * index (pos itself: nothing is proven). -EAGAIN: it isn't known; the turn calls feed_look_up()
 * when it has asked for all it wants to know. As feed_want() otherwise. */
int feed_index(struct feed *f, struct plog *p, const struct channel_key *key, uint64_t pos,
               uint64_t *ret_upto) _must_check_;
void feed_look_up(struct feed *f, struct plog *p);
