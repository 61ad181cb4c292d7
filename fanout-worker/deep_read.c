/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_read.c: segments out of Kafka, for deep.c.
 *
 * The handle is a member of no group. Partitions read lately stay assigned behind what was read
 * last, each with a queue of its own: the next segment costs no seek, and the library reads ahead.
 * The first record after a seek is believed only where it is the one asked for, or if a second seek
 * shows the same: a record of an earlier position would make a range look empty. @thread history
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/source_kafka.h"
#include "fanout-worker/worker_conf.h"

#define READ_MS 2000 /* a segment that isn't whole by then is given up */

static int open_kafka(struct deep *d)
{
    char why[256];
    rd_kafka_conf_t *rc;

    if (d->rk)
        return 0;
    rc = kafka_conf_new(d->h->conf, KAFKA_READER, why, sizeof(why));
    if (!rc)
        return -EIO;
    kafka_conf_set(rc, "queued.min.messages", "8192"); /* two rows ahead */
    kafka_conf_set(rc, "queued.max.messages.kbytes", "4096");
    d->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, sizeof(why));
    if (!d->rk) {
        log_warn("deep_history_failed", " why=%s", log_value(slice_of(why)));
        rd_kafka_conf_destroy(rc);
        return -EIO;
    }
    rd_kafka_poll_set_consumer(d->rk);
    return 0;
}

static rd_kafka_topic_partition_list_t *list_of(const struct deep *d, const struct deep_reader *r,
                                                int64_t offset)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(l, d->h->nss->v[r->topic].topic, r->partition)->offset =
        offset;
    return l;
}

static void unassign(struct deep *d, struct deep_reader *r)
{
    rd_kafka_topic_partition_list_t *l;
    rd_kafka_error_t *err;

    if (!r->queue)
        return;
    if (r->kept)
        rd_kafka_message_destroy(r->kept);
    rd_kafka_queue_destroy(r->queue);
    l = list_of(d, r, RD_KAFKA_OFFSET_INVALID);
    err = rd_kafka_incremental_unassign(d->rk, l);
    if (err)
        rd_kafka_error_destroy(err);
    rd_kafka_topic_partition_list_destroy(l);
    *r = (struct deep_reader){.queue = NULL};
}

void deep_read_rest(struct deep *d)
{
    for (size_t i = 0; i < DEEP_READERS; i++)
        unassign(d, &d->readers[i]);
}

