/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_reader.c: places in Kafka for deep_read.c. Nothing here waits: a queue that gets its first
 * message rings the loop.
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

#define SEEKS_MAX 3
#define SOON_MS   20
#define NUDGE_MS  50

static int open_kafka(struct deep *d)
{
    char why[256];
    rd_kafka_conf_t *rc;

    if (d->rk)
        return 0;
    rc = kafka_conf_new(d->h->conf, KAFKA_READER, why, sizeof(why));
    if (!rc)
        return -EIO;
    kafka_conf_set(rc, "queued.min.messages", "32768"); /* what the next want makes it read; or … */
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

static const char *topic_of(const struct deep *d, const struct deep_reader *r)
{
    return d->h->nss->v[r->topic].topic;
}

static void unassign(struct deep *d, struct deep_reader *r)
{
    rd_kafka_message_t *m;

    if (!r->queue)
        return;
    if (r->kept)
        rd_kafka_message_destroy(r->kept);
    r->kept = NULL;
    rd_kafka_queue_cb_event_enable(r->queue, NULL, NULL);
    kafka_unassign_one(d->rk, topic_of(d, r), r->partition);
    /* Or the next assignment's queue isn't empty when its first message comes, and doesn't ring. */
    while ((m = rd_kafka_consume_queue(r->queue, 0)))
        rd_kafka_message_destroy(m);
    rd_kafka_queue_destroy(r->queue);
    r->queue = NULL;
}

/* @thread librdkafka's */
static void on_ready(rd_kafka_t *rk, void *arg)
{
    struct deep *d = arg;

    (void)rk;
    ev_async_send(d->h->loop, &d->bell);
}

static int assign(struct deep *d, struct deep_reader *r)
{
    unassign(d, r);
    r->seeks++;
    r->nudged = false;
    r->dry_ms = clock_mono_ms();
    r->queue = rd_kafka_queue_get_partition(d->rk, topic_of(d, r), r->partition);
    if (!r->queue)
        return -EIO;
    rd_kafka_queue_forward(r->queue, NULL); /* before the assignment, see source_kafka.c */
    rd_kafka_queue_cb_event_enable(r->queue, on_ready, d);
    if (kafka_assign_one(d->rk, topic_of(d, r), r->partition, r->asked) == 0)
        return 0;
    unassign(d, r);
    return -EIO;
}

static bool is_of(const struct deep_reader *r, const struct deep_row *row)
{
    return r->topic == row->topic && r->partition == row->want.partition;
}

/* A topic created anew has another log, in the same partition. */
static bool is_at(const struct deep_reader *r, const struct deep_row *row, uint64_t pos)
{
    return r->queue && r->believed && is_of(r, row) && r->at == pos &&
           strcmp(r->log, row->want.log) == 0;
}

const struct deep_reader *deep_reader_at(const struct deep_row *row)
{
    const struct deep *d = row->d;

    for (size_t i = 0; i < DEEP_READERS; i++)
        if (is_at(&d->readers[i], row, row->want.from))
            return &d->readers[i];
    return NULL;
}

struct deep_reader *deep_reader_take(struct deep_row *row)
{
    struct deep *d = row->d;
    struct deep_reader *best = NULL;

    for (size_t i = 0; i < DEEP_READERS; i++) {
        struct deep_reader *r = &d->readers[i];

        if (is_of(r, row) && (r->queue || r->row)) {
            if (r->row)
                return NULL;
            best = r;
            break;
        }
        if (!r->row && (!best || r->used < best->used))
            best = r;
    }
    if (!best)
        return NULL;
    best->used = ++d->uses;
    best->row = row;
    row->reader = best;
    return best;
}

/* librdkafka 2.0 lets a partition lie, for a second, that was assigned right after another one's
 * end (see history_facts.c), or whose queue was full: its broker's thread sleeps. A question wakes
 * it. */
static int nudge(struct deep *d, const struct deep_reader *r)
{
    int64_t low;

    return kafka_ask_offset(d->rk, topic_of(d, r), r->partition, RD_KAFKA_OFFSET_BEGINNING,
                            NUDGE_MS, &low)
               ? -EIO
               : 0;
}

void deep_reader_give(struct deep_row *row, bool keep)
{
    if (!row->reader)
        return;
    if (!keep)
        unassign(row->d, row->reader);
    else if (row->reader->queue)
        (void)nudge(row->d, row->reader); /* it reads ahead while this row is published */
    row->reader->row = NULL;
    row->reader = NULL;
    deep_work(row->d); /* others may wait for it */
}

int deep_reader_seek(struct deep_row *row, uint64_t pos)
{
    struct deep_reader *r = row->reader;

    if (is_at(r, row, pos))
        return 0;
    if (open_kafka(row->d) < 0)
        return -EIO;
    unassign(row->d, r); /* of what it read before */
    r->topic = row->topic;
    r->partition = row->want.partition;
    memcpy(r->log, row->want.log, sizeof(r->log));
    r->at = pos;
    r->asked = (int64_t)pos;
    r->seen = -1;
    r->seeks = 0;
    r->believed = false;
    return assign(row->d, r);
}

/* The first message after a seek. Not believed: it goes there once more. */
static int judge_first(struct deep *d, struct deep_reader *r, const rd_kafka_message_t *m)
{
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return -EIO;
    r->believed = m->offset == r->asked || m->offset == r->seen;
    if (r->believed)
        return 0;
    r->seen = m->offset;
    return r->seeks < SEEKS_MAX ? assign(d, r) : -EIO;
}

rd_kafka_message_t *deep_reader_next(struct deep_row *row, int *ret_err)
{
    struct deep_reader *r = row->reader;
    rd_kafka_message_t *m = r->kept;

    *ret_err = 0;
    r->kept = NULL;
    if (!m)
        m = rd_kafka_consume_queue(r->queue, 0);
    if (m) {
        r->dry_ms = 0;
        r->nudged = false;
    } else if (!r->dry_ms) {
        r->dry_ms = clock_mono_ms();
    }
    if (m && !r->believed) {
        *ret_err = judge_first(row->d, r, m);
        if (!r->believed) {
            rd_kafka_message_destroy(m);
            return NULL;
        }
    }
    return m;
}

void deep_readers_serve(struct deep *d, uint64_t now)
{
    rd_kafka_message_t *other;

    while (d->rk && (other = rd_kafka_consumer_poll(d->rk, 0))) /* of connections: they come back */
        rd_kafka_message_destroy(other);
    for (size_t i = 0; i < DEEP_READERS; i++) {
        struct deep_reader *r = &d->readers[i];

        if (!r->row || !r->queue || r->nudged || !r->dry_ms || now < r->dry_ms + SOON_MS)
            continue;
        r->nudged = true;
        deep_work(d); /* it may hold what was fetched before: then it doesn't ring */
        if (nudge(d, r) < 0)
            return;
    }
}

void deep_readers_rest(struct deep *d)
{
    for (size_t i = 0; i < DEEP_READERS; i++)
        if (!d->readers[i].row)
            unassign(d, &d->readers[i]);
}

void deep_readers_done(struct deep *d)
{
    deep_readers_rest(d);
    if (d->rk)
        rd_kafka_destroy_flags(d->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    record_maker_done(&d->maker);
}
