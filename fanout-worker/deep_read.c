/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_read.c: segments of a row out of Kafka, a bounded step at a time. They are kept until the
 * log was compared behind the last of them (deep_publish.c). @thread history
 */
#include <errno.h>

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/source_kafka.h"
#include "fanout-worker/worker_conf.h"

#define STEP_RECORDS 1024 /* a step; the pump's questions come between two */

static struct record_rules rules_of(const struct deep_row *row)
{
    const struct history *h = row->d->h;
    const struct history_topic *t = &h->topics[row->topic];

    return (struct record_rules){
        .nss = h->nss,
        .ns = &h->nss->v[row->topic],
        .record_max = h->conf->record_max,
        .partition = row->want.partition,
        .partitions = t->log.partitions,
        .unmapped = true, /* the live way asks what a mismatch means; here it is only carried */
        .earlier = t->earlier,
        .earlier_count = t->earlier_count,
    };
}

static void begin_part(struct deep_row *row, uint64_t from)
{
    uint64_t low = (uint64_t)row->low + 1;
    struct deep_gather *g = &row->g;

    *g = (struct deep_gather){.from = from, .last = from, .upto = from};
    g->limit = segment_row(from) + SEGMENT_POSITIONS;
    if (low > from + 1) /* what is gone: the next one begins where something is */
        g->upto = low - 1 < g->limit ? low - 1 : g->limit;
    g->chain = low > from + 1 ? low - 1 : from;
    g->whole = g->upto == g->limit;
}

static void end_part(struct deep_row *row)
{
    struct deep_gather *g = &row->g;
    struct deep_part *part = &row->parts[row->n++];

    part->head = (struct segment){
        .flags = g->flags, .from = g->from, .upto = g->upto, .low = (uint64_t)row->low + 1};
    part->records = g->records;
    row->bytes += g->records.n;
    row->d->held += g->records.n;
    g->records = (struct buf){.p = NULL};
}

void deep_row_drop(struct deep_row *row)
{
    buf_done(&row->g.records);
    for (size_t i = 0; i < row->n; i++)
        buf_done(&row->parts[i].records);
    row->d->held -= row->bytes;
    row->bytes = row->n = 0;
}

static void add(struct deep_row *row, const struct record_rules *rules, const rd_kafka_message_t *m)
{
    struct deep_gather *g = &row->g;
    struct source_record rec;
    struct entry e;

    kafka_record_of(m, &rec);
    g->upto = (uint64_t)rec.offset + 1;
    g->whole = g->upto == g->limit;
    if (record_make(&row->d->maker, rules, &rec, &e).fate != RECORD_ENTRY)
        return;
    e.pos = g->upto;
    segment_add(&g->records, &e, &g->last, &g->chain);
    g->whole = g->whole || g->records.n >= SEGMENT_BYTES;
}

/* Kafka's end, and what is behind it is read anew. */
static void at_end(struct deep_gather *g, uint64_t end)
{
    if (end > g->upto)
        g->upto = end < g->limit ? end : g->limit;
    g->flags = g->upto < g->limit ? SEGMENT_END : 0;
    g->whole = true;
}

/* Takes the message into the segment, or keeps it for the next one, which makes this one whole.
 * 1: it was the log's end. */
static int step(struct deep_row *row, const struct record_rules *rules, rd_kafka_message_t *m)
{
    struct deep_gather *g = &row->g;
    uint64_t offset = (uint64_t)m->offset;
    int rc = 0;

    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        at_end(g, offset);
        rc = 1;
    } else if (m->err) {
        rc = -EIO;
    } else if (offset >= g->limit) {
        g->upto = g->limit;
        g->whole = true;
        row->reader->kept = m;
        return 0;
    } else if (offset >= g->upto) { /* else read twice around a seek */
        add(row, rules, m);
    }
    rd_kafka_message_destroy(m);
    return rc;
}

/* All of it, or as much as one want may bring. */
static bool is_enough(const struct deep_row *row)
{
    return row->g.upto >= row->limit || row->bytes >= SEGMENT_ROW_BYTES || row->n == DEEP_PARTS ||
           row->d->held >= DEEP_HELD;
}

static void row_is_read(struct deep_row *row, bool keep)
{
    if (row->placed) {
        row->reader->at = row->g.upto;
        row->reader->low = row->low;
    }
    deep_reader_give(row, keep);
    row->read = true;
    deep_ask_last(row);
}

static void begin_row(struct deep_row *row)
{
    row->limit = segment_row(row->want.from) + SEGMENT_POSITIONS;
    if (deep_reader_at(row))
        row->limit += SEGMENT_POSITIONS * (DEEP_AHEAD - 1);
    begin_part(row, row->want.from);
}

/* The next message for the segment. NULL: none yet, or *ret_err < 0. */
static rd_kafka_message_t *next(struct deep_row *row, int *ret_err)
{
    if (!row->placed) {
        *ret_err = deep_reader_seek(row, row->g.upto);
        if (*ret_err < 0)
            return NULL;
        row->placed = true;
    }
    return deep_reader_next(row, ret_err);
}

/* One message, or a segment's end. False: nothing more for now, or the row's reading is over. */
static bool go_on(struct deep_row *row, const struct record_rules *rules)
{
    rd_kafka_message_t *m;
    int rc = 0;

    if (row->g.whole) {
        end_part(row);
        if (is_enough(row)) {
            row_is_read(row, true);
            return false;
        }
        begin_part(row, row->g.upto);
        return true;
    }
    m = next(row, &rc);
    if (m)
        rc = step(row, rules, m);
    if (rc < 0) {
        deep_row_end(row, "Kafka can't be read there");
        return false;
    }
    if (rc > 0) {
        end_part(row);
        row_is_read(row, false);
        return false;
    }
    return m != NULL;
}

void deep_read(struct deep_row *row)
{
    const struct record_rules rules = rules_of(row);

    if (!row->limit)
        begin_row(row);
    for (int i = 0; i < STEP_RECORDS; i++)
        if (!go_on(row, &rules))
            return;
    deep_work(row->d);
}
