/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.h: everything of a shard that is not a socket: its channels, its cursors over the plogs, the
 * sessions and what they wait for; and the turn, in which all of it moves.
 *
 * One hub a shard, one thread. The plogs are read only within hub_turn(). Commands that arrive
 * between turns leave waiters in `todo`; the next turn tries them.
 *
 *   turn:  advance tails → publish blocks → try waiters → flush sessions → reap
 *
 * Invariant between turns: a live subscription has been sent every record of its channel up to its
 * tail's cursor; any other subscription knows its own position.
 */
#pragma once

#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/runtime/namespace.h"

#include "edge-node/block.h"
#include "edge-node/edge_conf.h"
#include "edge-node/feed.h"
#include "edge-node/wheel.h"

struct hub;
struct session;
struct sub;
struct token_keys;
struct publish;

#define ANSWER_MS    2000 /* every command is answered by then; SDKs give up after 5 s */
#define SCAN_STEPS   4096 /* links that are followed for a channel; positions of a scan */
#define SCANS_A_TURN 16
#define PULL_A_TURN  MIB(4) /* of older records: they are in memory until the end of the turn */
#define LIVE_A_TURN  MIB(4) /* of new ones, as the plogs have them: so are their blocks */

/* A shard's cursor over one plog. */
struct tail {
    struct hub *h;
    struct plog *p;
    bool ready;              /* cursor is known */
    bool holed;              /* what was behind the cursor is gone, in this turn */
    uint64_t cursor;         /* everything up to here was published to the live */
    uint64_t before;         /* the cursor before the turn that moved it last */
    struct plog_place place; /* of the cursor */
    uint32_t refs;           /* channels on it */
    struct list channels;
    struct list waiting;          /* waiters to try when the plog moves */
    struct list asks;             /* membership of hub->asking */
    const struct plog_page *page; /* the one that was read last, in turn page_turn */
    uint64_t page_turn;
};

/* Records of one channel: all in (from, upto], and perhaps others before. Valid in a turn, until
 * the next call of hub_older(). */
struct records {
    const struct plog_rec *const *v;
    size_t n;
    uint64_t from, upto;
    bool newest_first;
    bool searched; /* other channels' were looked at on the way */
};

static inline const struct plog_rec *records_at(const struct records *r, size_t i)
{
    return r->v[r->newest_first ? r->n - 1 - i : i];
}

