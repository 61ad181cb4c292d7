/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_impl.h: what deep.c (rows, time, Redis), deep_want.c (wants), deep_publish.c (is it the same
 * log? then out with it), deep_read.c (segments out of Kafka) and deep_reader.c (places in Kafka)
 * share.
 * @thread history
 */
#pragma once

#include <ev.h>

#include "common/base/list.h"
#include "common/base/segment.h"
#include "common/base/stores.h"
#include "common/io/redis.h"

#include "fanout-worker/deep.h"
#include "fanout-worker/history_impl.h"
#include "fanout-worker/record.h"
#include "fanout-worker/script.h"

#define DEEP_READERS 16      /* partitions that stay assigned, each with what it has read ahead */
#define DEEP_ROWS    32      /* wants in hand */
#define DEEP_EACH    16      /* … of one partition; the edge asks again for what is beyond */
#define DEEP_PARTS   16      /* most segments a want brings */
#define DEEP_AHEAD   4       /* rows for a want that goes on: whoever reads on wants them next */
#define DEEP_ROW_MS  5000    /* a want in hand is answered by then, or given up */
#define DEEP_HELD    MIB(16) /* read and not yet published: beyond it, rows end early */

/* A partition's place in Kafka: the next record is that behind `at`. */
struct deep_reader {
    rd_kafka_queue_t *queue; /* NULL: free */
    uint32_t topic;
    int32_t partition;
    char log[LOG_ID_LEN + 1]; /* what was read ahead is this one's, whatever the topic is by now */
    uint64_t at;              /* position */
    int64_t low;              /* Kafka's lowest offset, as an overlap check saw it */
    rd_kafka_message_t *kept; /* read, and belongs to the next segment */
    uint64_t used;            /* when, for the oldest's turn to go */
    struct deep_row *row;     /* reads; NULL: between two */
    int64_t asked, seen;      /* a seek went there; its first record was this one's; -1: none */
    int seeks;
    bool nudged;     /* since the last message or seek … */
    uint64_t dry_ms; /* … when its queue was empty; 0: it isn't */
    bool believed;   /* its first record was the one asked for, or seen twice */
};

/* What is known of a partition that a row reads. */
enum deep_state {
    DEEP_CLAIMED, /* is it still wanted? Redis is asked */
    DEEP_LAST,    /* where does the stream end? Redis is asked */
    DEEP_LOOK,    /* does Kafka have the same there? */
    DEEP_WAIT,    /* for a reader */
    DEEP_READ,
    DEEP_PUBLISH,
    DEEP_DONE, /* replies may still come for it */
};

struct deep_part {
    struct segment head;
    struct buf records;
};

/* The segment that is being read. */
struct deep_gather {
    uint64_t limit;
    struct buf records;
    uint64_t from, upto, last, chain;
    uint8_t flags;
    bool whole;
};

/* A want in hand. */
struct deep_row {
    struct list node; /* deep.rows, in order of arrival */
    struct deep *d;
    struct deep_site *site; /* NULL: home */
    enum deep_state state;
    uint32_t replies; /* not yet there */
    uint64_t end_ms;  /* published by then, or given up */
    struct segment_want want;
    uint32_t topic;
    bool there;    /* another worker has published it */
    bool placed;   /* its reader is where it reads */
    bool read;     /* all of it: what follows is the check, and the publishing */
    uint64_t last; /* the stream's, and its fingerprint */
    uint32_t fp;
    bool has_fp;
    int64_t low;
    uint64_t limit; /* the last row's end */
    struct deep_reader *reader;
    struct history_job *job; /* within deep_look() */
    struct deep_gather g;
    struct deep_part parts[DEEP_PARTS];
    size_t n, bytes;
};

