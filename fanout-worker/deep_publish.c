/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_publish.c: is Kafka's log still the stream's? Only then is what was read of it published.
 *
 *   the stream's last position and fingerprint, from Redis ──► the record there, from Kafka
 *
 * That is asked twice: before a partition is read (where does Kafka begin?), unless its reader is
 * there already, and behind the last record of each row: what was read is then of the log that the
 * check saw, however long the reading took. @thread history
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/worker_metric.h"

#define LOOK_MS  1500 /* for the records of one look; a question before them as long at most */
#define LATE_MS  5000
#define PAUSE_MS 500
#define GRACE_MS "500" /* so long a segment stays: who wanted it looks every few ms */

/* ---- publishing ---- */

static void on_published(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep_row *row = arg;
    struct deep *d = row->d;

    deep_see_readonly(c, reply);
    if (!deep_row_answered(row, reply))
        return;
    if (redis_type(reply) == REDIS_T_ERROR) {
        log_warn("deep_history_failed", " why=%s", log_value(redis_str(reply)));
        if (redis_is_error(reply, "NOSCRIPT"))
            deep_load(c);
    } else if (redis_int(reply) == 1) {
        DEEP_COUNT(d, deep_segments, 1);
    } else {
        DEEP_COUNT(d, deep_full, 1);
    }
    if (row->replies == 0)
        deep_row_end(row, NULL);
}

static void publish(struct deep_row *row, const struct deep_part *part)
{
    char key[KEY_MAX], bound[24];
    long long history_bytes = (long long)row->d->h->opts.history_bytes;
    const struct segment *head = &part->head;
    struct buf value = BUF_INIT, full = BUF_INIT;
    struct slice argv[9];

    segment_head(&value, head->flags, head->from, head->upto, head->low);
    buf_slice(&value, buf_as_slice(&part->records));
    segment_head(&full, SEGMENT_FULL, head->from, head->from, head->low);
    argv[0] = SLICE("3");
    argv[1] = (struct slice){key, key_segment(key, row->want.log, row->want.partition, head->from)};
    argv[2] = SLICE(KEY_SEGS);
    argv[3] = SLICE(KEY_SEGS_SUM);
    argv[4] = buf_as_slice(&value);
    /* What touches the end grows: only whoever waits for it now may take it. */
    argv[5] = head->flags & SEGMENT_END ? SLICE("1000") : SLICE("60000");
    argv[6] = (struct slice){bound, (size_t)snprintf(bound, sizeof(bound), "%lld", history_bytes)};
    argv[7] = buf_as_slice(&full);
    argv[8] = SLICE(GRACE_MS);
    deep_call(row, SCRIPT_SEGMENT, on_published, 9, argv);
    DEEP_COUNT(row->d, deep_positions, head->upto - head->from);
    buf_done(&full);
    buf_done(&value);
}

static void publish_all(struct deep_row *row)
{
    deep_row_go(row, DEEP_PUBLISH);
    for (size_t i = 0; i < row->n; i++)
        publish(row, &row->parts[i]);
    deep_row_drop(row);
}

/* ---- is it still the same log? ---- */

static bool is_late(const struct deep_row *row)
{
    const struct deep *d = row->d;

    return d->late_ms && clock_mono_ms() - d->late_ms < LATE_MS && d->late_topic == row->topic &&
           d->late_partition == row->want.partition;
}

static void note_late(const struct deep_row *row)
{
    struct deep *d = row->d;

    d->late_topic = row->topic;
    d->late_partition = row->want.partition;
    d->late_ms = clock_mono_ms();
    d->pause_ms = d->late_ms + PAUSE_MS; /* what waits for Kafka blocks: the pump's come first */
}

/* The row may be gone afterwards. */
static void judge(struct deep_row *row, const struct history_job *j)
{
    if (j->err == -EAGAIN) { /* once more, with the next look */
        deep_work(row->d);
    } else if (j->err < 0) {
        note_late(row);
        deep_row_end(row, j->why);
    } else if (j->check == CHECK_DIFFERENT || j->check == CHECK_BEYOND || !deep_find_topic(row)) {
        deep_row_end(row, "Kafka's log isn't the stream's");
    } else if (row->read) {
        publish_all(row);
    } else {
        row->low = j->low;
        deep_row_go(row, DEEP_WAIT);
    }
}

/* One question a partition: it is good for all rows that were read before. */
static void put(struct list *jobs, struct deep_row *row)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (j->topic == row->topic && j->partition == row->want.partition) {
            row->job = j;
            return;
        }
    }
    j = row->job = history_job_new(HISTORY_FACTS, row->topic);
    j->partition = row->want.partition;
    j->late = 2; /* alone: one that fails ends its rows, no others */
    j->now = (struct history_point){row->last, row->fp, row->has_fp};
    if (row->last == 0) /* is there a commit that can be checked instead? */
        memcpy(j->log, row->want.log, sizeof(j->log));
    list_add_tail(jobs, &j->link);
}

static bool is_next(const struct deep_row *row, bool late)
{
    return row->state == DEEP_LOOK && is_late(row) == late;
}

void deep_look(struct deep *d)
{
    struct deep_row *row, *next_row;
    struct history_job *j, *next;
    struct list jobs;

    list_init(&jobs);
    list_for_each(row, &d->rows, node)
        if (is_next(row, false))
            put(&jobs, row);
    if (list_is_empty(&jobs))
        list_for_each(row, &d->rows, node)
            if (is_next(row, true))
                put(&jobs, row);
    if (list_is_empty(&jobs))
        return;
    history_look(d->h, &jobs, LOOK_MS);
    list_for_each_safe(row, next_row, &d->rows, node) {
        const struct history_job *answered = row->job;

        row->job = NULL;
        if (answered)
            judge(row, answered);
    }
    list_for_each_safe(j, next, &jobs, link)
        free(j);
}

static void on_last(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep_row *row = arg;
    uint64_t fp = 0;

    if (!deep_row_answered(row, reply))
        return;
    if (redis_is_error(reply, "NOSCRIPT"))
        deep_load(c);
    if (redis_type(reply) == REDIS_T_ERROR) {
        char why[200];
        struct slice text = redis_str(reply);

        (void)snprintf(why, sizeof(why), "%.*s", (int)text.n, text.p);
        deep_row_end(row, why);
        return;
    }
    if (redis_len(reply) < 1 ||
        !decimal_parse(redis_str(redis_at(reply, 0)), INT64_MAX, &row->last)) {
        deep_row_end(row, "the stream's last position isn't a number");
        return;
    }
    row->has_fp =
        redis_len(reply) > 1 && decimal_parse(redis_str(redis_at(reply, 1)), UINT32_MAX, &fp);
    row->fp = (uint32_t)fp;
    deep_row_go(row, DEEP_LOOK);
}

void deep_ask_last(struct deep_row *row)
{
    char stream[KEY_MAX], side[KEY_MAX];

    deep_row_go(row, DEEP_LAST);
    deep_call(row, SCRIPT_LAST, on_last, 3,
              (struct slice[]){SLICE("2"),
                               {stream, key_stream(stream, row->want.log, row->want.partition)},
                               {side, key_side(side, row->want.log, row->want.partition)}});
}