void deep_read_done(struct deep *d)
{
    deep_read_rest(d);
    if (d->rk)
        rd_kafka_destroy_flags(d->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    record_maker_done(&d->maker);
}

/* Assigns the wanted partition anew, from the offset on. */
static int seek(struct deep *d, struct deep_reader *r, int64_t offset)
{
    rd_kafka_topic_partition_list_t *l;
    rd_kafka_error_t *err;

    unassign(d, r);
    r->topic = d->topic;
    r->partition = d->want.partition;
    memcpy(r->log, d->want.log, sizeof(r->log));
    r->at = (uint64_t)offset; /* the offset behind a position is that number */
    r->queue = rd_kafka_queue_get_partition(d->rk, d->h->nss->v[d->topic].topic, d->want.partition);
    if (!r->queue)
        return -EIO;
    rd_kafka_queue_forward(r->queue, NULL); /* before the assignment: see source_kafka.c */
    l = list_of(d, r, offset);
    err = rd_kafka_incremental_assign(d->rk, l);
    rd_kafka_topic_partition_list_destroy(l);
    if (!err)
        return 0;
    rd_kafka_error_destroy(err);
    unassign(d, r);
    return -EIO;
}

/* The next message of the partition: a record, its end, or an error. NULL: none in time. */
static rd_kafka_message_t *take(struct deep *d, struct deep_reader *r, uint64_t end_ms)
{
    rd_kafka_message_t *m = r->kept, *other;

    r->kept = NULL;
    while (!m && clock_mono_ms() < end_ms && !history_stopping(d->h)) {
        m = rd_kafka_consume_queue(r->queue, 50);
        if (m)
            break;
        while ((other = rd_kafka_consumer_poll(d->rk, 0))) /* of connections: they come back */
            rd_kafka_message_destroy(other);
    }
    return m;
}

/* Goes to the offset, and keeps the first message there. */
static int begin(struct deep *d, struct deep_reader *r, int64_t offset, uint64_t end_ms)
{
    int64_t seen = -1;

    for (int i = 0; i < 3; i++) {
        rd_kafka_message_t *m;

        if (seek(d, r, offset) < 0)
            return -EIO;
        m = take(d, r, end_ms);
        if (!m)
            return -ETIMEDOUT;
        r->kept = m;
        if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            return -EIO;
        if (m->offset == offset || m->offset == seen)
            return 0;
        seen = m->offset;
    }
    return -EIO;
}

static bool is_of_want(const struct deep *d, const struct deep_reader *r)
{
    return r->queue && r->topic == d->topic && r->partition == d->want.partition;
}

/* A topic created anew has another log, in the same partition. */
static bool is_at(const struct deep *d, const struct deep_reader *r, uint64_t pos)
{
    return is_of_want(d, r) && r->at == pos && strcmp(r->log, d->want.log) == 0;
}

bool deep_goes_on(const struct deep *d)
{
    for (size_t i = 0; i < DEEP_READERS; i++)
        if (is_at(d, &d->readers[i], d->want.from))
            return true;
    return false;
}

/* The wanted partition's reader, or the place of the one that was used longest ago. */
static struct deep_reader *reader_of(struct deep *d)
{
    struct deep_reader *best = &d->readers[0];

    for (size_t i = 0; i < DEEP_READERS; i++) {
        struct deep_reader *r = &d->readers[i];

        if (is_of_want(d, r)) {
            best = r;
            break;
        }
        if (r->used < best->used)
            best = r;
    }
    best->used = ++d->uses;
    return best;
}

static struct record_rules rules_of(const struct deep *d)
{
    const struct history_topic *t = &d->h->topics[d->topic];

    return (struct record_rules){
        .nss = d->h->nss,
        .ns = &d->h->nss->v[d->topic],
        .record_max = d->h->conf->record_max,
        .partition = d->want.partition,
        .partitions = t->log.partitions,
        .unmapped = true, /* the live way asks what a mismatch means; here it is only carried */
        .earlier = t->earlier,
        .earlier_count = t->earlier_count,
    };
}

/* What a segment gathers. */
struct gather {
    struct deep_reader *r;
    uint64_t limit;
    struct buf records;
    uint64_t upto, last, chain;
    uint8_t flags;
    bool whole;
    bool at_end; /* Kafka told its end, and tells it once */
};

static void add(struct deep *d, struct gather *g, const rd_kafka_message_t *m)
{
    const struct record_rules rules = rules_of(d);
    struct source_record rec;
    struct entry e;

    kafka_record_of(m, &rec);
    g->upto = g->r->at = (uint64_t)rec.offset + 1;
    g->whole = g->upto == g->limit;
    if (record_make(&d->maker, &rules, &rec, &e).fate != RECORD_ENTRY)
        return;
    e.pos = g->upto;
    segment_add(&g->records, &e, &g->last, &g->chain);
    g->whole = g->whole || g->records.n >= SEGMENT_BYTES;
}

static void at_end(struct gather *g, uint64_t end)
{
    if (end > g->upto)
        g->upto = end < g->limit ? end : g->limit;
    g->flags = g->upto < g->limit ? SEGMENT_END : 0;
    g->whole = g->at_end = true;
}

/* Takes the message into the segment, or keeps it for the next one, which makes this one whole. */
static int step(struct deep *d, struct gather *g, rd_kafka_message_t *m)
{
    uint64_t offset = (uint64_t)m->offset;
    int rc = 0;

    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        at_end(g, offset);
    } else if (m->err) {
        rc = -EIO;
    } else if (offset >= g->limit) {
        g->upto = g->limit;
        g->whole = true;
        g->r->kept = m;
        return 0;
    } else if (offset >= g->upto) { /* else read twice around a seek */
        add(d, g, m);
    }
    rd_kafka_message_destroy(m);
    return rc;
}

static int gather(struct deep *d, struct gather *g)
{
    uint64_t end_ms = clock_mono_ms() + READ_MS;
    int rc = open_kafka(d);

    if (rc < 0)
        return rc;
    g->r = reader_of(d);
    if (!is_at(d, g->r, g->upto))
        rc = begin(d, g->r, (int64_t)g->upto, end_ms);
    while (rc == 0 && !g->whole) {
        rd_kafka_message_t *m = take(d, g->r, end_ms);

        rc = m ? step(d, g, m) : history_stopping(d->h) ? -ECANCELED : -ETIMEDOUT;
    }
    if (rc < 0 || g->at_end) /* what comes behind it is read anew */
        unassign(d, g->r);
    else
        g->r->at = g->upto;
    return rc;
}

int deep_read(struct deep *d, uint64_t from, uint64_t limit, struct buf *ret_value,
              struct segment *ret_head)
{
    uint64_t low = (uint64_t)d->low + 1, begins = low > from + 1 ? low - 1 : from;
    struct gather g = {.limit = limit, .upto = begins, .last = from, .chain = begins};
    int rc = 0;

    /* All of it is gone: the next one begins where something is. */
    if (begins < limit)
        rc = gather(d, &g);
    if (rc == 0) {
        *ret_head = (struct segment){.flags = g.flags, .from = from, .upto = g.upto, .low = low};
        segment_head(ret_value, g.flags, from, g.upto, low);
        buf_slice(ret_value, buf_as_slice(&g.records));
    }
    buf_done(&g.records);
    return rc;
}