struct deep {
    struct history *h;
    struct redis_watch *watch; /* NULL: no Sentinels */
    struct redis_conn *redis;  /* home: all but … */
    struct redis_conn *wants;  /* … BLPOP, which keeps what is behind it waiting */
    struct list sites;         /* deep_site.c's, without home */
    struct stores stores;
    uint64_t polled_ms;
    ev_timer retry, tick;
    ev_idle work;  /* on while a row can go on at once */
    ev_async bell; /* a reader's queue is no longer empty */
    uint32_t tries;
    bool asked;          /* for a want; its reply is on its way */
    bool goes_on;        /* the work isn't done */
    uint64_t pause_ms;   /* until when nothing is asked for */
    uint64_t renewed_ms; /* when the wants in hand were renewed last */

    struct list rows;
    size_t count, held; /* rows not done; bytes read and not yet published */

    /* deep_publish.c's: the partition whose look failed last: it comes behind the others */
    uint32_t late_topic;
    int32_t late_partition;
    uint64_t late_ms;

    /* deep_reader.c's */
    rd_kafka_t *rk;
    struct deep_reader readers[DEEP_READERS];
    uint64_t uses;
    struct record_maker maker;
};

#define DEEP_COUNT(d, field, n) metric_add(&(d)->h->opts.metrics->field, (int64_t)(n))

/* ---- deep.c ---- */
void deep_row_go(struct deep_row *row, enum deep_state state);
void deep_work(struct deep *d);                           /* something can go on at once */
void deep_row_end(struct deep_row *row, const char *why); /* why: NULL, or it is logged */
/* The reply a row waited for is here: false if nobody cares any more. */
bool deep_row_answered(struct deep_row *row, const struct redis_reply *reply) _must_check_;
void deep_call(struct deep_row *row, enum script which, redis_reply_fn *fn, int argc,
               const struct slice *argv);
void deep_load(struct redis_conn *c);       /* the scripts, at first and after NOSCRIPT */
bool deep_find_topic(struct deep_row *row); /* its log is the topic's current one */
/* A reply to a write: ends the connection to who was made a replica under it. */
void deep_see_readonly(struct redis_conn *c, const struct redis_reply *reply);

/* ---- deep_site.c ---- */
/* Finds the server of its partition; false: it isn't connected to, yet. */
bool deep_row_place(struct deep_row *row);
/* That connection: there is one while the row isn't done. */
struct redis_conn *deep_conn(const struct deep_row *row);
bool deep_is_up(const struct deep_row *row);
void deep_sites_poll(struct deep *d);
void deep_sites_done(struct deep *d);

/* ---- deep_want.c ---- */
void deep_want_take(struct deep *d, const struct segment_want *want); /* into a row, or nothing */
/* Of a row in hand; Redis is up. */
void deep_want_renew(const struct deep_row *row);
void deep_want_drop(const struct deep_row *row); /* nobody has it in hand any more */

/* ---- deep_publish.c ---- */
void deep_ask_last(struct deep_row *row);
/* Compares Kafka with the streams of all rows in DEEP_LOOK. Blocks, bounded. */
void deep_look(struct deep *d);

/* ---- deep_read.c ---- */
void deep_read(struct deep_row *row);     /* on, a bounded step */
void deep_row_drop(struct deep_row *row); /* what was read */

/* ---- deep_reader.c ---- */
/* A reader for the row: where it is already, or the place of the one that was used longest ago.
 * NULL: its partition, or all of them, are being read for others. */
struct deep_reader *deep_reader_take(struct deep_row *row);
void deep_reader_give(struct deep_row *row, bool keep); /* keep: it stays where it is */
/* The one that stands where the row begins; NULL: none. */
const struct deep_reader *deep_reader_at(const struct deep_row *row);
/* Goes there, unless it is there. 0, -EIO. */
int deep_reader_seek(struct deep_row *row, uint64_t pos) _must_check_;
/* The next message there is: a record, the end, or an error. NULL: none yet, or *ret_err < 0. */
rd_kafka_message_t *deep_reader_next(struct deep_row *row, int *ret_err);
/* Now and then. The library may have forgotten those that wait for their first record: it is asked
 * something, which may block a little. */
void deep_readers_serve(struct deep *d, uint64_t now);
void deep_readers_rest(struct deep *d); /* nobody wants anything: nothing stays assigned */
void deep_readers_done(struct deep *d);
