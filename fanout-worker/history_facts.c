/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_facts.c: Kafka's side of an attach: low and end, the group's commit, and the overlap
 * check: the record at a position, fetched and compared with its fingerprint. All jobs of a round
 * are fetched together. The first question of a round that Kafka doesn't answer in time ends the
 * round's questions: the rest is -EAGAIN, so neither a stop nor the others wait for each in turn.
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

#define FACTS_ASK_MS  1500 /* one question */
#define FACTS_SLOW_MS 1000 /* a failure that took so long */
#define OVERLAP_MS    5000 /* all records of one round */
#define SOON_MS       20   /* a record is usually here by then */
#define NUDGE_MS      100

static const char *topic_of(const struct history *h, const struct history_job *j)
{
    return h->nss->v[j->topic].topic;
}

/* The stream is absent: is there a commit of this log that can be checked instead? */
static rd_kafka_resp_err_t find_commit(struct history *h, struct history_job *j)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *tp =
        rd_kafka_topic_partition_list_add(l, topic_of(h, j), j->partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(h->rk, l, FACTS_ASK_MS);
    char text[64];
    unsigned long fp;
    char *end;

    if (!err && !tp->err && tp->offset > 0 && tp->metadata && tp->metadata_size < sizeof(text)) {
        memcpy(text, tp->metadata, tp->metadata_size);
        text[tp->metadata_size] = '\0';
        fp = tp->metadata_size > LOG_ID_LEN ? strtoul(text + LOG_ID_LEN + 1, &end, 16) : 0;
        if (tp->metadata_size > LOG_ID_LEN + 1 && text[LOG_ID_LEN] == ' ' && *end == '\0' &&
            memcmp(text, j->log, LOG_ID_LEN) == 0) {
            j->pos = (uint64_t)tp->offset;
            j->fp = (uint32_t)fp;
            j->has_fp = true;
        }
    }
    rd_kafka_topic_partition_list_destroy(l);
    return err;
}

/* Everything but the record itself. True: the record is needed. */
static bool find_facts(struct history *h, struct history_job *j)
{
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(h->rk, topic_of(h, j), j->partition,
                                                               &j->low, &j->end, FACTS_ASK_MS);

    if (!err && j->pos == 0 && j->log[0] && find_commit(h, j) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        err = RD_KAFKA_RESP_ERR__TIMED_OUT; /* any other: there is nothing to compare with */
    if (err) {
        j->err = -EIO;
        snprintf(j->why, sizeof(j->why), "%s", rd_kafka_err2str(err));
        return false;
    }
    j->check = attach_place(j->pos, j->low, j->end);
    if (j->check == CHECK_SAME && !j->has_fp)
        j->check = CHECK_NONE;
    return j->check == CHECK_SAME;
}

static struct history_job *pending_of(const struct history *h, struct list *jobs,
                                      const rd_kafka_message_t *m)
{
    struct history_job *j;

    list_for_each(j, jobs, link) {
        if (j->pending && m->rkt && j->partition == m->partition &&
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
    struct source_record r;

    j->pending = false;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* m->offset is the end: before our record it is "beyond" (the log may come back); behind it
         * there is no record where ours was: aborted or control. */
        j->check = m->offset < (int64_t)j->pos ? CHECK_BEYOND : CHECK_DIFFERENT;
        if (j->check == CHECK_DIFFERENT && may_be_compacted(h, j))
            j->check = CHECK_NONE;
        return;
    }
    if (m->err) {
        j->err = -EIO;
        snprintf(j->why, sizeof(j->why), "%s", rd_kafka_message_errstr(m));
        return;
    }
    kafka_record_of(m, &r);
    if (r.offset != (int64_t)j->pos - 1 && may_be_compacted(h, j))
        j->check = CHECK_NONE;
    else if (r.offset != (int64_t)j->pos - 1 ||
             entry_fingerprint(r.key, r.value, r.time_ms) != j->fp)
        j->check = CHECK_DIFFERENT;
}

/* librdkafka 2.0 may let a partition that is assigned right after another one's end lie for a
 * second: its broker's thread sleeps, and nobody tells it. A question to that broker does. */
static void nudge(struct history *h, struct list *jobs)
{
    struct history_job *j;
    int64_t low, end;

    list_for_each(j, jobs, link)
        if (j->pending && rd_kafka_query_watermark_offsets(h->rk, topic_of(h, j), j->partition,
                                                           &low, &end, NUDGE_MS))
            return; /* it isn't that; the others needn't wait for as many answers */
}

/* Fetches the record at each pending job's position, all at once. */
static void fetch_records(struct history *h, struct list *jobs, uint64_t ms)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    uint64_t end = clock_mono_ms() + ms;
    struct history_job *j;
    bool nudged = false;
    size_t left = 0;

    list_for_each(j, jobs, link) {
        if (j->pending && !rd_kafka_topic_partition_list_find(l, topic_of(h, j), j->partition)) {
            rd_kafka_topic_partition_list_add(l, topic_of(h, j), j->partition)->offset =
                (int64_t)j->pos - 1;
            left++;
        } else if (j->pending) { /* asked twice for one partition: the second one later */
            j->pending = false;
            j->err = -EAGAIN;
        }
    }
    if (left > 0)
        rd_kafka_assign(h->rk, l);
    while (left > 0 && clock_mono_ms() < end && !history_stopping(h)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(h->rk, nudged ? 100 : SOON_MS);

        j = m ? pending_of(h, jobs, m) : NULL;
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

void history_look(struct history *h, struct list *jobs, uint64_t ms)
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
        j->pending = find_facts(h, j);
        /* By the clock: a question that ran out of time ends with one of several errors. */
        enough = j->err < 0 && clock_mono_ms() - began >= FACTS_SLOW_MS;
    }
    fetch_records(h, jobs, ms);
    list_for_each(j, jobs, link) {
        if (j->pending) {
            j->err = -ETIMEDOUT;
            snprintf(j->why, sizeof(j->why), "the record at offset %lld could not be fetched",
                     (long long)j->pos - 1);
        }
    }
}

void history_answer_facts(struct history *h, struct list *jobs)
{
    struct history_job *j, *next;

    history_look(h, jobs, OVERLAP_MS);
    list_for_each_safe(j, next, jobs, link)
        history_answer(h, j);
}