/* Index, in ascending order, of the first record after pos. */
static inline size_t records_after(const struct records *r, uint64_t pos)
{
    size_t lo = 0, hi = r->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (records_at(r, mid)->pos > pos)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* A channel's records in a part of its plog, read forwards for all who are there. */
struct scan {
    const struct channel *ch;
    uint64_t from, upto;
    struct rec_vec recs;
};

struct hub_slot {
    struct session *s;
    struct sub *sub;
};

/* hub_older.c: a channel's walk along its links, for those who are behind. */
struct walked {
    struct plog_walk walk; /* valid in this turn: all in (to, cursor] */
    uint64_t turn, to;
};

struct channel {
    /* what a record of it looks at */
    struct hmap_node node;
    struct tail *tail;      /* NULL: not resolved yet, or `any` */
    uint32_t touched;       /* publish.c's scratch of a turn */
    uint32_t live;          /* slots in use */
    struct hub_slot *slots; /* the live */
    struct hub_slot first;  /* the only slot; with more, slots are elsewhere */

    struct hub *h;
    const struct namespace *ns;
    struct list in_tail;   /* membership of tail->channels */
    struct plog **any;     /* keys may be in each of these (by partition): live only; else NULL */
    struct walked *walked; /* NULL: nobody is behind */
    uint32_t any_count;
    uint32_t slot_cap;
    uint32_t sub_count; /* all states */
    uint8_t name_len;
    char name[];
};

static inline struct slice channel_name(const struct channel *ch)
{
    return (struct slice){ch->name, ch->name_len};
}

static inline struct channel_key channel_key(const struct channel *ch)
{
    return (struct channel_key){ch->node.hash, channel_name(ch)};
}

/* Is p where its records are, or one of these? */
static inline bool channel_reads(const struct channel *ch, const struct plog *p)
{
    uint32_t part = (uint32_t)p->partition;

    return (ch->tail && ch->tail->p == p) ||
           (ch->any && part < ch->any_count && ch->any[part] == p);
}

/* Something that waits for data: a subscription that isn't live, or a history request. It is in
 * exactly one list: hub->todo, hub->waiting (for a topic), tail->waiting, session->blocked or
 * session->held; none while live. */
struct waiter {
    struct list node;
    struct list due_node; /* hub->due, while an answer is owed; hub->slow, see slow */
    uint64_t due_ms;
    bool slow; /* an answered subscription whose client could take no more */
    struct session *s;
    struct channel *ch;
    void (*try_now)(struct hub *h, struct waiter *w);
    void (*expire)(struct hub *h, struct waiter *w); /* the answer's time is up */
};

struct hub {
    const struct edge_conf *conf;
    const struct namespaces *nss;
    const struct token_keys *keys; /* NULL: no tokens */
    const char *node;              /* this edge's name */
    struct feed *feed;
    struct turns *turns;
    struct feed_shard *inbox;
    int index;
    uint32_t session_count;
    uint32_t leaving_count;   /* of these, those that were told to close, or are closed */
    void (*again)(void *arg); /* asks for another turn soon */
    void *again_arg;

    uint64_t now_ms; /* monotonic, at the turn's or event's beginning */
    bool has_gaps;   /* a tail is holed, or its log GONE */
    struct hmap channels;
    struct tail *tails[FEED_PLOGS_MAX];
    struct wheel wheel;
    struct list sessions;

    struct list asking;  /* tails: this turn asked something of their last-position indexes */
    struct list todo;    /* waiters to try in the next turn */
    struct list waiting; /* waiters whose topic is not known, or may have a newer log */
    struct list due;     /* waiters that are owed an answer, by time */
    struct list slow;    /* slow ones that end at their due_ms */
    struct list dirty;   /* sessions with output or reading to resume */
    struct list dead;    /* sessions to free at the turn's end */
    struct list spare;   /* sub.c's: pulls to be used again */
    uint32_t spare_count;

    size_t live_left;  /* of LIVE_A_TURN, in this turn */
    uint64_t admit_ms; /* when `admit` was reckoned last … */
    uint64_t admit;    /* … in thousandths of a subscription that may resume */

    uint64_t turn;       /* counts turns that did something */
    uint32_t next_tail;  /* the plog to look at first: a turn ended before it */
    uint32_t scan_steps; /* SCAN_STEPS; fewer in tests */
    struct scan scans[SCANS_A_TURN];
    uint64_t scans_turn; /* of scans[0 … scans_n - 1] */
    uint32_t scans_n;
    bool fed;             /* the waiter being tried was given a page */
    struct rec_vec found; /* in a page, by the last hub_older() */
    size_t pulled;        /* bytes of older records that waiters were given in this turn */
    struct publish *publish;
    struct buf frame; /* scratch of one write */
};

void hub_init(struct hub *h, const struct edge_conf *conf, const struct namespaces *nss,
              struct feed *feed, struct turns *turns);
void hub_done(struct hub *h); /* all sessions were closed */

/* One round; cheap when there is nothing to do. */
void hub_turn(struct hub *h, uint64_t now_ms);
/* Every 100 ms: deadlines, pings, what waits for a topic. */
void hub_tick(struct hub *h, uint64_t now_ms);
/* Closes up to n sessions with this code, those that are here longest first; returns how many. */
uint32_t hub_move(struct hub *h, uint32_t n, uint16_t code);
/* The same, those first of whom is_stray() says so; it isn't asked of all. */
typedef bool hub_is_stray_fn(const struct session *s, void *arg);
uint32_t hub_shed(struct hub *h, uint32_t n, uint16_t code, hub_is_stray_fn *is_stray, void *arg);

/* ---- for session, sub, history ---- */
bool hub_admit(struct hub *h); /* may one more subscription resume now? (resume_rate) */
/* Makes it if it isn't there; one more has it. */
struct channel *hub_channel(struct hub *h, const struct namespace *ns, struct slice name);
struct channel *hub_channel_find(const struct hub *h, struct slice name); /* NULL: nobody has it */
void hub_channel_unref(struct channel *ch); /* sub_count went down: frees it at 0 */
/* Finds the channel's tail, or the reason why not: 0; -EAGAIN: topic or position not known yet;
 * -EXDEV: (*ret_view)->map says why; -ESTALE: its log was superseded. @turn */
int hub_resolve(struct hub *h, struct channel *ch, const struct topic_view **ret_view);
void hub_live(struct sub *sub);   /* joins the live; pull->pos >= its tail's cursor: pull goes */
void hub_unlive(struct sub *sub); /* leaves them */
/* The records of w's channel that follow `after`, up to its tail's cursor or a part of the way.
 * how: 0, or PLOG_WANT_REGION: what the region's stream lacks may be left out. 0: if ret->from >
 * after, what lies between is missing. -EAGAIN: w waits (for a page, or because the turn has done
 * enough).
 * @turn */
int hub_older(struct waiter *w, uint64_t after, uint64_t how, struct records *ret) _must_check_;
/* The newest records of ch in its tail, more if easy: all in (ret->from, the cursor]. False:
 * there are none after `after`, or they are hard to find. @turn */
bool hub_newest(struct channel *ch, uint64_t after, struct records *ret);
/* Before older records than the plog has are fetched for w: asks the last-position index, once, and
 * moves *pos forward over what surely has none of its channel's. False: w waits for that. @turn */
bool hub_quiet(struct waiter *w, uint64_t *pos, bool *asked) _must_check_;
void hub_older_done(struct channel *ch);   /* what those who were behind shared */
void hub_older_forget(struct channel *ch); /* ch ends */
void waiter_init(struct waiter *w, struct session *s, struct channel *ch); /* in no list */
void waiter_owed(struct waiter *w);                                        /* todo, answer owed */
void waiter_answered(struct waiter *w);
/* When the command came whose answer is owed. */
static inline uint64_t waiter_asked_ms(const struct waiter *w)
{
    return w->due_ms - ANSWER_MS;
}
/* Whose answer is owed: is `log`, which isn't its channel's, surely an older one? False: that may
 * be known in a later tick, so it goes to hub->waiting. */
bool waiter_is_of_old_log(const struct waiter *w, const char *log);
void waiter_move(struct waiter *w, struct list *to);
void waiter_drop(struct waiter *w);    /* out of every list */
void waiter_put_off(struct waiter *w); /* to the next turn, which comes at once */
/* All of `from` come to be tried, before those who are there already. */
void waiters_first(struct hub *h, struct list *from);
struct channel *hub_channel_of_rec(const struct hub *h, const struct plog_rec *r);
