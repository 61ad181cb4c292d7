/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_facts.c: Kafka's side of an attach: low and end, the group's commit, and the overlap
 * check: the records at one or two positions, fetched and compared with their fingerprints. All
 * jobs of a round are fetched together. The first question of a round that Kafka doesn't answer in
 * time ends the round's questions: the rest is -EAGAIN, so neither a stop nor the others wait for
 * each in turn. Regular checks come last, and give way to whatever else is asked meanwhile.
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

#define FACTS_ASK_MS   1500 /* one question */
#define FACTS_SLOW_MS  1000 /* a failure that took so long */
#define OVERLAP_MS     5000 /* all records of one round */
#define CHECK_MS       1000 /* those of regular checks */
#define SOON_MS        20   /* a record is usually here by then; other work is looked for */
#define NUDGE_MS       100
#define COMMIT_REST_MS 10000 /* after a question for a commit that wasn't answered in time */

static const char *topic_of(const struct history *h, const struct history_job *j)
{
    return h->nss->v[j->topic].topic;
}

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
static rd_kafka_resp_err_t find_commit(struct history *h, struct history_job *j)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *tp =
        rd_kafka_topic_partition_list_add(l, topic_of(h, j), j->partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(h->rk, l, FACTS_ASK_MS);
    uint32_t fp;

    if (!err && parse_commit(tp, j->log, &fp)) {
        j->commit = (uint64_t)tp->offset;
        if (j->commit > j->now.pos)
            j->now = (struct history_point){j->commit, fp, true};
    }
    rd_kafka_topic_partition_list_destroy(l);
    return err;
}

/* With a position at hand a commit is one more witness: worth no waiting for a coordinator. */
static bool ask_commit(struct history *h, struct history_job *j)
{
    bool must_know = j->now.pos == 0;

    if (!j->log[0] || (!must_know && clock_mono_ms() < h->no_commit_until))
        return true;
    if (find_commit(h, j) != RD_KAFKA_RESP_ERR__TIMED_OUT)
        return true; /* any other error: there is nothing to compare with */
    h->no_commit_until = clock_mono_ms() + COMMIT_REST_MS;
    return !must_know;
}

static int ask_offset(struct history *h, const struct history_job *j, int64_t which, int ms,
                      int64_t *ret)
{
    return kafka_ask_offset(h->rk, topic_of(h, j), j->partition, which, ms, ret);
}

/* Everything but the records themselves. */
static void find_facts(struct history *h, struct history_job *j)
{
    rd_kafka_resp_err_t err = ask_offset(h, j, RD_KAFKA_OFFSET_BEGINNING, FACTS_ASK_MS, &j->low);

    if (!err)
        err = ask_offset(h, j, RD_KAFKA_OFFSET_END, FACTS_ASK_MS, &j->end);
    if (!err && !ask_commit(h, j))
        err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (err) {
        j->err = -EIO;
        snprintf(j->why, sizeof(j->why), "%s", rd_kafka_err2str(err));
        return;
    }
    j->check = attach_place(j->now.pos, j->low, j->end);
    if (j->check == CHECK_SAME && !j->now.has_fp)
        j->check = CHECK_NONE;
}

static struct history_job *waiting_of(const struct history *h, struct list *jobs,
                                      const rd_kafka_message_t *m)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (j->wait && m->rkt && j->partition == m->partition &&
            strcmp(topic_of(h, j), rd_kafka_topic_name(m->rkt)) == 0)
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
 * second: its broker's thread sleeps, and nobody tells it. A question to that broker does. */
static void nudge(struct history *h, struct list *jobs)
{
    struct history_job *j;
    int64_t low;

    list_for_each(j, jobs, link)
        if (j->wait && ask_offset(h, j, RD_KAFKA_OFFSET_BEGINNING, NUDGE_MS, &low))
            return; /* it isn't that; the others needn't wait for as many answers */
}

static rd_kafka_topic_partition_list_t *list_waiting(struct history *h, struct list *jobs)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (!j->wait)
            continue;
        if (!rd_kafka_topic_partition_list_find(l, topic_of(h, j), j->partition)) {
            rd_kafka_topic_partition_list_add(l, topic_of(h, j), j->partition)->offset =
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
    uint64_t end = clock_mono_ms() + limit_ms;
    bool nudged = false;
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
        if (m)
            rd_kafka_message_destroy(m);
        else if (!nudged)
            nudge(h, jobs);
        nudged = nudged || !m;
    }
    if (l->cnt > 0)
        rd_kafka_assign(h->rk, NULL);
    rd_kafka_topic_partition_list_destroy(l);
}

static void find_all_facts(struct history *h, struct list *jobs)
{
    struct history_job *j;
    uint64_t began;
    bool enough = false;

    list_for_each(j, jobs, link) {
        enough = enough || history_stopping(h);
        if (enough) {
            j->err = -EAGAIN;
            continue;
        }
        began = clock_mono_ms();
        find_facts(h, j);
        /* By the clock: a question that ran out of time ends with one of several errors. */
        enough = j->err < 0 && clock_mono_ms() - began >= FACTS_SLOW_MS;
    }
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

    find_all_facts(h, jobs);
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
