/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump_impl.h: what the pump's files share: pump.c (loop, events), pump_tick.c (the clock), site.c
 * and site_table.c (connections to Redis), partition.c, part_*.c (one partition's life),
 * pump_adopt.c, topic.c, beacon.c.
 *
 * Everything here belongs to the pump's thread. A partition, once made, lives until the pump ends,
 * so callbacks may point at it; `token` tells a late one.
 */
#pragma once

#include <ev.h>

#include "common/base/keys.h"
#include "common/base/stores.h"
#include "common/io/redis.h"

#include "fanout-worker/adopt.h"
#include "fanout-worker/append.h"
#include "fanout-worker/attach.h"
#include "fanout-worker/history.h"
#include "fanout-worker/index.h"
#include "fanout-worker/pump.h"
#include "fanout-worker/record.h"
#include "fanout-worker/site.h"
#include "fanout-worker/source.h"
#include "fanout-worker/sweep.h"

enum part_state {
    PART_OUT,   /* not ours */
    PART_HOLD,  /* ours, or adopted; waits for Redis, a log, or its timer */
    PART_LAST,  /* asked Redis for the stream's last position */
    PART_FACTS, /* asked history for Kafka's side */
    PART_RUN,
    PART_GUARD, /* a key in the wrong partition: asked for metadata */
};

#define PART_AGAIN_MS 20
/* So often a jump over what was handed over before is doubted. */
#define PART_GUARD_HITS 3

struct part {
    struct pump *pu;
    struct topic *t;
    struct source_id id;
    struct site *at; /* NULL: not known yet */
    enum part_state state;
    bool adopted;   /* not ours, but carried on: pump_adopt.c */
    bool known;     /* low and end are of this log and of this time of ours */
    bool held;      /* the append has no room */
    bool index_due; /* to be flushed when the open batch has left */
    uint64_t token; /* grows with each detach */
    struct append ap;
    struct index ix;
    struct record_rules rules;
    char stream[KEY_MAX], side[KEY_MAX];
    uint64_t last; /* PART_LAST, PART_FACTS: what Redis said */
    uint32_t last_fp;
    bool has_fp;
    bool oom;      /* next append by the script for a full Redis */
    uint32_t late; /* so often, in a row, Kafka's side could not be learnt */
    bool returns;  /* it may have been there before, and what was left expires */
    bool fresh;    /* ours since now: the group's commit may be ahead of what we know */
    int64_t next;  /* offset to come next, at least */
    int64_t seen;  /* highest offset of this log ever handed over; -1 = none */
    int64_t guard; /* records above it are stale until one at or below came; -1 = off */
    uint32_t guard_hits;
    uint32_t tries;        /* of attaching, in a row */
    int64_t low, end;      /* Kafka's, as last heard */
    uint64_t end_ms;       /* the end was so then, or later; own monotonic time */
    uint64_t known_ms;     /* as the source said when it was looked at last */
    bool looked;           /* it was, since the partition was started */
    uint64_t drained_ms;   /* since when all that was fetched is ours; 0: it isn't */
    int64_t rebuild_until; /* offset; the beacon says rebuild below it. 0 = live */
    int64_t cap;           /* entries that a full Redis left us; 0 = no such bound */
    uint64_t beyond_since;
    uint64_t moved_ms;           /* when the last append was confirmed */
    uint64_t committed;          /* position last committed; within a log it only grows */
    struct history_point top;    /* highest that was ever confirmed or found, in this log */
    struct history_point anchor; /* known to be of this log: part_check.c */
    struct history_point mark;   /* the next anchor, if the check under way finds this one */
    uint32_t check_fails;        /* in a row */
    bool check_asked;            /* the anchor is being compared; at most once at a time */
    ev_timer retry;
};

struct topic {
    struct pump *pu;
    uint32_t index;
    const struct namespace *ns;
    struct log_record log, before; /* before.n = 0: none */
    int32_t earlier[LOGS_EARLIER_MAX];
    size_t earlier_count;
    int32_t seen_partitions;
    uint64_t smaller_since;
    uint32_t missing; /* looks in a row that found no such topic */
    bool configured;  /* log_id is given: nothing may be registered */
    bool waiting_log; /* registration is under way */
    bool owed_count;  /* a count was asked for, and none came yet that settles the guards */
    bool unmapped;
    bool compacted; /* it stands still */
    bool written;   /* the topic's hash was written since Redis came up */
    struct part **parts;
    int32_t part_count;
};

/* Rows of the beacon, in HSETs: how many were sent and answered; the last that told ages. */
struct beacon_told {
    uint64_t sent, answered, aged;
    bool lost; /* the last answer was none */
};

struct pump {
    struct pump_opts opts;
    struct scripts scripts;
    char cluster[CLUSTER_MAX + 1];
    char worker_id[WORKER_ID_MAX];
    struct ev_loop *loop;
    ev_async wake;
    ev_io source_io, spare_io;
    ev_idle more;
    ev_check turn;
    ev_timer tick, pulse;
    struct source *src;
    struct source *spare; /* reads the adopted; NULL: there was no need, or no_spare */
    bool current[2];      /* what they say is, as of the last look: src's; spare's */
    struct history *history;
    struct inbox inbox;
    struct list sites;
    struct site *home;
    struct stores stores, was; /* the table in use, and the one before */
    struct stores own_stores;  /* what our configuration says */
    bool placed;               /* the table is known */
    bool table_asked;
    uint64_t compared; /* the version that our own was compared with */
    uint32_t wrong;    /* checksum of what was with the table that was read last; 0: nothing */
    bool no_spare;
    bool adopt_asked; /* rows are being read */
    bool watchful;    /* all rows each time: somebody died, something is adopted */
    struct topic *topics;
    uint32_t topic_count;
    int32_t owned;
    int32_t adopted;
    uint64_t swept; /* the beat in which the beacon was swept last */
    bool slept;     /* since turned_ms, too long */
    _Atomic bool stop;
    bool started;
    uint64_t turned_ms; /* when the loop's last round began */
    uint64_t beat;      /* beacon's counter; a tick is 250 ms */
    uint64_t pulses;
    struct beacon_told told[2]; /* of the partitions that we own; that we have adopted */
    struct adopt adopt;
    struct sweep sweep;
    struct record_maker maker;
    struct append_limits limits;
    int64_t inflight_total;
    struct buf scratch;
    struct slice *argv;
    size_t argv_cap;
    int64_t records; /* since the last turn's metric */
    void (*changed)(void *arg);
    void *changed_arg;
    pthread_t thread;
};

/* partition.c */
struct part *part_get(struct topic *t, int32_t partition);
void part_free(struct part *p);
void part_own(struct part *p);
void part_disown(struct part *p);
void part_attach(struct part *p);            /* from the start: Redis, Kafka, run */
void part_detach(struct part *p);            /* ours, but holds */
void part_retry(struct part *p, int64_t ms); /* detach, attach later */
void part_log_changed(struct part *p);
void part_set_state(struct part *p, enum part_state state);
void part_set_held(struct part *p, bool held);
void part_on_facts(struct part *p, struct history_job *j);
struct source *part_source(const struct part *p);
void part_is_other(struct part *p); /* the overlap check failed */
void part_stay(struct part *p);     /* what expires there shall not */

/* What was true when a question was asked. */
struct part_ask {
    struct part *p;
    uint64_t token, acked;
};
void part_ask_last(struct part *p, redis_reply_fn *fn); /* fn frees its arg, a part_ask */
struct history_job *part_job(const struct part *p, enum history_kind kind);

/* part_check.c */
void part_doubt(struct part *p);
void part_check(struct part *p); /* in each beat: its turn comes */
void part_on_check(struct part *p, const struct history_job *j);
void part_idle_check(struct part *p);

/* pump_adopt.c */
void pump_adopt_init(struct pump *pu);
void pump_adopt_clear(struct pump *pu); /* another connection to Redis */
void pump_adopt_stop(struct pump *pu);  /* leaving */
void part_yield(struct part *p, const char *why);
void part_keep(struct part *p); /* revoked: carry it on until its next owner does */

/* part_run.c */
bool part_on_record(void *handle, const struct source_record *r);
void part_on_end(void *handle);
void part_on_turn(void *handle);
void part_on_trouble(void *handle, enum source_trouble what, const char *text);
bool part_commit(struct part *p, struct source_commit *ret);

/* part_append.c */
void part_append_init(struct part *p); /* and the index that goes with it */
void part_append_done(struct part *p);
void part_append_reset(struct part *p);
void part_append_begin(struct part *p, uint64_t chain); /* behind p->last */

/* part_index.c */
extern const struct index_io part_index_io;
void part_index_tick(struct part *p); /* every 500 ms */
void part_index_sent(struct part *p); /* the open batch has left */

/* pump.c */
struct slice *pump_argv(struct pump *pu, size_t argc); /* pu->argv, with room for so many */

/* topic.c */
void topic_init(struct topic *t, struct pump *pu, uint32_t index,
                const struct pump_topic_boot *boot);
void topic_done(struct topic *t);
void topic_write(struct topic *t);
void topic_on_redis(struct topic *t); /* the connection came up */
void topic_need_newlog(struct topic *t, const char *reason);
void topic_on_count(struct topic *t, const struct history_job *j);
void topic_on_log(struct topic *t, const struct history_job *j);
bool topic_is_missing(const struct topic *t);

/* beacon.c */
void beacon_beat(struct pump *pu);
void beacon_pulse(struct pump *pu);   /* this worker's row */
void beacon_adopted(struct pump *pu); /* those of partitions it has adopted */
void beacon_sweep(struct pump *pu, const struct redis_reply *reply);
void beacon_drop_rows(struct pump *pu, const struct log_record *rec);
void beacon_leave(struct pump *pu, redis_reply_fn *fn);

void pump_kick(struct pump *pu); /* the source has more to hand over */
void pump_source_round(struct pump *pu, bool with_all);
void pump_status(struct pump *pu);
void pump_on_home(struct pump *pu); /* home Redis is up */

/* pump_tick.c */
void pump_each_part(struct pump *pu, void (*fn)(struct part *));
void pump_on_tick(struct ev_loop *loop, ev_timer *w, int events);
void pump_on_turn(struct ev_loop *loop, ev_check *w, int events);
/* What was read in this round may not be appended: everything is attached again in the next. */
bool pump_has_slept(struct pump *pu);

#define PUMP_METRIC(pu, field, n) metric_add(&(pu)->opts.metrics->field, (int64_t)(n))
