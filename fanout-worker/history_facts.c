/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_facts.c: Kafka's side of an attach: low, end and commit (history_ask.c), and the overlap
 * check: the records at one or two positions, fetched and compared with their fingerprints. All
 * jobs of a round are fetched together. Regular checks come last, and give way to whatever else is
 * asked meanwhile.
 *
 * Invariant: the reader is assigned nothing between rounds. @thread history
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/entry.h"
#include "common/runtime/namespace.h"

#include "fanout-worker/history_impl.h"
#include "fanout-worker/history_policy.h"
#include "fanout-worker/source_kafka.h"

#define OVERLAP_MS 5000 /* all records of one round */
#define CHECK_MS   1000 /* those of regular checks */
#define SOON_MS    20   /* a record is usually here by then; other work is looked for */
#define NUDGE_MS   100

static struct history_job *waiting_of(const struct history *h, struct list *jobs,
                                      const rd_kafka_message_t *m)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (j->wait && m->rkt && j->partition == m->partition &&
            strcmp(history_topic_of(h, j), rd_kafka_topic_name(m->rkt)) == 0)
            return j;
    }
    return NULL;
}

/* A record that compaction took can't be compared, as one that retention took. */
static bool may_be_compacted(const struct history *h, const struct history_job *j)
{
    return policy_compacted(h->policies, j->topic) ||
           h->nss->v[j->topic].conf->history == NS_HISTORY_LATEST;
}

static void judge(const struct history *h, struct history_job *j, const rd_kafka_message_t *m)
{
    const struct history_point *at = j->wait;
    struct source_record r;

    j->wait = NULL;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* m->offset is the end: before our record it is "beyond" (the log may come back); behind it
         * there is no record where ours was: aborted or control. */
        j->check = m->offset < (int64_t)at->pos ? CHECK_BEYOND : CHECK_DIFFERENT;
        if (j->check == CHECK_DIFFERENT && may_be_compacted(h, j))
            j->check = CHECK_NONE;
        return;
    }
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && j->kind == HISTORY_CHECK) {
        j->check = CHECK_GONE; /* or beyond the end: whoever must know asks for the facts */
        return;
    }
    if (m->err) {
        j->err = -EIO;
        snprintf(j->why, sizeof(j->why), "%s", rd_kafka_message_errstr(m));
        return;
    }
    kafka_record_of(m, &r);
    if (r.offset != (int64_t)at->pos - 1 && may_be_compacted(h, j))
        j->check = CHECK_NONE;
    else if (r.offset != (int64_t)at->pos - 1 ||
             entry_fingerprint(r.key, r.value, r.time_ms) != at->fp)
        j->check = CHECK_DIFFERENT;
}

/* librdkafka 2.0 may let a partition that is assigned right after another one's end lie for a
 * second: its broker's thread sleeps, and nobody tells it. A question to that broker does; one that
 * comes before the thread has been told of the partition wakes it too early. */
static void nudge(struct history *h, const rd_kafka_topic_partition_list_t *assigned)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_copy(assigned);

    (void)kafka_ask_offsets(h->rk, l, RD_KAFKA_OFFSET_BEGINNING, NUDGE_MS);
    rd_kafka_topic_partition_list_destroy(l);
}

static rd_kafka_topic_partition_list_t *list_waiting(struct history *h, struct list *jobs)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (!j->wait)
            continue;
        if (!rd_kafka_topic_partition_list_find(l, history_topic_of(h, j), j->partition)) {
            rd_kafka_topic_partition_list_add(l, history_topic_of(h, j), j->partition)->offset =
                (int64_t)j->wait->pos - 1;
        } else { /* asked twice for one partition: the second one later */
            j->wait = NULL;
            j->err = -EAGAIN;
        }
    }
    return l;
}

/* Regular checks wait for nobody, and nobody for them. */
static bool has_other_work(struct history *h, const struct list *jobs)
{
    const struct history_job *first = list_first(jobs, struct history_job, link);

    return first && first->kind == HISTORY_CHECK && !inbox_is_empty(&h->inbox);
}

/* Fetches the record that each waiting job waits for, all at once. */
static void fetch_records(struct history *h, struct list *jobs, uint64_t limit_ms)
{
    rd_kafka_topic_partition_list_t *l = list_waiting(h, jobs);
    uint64_t end = clock_mono_ms() + limit_ms, nudge_ms = 0;
    int left = l->cnt;

    if (left > 0)
        rd_kafka_assign(h->rk, l);
    while (left > 0 && clock_mono_ms() < end && !history_stopping(h) && !has_other_work(h, jobs)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(h->rk, SOON_MS);
        struct history_job *j = m ? waiting_of(h, jobs, m) : NULL;

        if (j) {
            judge(h, j, m);
            left--;
        }
        if (m) {
            rd_kafka_message_destroy(m);
        } else if (clock_mono_ms() >= nudge_ms) {
            nudge_ms = clock_mono_ms() + NUDGE_MS;
            nudge(h, l);
        }
    }
    if (l->cnt > 0)
        rd_kafka_assign(h->rk, NULL);
    rd_kafka_topic_partition_list_destroy(l);
}

static void put_off(struct list *jobs)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (j->wait)
            j->err = -EAGAIN;
        j->wait = NULL;
    }
}

static void give_up_waiting(struct list *jobs)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (!j->wait)
            continue;
        j->err = -ETIMEDOUT;
        snprintf(j->why, sizeof(j->why), "the record at offset %lld could not be fetched",
                 (long long)j->wait->pos - 1);
        j->wait = NULL;
    }
}

/* A record that only the earlier position shows to be another one: the newer was read from the new
 * log already. What retention took shows nothing. */
static const struct history_point *earlier_point(const struct history_job *j)
{
    bool wanted = j->err == 0 && j->check != CHECK_DIFFERENT && j->check != CHECK_BEYOND;

    return wanted && j->before.pos != j->now.pos &&
                   attach_place(j->before.pos, j->low, j->end) == CHECK_SAME
               ? &j->before
               : NULL;
}

void history_look(struct history *h, struct list *jobs, uint64_t ms)
{
    struct history_job *j;

    history_ask(h, jobs);
    list_for_each(j, jobs, link)
        j->wait = j->err == 0 && j->check == CHECK_SAME ? &j->now : NULL;
    fetch_records(h, jobs, ms);
    give_up_waiting(jobs);
    list_for_each(j, jobs, link)
        j->wait = earlier_point(j);
    fetch_records(h, jobs, ms);
    give_up_waiting(jobs);
}

void history_answer_checks(struct history *h, struct list *jobs)
{
    struct history_job *j, *next;

    list_for_each(j, jobs, link) {
        j->wait = &j->before;
        j->check = CHECK_SAME;
    }
    fetch_records(h, jobs, CHECK_MS);
    if (has_other_work(h, jobs))
        put_off(jobs);
    give_up_waiting(jobs);
    list_for_each_safe(j, next, jobs, link)
        history_answer(h, j);
}

void history_answer_facts(struct history *h, struct list *jobs)
{
    struct history_job *j, *next;

    history_look(h, jobs, OVERLAP_MS);
    list_for_each_safe(j, next, jobs, link)
        history_answer(h, j);
}
