/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_ask.c: Kafka's side of an attach but for the records: low and end, the group's commit.
 *
 * Many partitions are attached at once when a worker goes or comes, and none of them is carried
 * meanwhile. So what one broker leads is asked for by one question: a region far from Kafka waits
 * for some round trips, however many partitions it has. One that can't be answered takes those of
 * its question along; next time all of them are `late`, and asked about after all others, a few
 * together, and then alone: so the good ones are done at the second or third time. The first
 * question of a round that isn't answered in time ends the round's questions: the rest is -EAGAIN,
 * so neither a stop nor the others wait for each in turn.
 *
 * No state but history's. @thread history
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/namespace.h"

#include "fanout-worker/history_impl.h"
#include "fanout-worker/source_kafka.h"

#define FACTS_ASK_MS   1500  /* one question */
#define FACTS_SLOW_MS  1000  /* a failure that took so long */
#define COMMIT_REST_MS 10000 /* after a question for a commit that wasn't answered in time */
#define GROUP_MAX      256   /* partitions; lists are searched linearly, by the library too */
#define GROUP_LATE     8     /* of those whose question failed */

/* ---- who is asked about together ---- */

static int32_t leader_of(const struct history *h, const struct history_job *j)
{
    const struct history_topic *t = &h->topics[j->topic];

    return j->partition < t->leader_count ? t->leaders[j->partition] : -1;
}

static bool is_together(const struct history *h, const struct history_job *first,
                        const struct history_job *j)
{
    return first->late == j->late && leader_of(h, first) >= 0 &&
           leader_of(h, first) == leader_of(h, j);
}

static size_t group_max(const struct history_job *first)
{
    return first->late == 0 ? GROUP_MAX : first->late == 1 ? GROUP_LATE : 1;
}

/* The first of `left` and those who go with it; the others keep their order. */
static void take_group(const struct history *h, struct list *left, struct list *group)
{
    struct history_job *first = list_first(left, struct history_job, link), *j, *next;
    size_t n = 1;

    list_init(group);
    list_move_tail(group, &first->link);
    list_for_each_safe(j, next, left, link) {
        if (n >= group_max(first))
            break;
        if (!is_together(h, first, j))
            continue;
        list_move_tail(group, &j->link);
        n++;
    }
}

static rd_kafka_topic_partition_t *find(const struct history *h, rd_kafka_topic_partition_list_t *l,
                                        const struct history_job *j)
{
    return rd_kafka_topic_partition_list_find(l, history_topic_of(h, j), j->partition);
}

static void put(const struct history *h, rd_kafka_topic_partition_list_t *l,
                const struct history_job *j)
{
    if (!find(h, l, j))
        rd_kafka_topic_partition_list_add(l, history_topic_of(h, j), j->partition);
}

/* ---- commits ---- */

/* "<log id> <fingerprint, hex>": part_commit() */
static bool parse_commit(const rd_kafka_topic_partition_t *tp, const char *log, uint32_t *ret_fp)
{
    char text[64], *end;

    if (tp->err || tp->offset <= 0 || !tp->metadata || tp->metadata_size >= sizeof(text) ||
        tp->metadata_size <= LOG_ID_LEN + 1)
        return false;
    memcpy(text, tp->metadata, tp->metadata_size);
    text[tp->metadata_size] = '\0';
    if (text[LOG_ID_LEN] != ' ' || memcmp(text, log, LOG_ID_LEN) != 0)
        return false;
    *ret_fp = (uint32_t)strtoul(text + LOG_ID_LEN + 1, &end, 16);
    return *end == '\0';
}

/* A commit of this log that is ahead of what else is known counts instead. */
static void take_commit(struct history_job *j, const rd_kafka_topic_partition_t *tp)
{
    uint32_t fp;

    must(tp);
    if (!parse_commit(tp, j->log, &fp))
        return;
    j->commit = (uint64_t)tp->offset;
    if (j->commit > j->now.pos)
        j->now = (struct history_point){j->commit, fp, true};
}

/* With a position at hand a commit is one more witness: worth no waiting for a coordinator. */
static bool asks_commit(const struct history *h, const struct history_job *j, uint64_t now)
{
    return j->log[0] && (j->now.pos == 0 || now >= h->no_commit_until);
}

static void fail(struct history_job *j, rd_kafka_resp_err_t err)
{
    j->err = -EIO;
    snprintf(j->why, sizeof(j->why), "%s", rd_kafka_err2str(err));
}

static void ask_commits(struct history *h, struct list *group)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    uint64_t now = clock_mono_ms();
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    struct history_job *j;

    list_for_each(j, group, link)
        if (asks_commit(h, j, now))
            put(h, l, j);
    if (l->cnt > 0)
        err = rd_kafka_committed(h->rk, l, FACTS_ASK_MS);
    list_for_each(j, group, link) {
        if (!asks_commit(h, j, now))
            continue;
        if (!err)
            take_commit(j, find(h, l, j));
        else if (err == RD_KAFKA_RESP_ERR__TIMED_OUT && j->now.pos == 0)
            fail(j, err); /* any other error: there is nothing to compare with */
    }
    if (err == RD_KAFKA_RESP_ERR__TIMED_OUT)
        h->no_commit_until = clock_mono_ms() + COMMIT_REST_MS;
    rd_kafka_topic_partition_list_destroy(l);
}

/* ---- all of it ---- */

static void take_offsets(const struct history *h, struct list *group,
                         rd_kafka_topic_partition_list_t *l, int64_t which)
{
    struct history_job *j;

    list_for_each(j, group, link) {
        const rd_kafka_topic_partition_t *tp = find(h, l, j);

        must(tp);
        if (which == RD_KAFKA_OFFSET_END)
            j->end = tp->offset;
        else
            j->low = tp->offset;
    }
}

static int ask_ends(struct history *h, struct list *group)
{
    static const int64_t ends[] = {RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END};
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    struct history_job *j;
    int err = 0;

    list_for_each(j, group, link)
        put(h, l, j);
    for (size_t i = 0; i < ARRAY_LEN(ends) && !err; i++) {
        err = kafka_ask_offsets(h->rk, l, ends[i], FACTS_ASK_MS);
        if (!err)
            take_offsets(h, group, l, ends[i]);
    }
    rd_kafka_topic_partition_list_destroy(l);
    return err;
}

/* False: one of them failed. */
static bool find_facts(struct history *h, struct list *group)
{
    rd_kafka_resp_err_t err = ask_ends(h, group);
    struct history_job *j;
    bool all = true;

    if (!err)
        ask_commits(h, group);
    list_for_each(j, group, link) {
        if (err)
            fail(j, err);
        all = all && j->err == 0;
        if (j->err)
            continue;
        j->check = attach_place(j->now.pos, j->low, j->end);
        if (j->check == CHECK_SAME && !j->now.has_fp)
            j->check = CHECK_NONE;
    }
    return all;
}

void history_ask(struct history *h, struct list *jobs)
{
    struct list left, group;
    struct history_job *j;
    bool enough = false;

    list_init(&left);
    list_splice_tail(&left, jobs);
    while (!list_is_empty(&left)) {
        uint64_t began = clock_mono_ms();

        take_group(h, &left, &group);
        enough = enough || history_stopping(h);
        if (enough) {
            list_for_each(j, &group, link)
                j->err = -EAGAIN;
        } else if (!find_facts(h, &group)) {
            /* By the clock: a question that ran out of time ends with one of several errors. */
            enough = clock_mono_ms() - began >= FACTS_SLOW_MS;
        }
        list_splice_tail(jobs, &group);
    }
}
