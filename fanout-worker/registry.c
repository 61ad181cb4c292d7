/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c: log identities in a Kafka topic, see registry.h.
 *
 * The topic is created where it is missing and we may; a broker that can't create topics
 * (librdkafka's mock) must have it already. Invariant: nothing is written before `next` has reached
 * the end seen after the decision to write. @thread boot, then history
 */
#include "fanout-worker/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <librdkafka/rdkafka.h>

#include "common/base/clock.h"

#include "fanout-worker/source_kafka.h"
#include "fanout-worker/worker_conf.h"

#define REGISTRY_MS 10000

struct registry {
    const struct worker_conf *conf;
    const char *topic;
    rd_kafka_t *rk;
    int64_t next; /* offset not yet read */
    int64_t low;  /* the lowest offset kept, as last asked */
    struct logs logs;
};

static void assign_at_next(struct registry *reg)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(l, reg->topic, 0)->offset =
        reg->next ? reg->next : RD_KAFKA_OFFSET_BEGINNING;
    must(rd_kafka_assign(reg->rk, l) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(l);
}

static int take_message(struct registry *reg, rd_kafka_message_t *m, size_t *added)
{
    struct log_record rec;

    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (m->offset > reg->next)
            reg->next = m->offset;
        return 0;
    }
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        /* Also what a leader that is new refused for a moment: the library has given up the
         * partition, and would never read it again. */
        assign_at_next(reg);
        return -EIO;
    }
    if (m->err)
        return 0;
    reg->next = m->offset + 1;
    /* What can't be read is nobody's record: a later version's, or noise. All skip it alike. */
    if (m->payload && logs_parse((struct slice){m->payload, m->len}, &rec) == 0 &&
        logs_add(&reg->logs, &rec))
        (*added)++;
    return 0;
}

static int take_next(struct registry *reg, int wait_ms, size_t *added)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(reg->rk, wait_ms);
    int rc = m ? take_message(reg, m, added) : 0;

    if (m)
        rd_kafka_message_destroy(m);
    return rc;
}

static int registry_end(struct registry *reg, int64_t *ret, char *why, size_t why_size)
{
    int err =
        kafka_ask_offset(reg->rk, reg->topic, 0, RD_KAFKA_OFFSET_BEGINNING, REGISTRY_MS, &reg->low);

    if (!err)
        err = kafka_ask_offset(reg->rk, reg->topic, 0, RD_KAFKA_OFFSET_END, REGISTRY_MS, ret);
    if (!err)
        return 0;
    snprintf(why, why_size, "Kafka doesn't tell the end of topic %s: %s", reg->topic,
             rd_kafka_err2str((rd_kafka_resp_err_t)err));
    return -EIO;
}

/* Reads up to the end as it is now. */
static int read_to_end(struct registry *reg, char *why, size_t why_size)
{
    uint64_t deadline = clock_mono_ms() + REGISTRY_MS;
    size_t added = 0;
    int64_t end = 0;

    if (registry_end(reg, &end, why, why_size) < 0)
        return -EIO;
    while (reg->next < end) {
        int rc = take_next(reg, 100, &added);

        if (rc < 0 || clock_mono_ms() > deadline) {
            snprintf(why, why_size, "topic %s could not be read to its end (%lld of %lld)",
                     reg->topic, (long long)reg->next, (long long)end);
            return -EIO;
        }
    }
    return 0;
}

/* The same, but a topic that was just created may refuse for a moment. */
static int read_first(struct registry *reg, char *why, size_t why_size)
{
    uint64_t deadline = clock_mono_ms() + REGISTRY_MS;
    size_t added = 0;
    int rc;

    assign_at_next(reg);
    while ((rc = read_to_end(reg, why, why_size)) < 0 && clock_mono_ms() < deadline)
        (void)take_next(reg, 50, &added);
    return rc;
}

/* How many partitions the topic has; 0: there is none. */
static int count_partitions(struct registry *reg, char *why, size_t why_size)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(reg->rk, reg->topic, NULL);
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(reg->rk, 0, rkt, &md, REGISTRY_MS);
    int n = 0;

    if (err) {
        snprintf(why, why_size, "no answer from Kafka: %s", rd_kafka_err2str(err));
        n = -EIO;
    } else {
        if (md->topic_cnt == 1 && !md->topics[0].err)
            n = md->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(rkt);
    return n;
}

static rd_kafka_t *writer_new(struct registry *reg, char *why, size_t why_size)
{
    rd_kafka_conf_t *rc = kafka_conf_new(reg->conf, KAFKA_WRITER, why, why_size);
    rd_kafka_t *rk;

    if (!rc)
        return NULL;
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, why, why_size);
    if (!rk)
        rd_kafka_conf_destroy(rc);
    return rk;
}

static int wait_created(rd_kafka_queue_t *q, char *why, size_t why_size)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, REGISTRY_MS);
    const rd_kafka_topic_result_t **res;
    size_t n = 0;
    int rc = -EIO;

    if (!ev || rd_kafka_event_error(ev)) {
        snprintf(why, why_size, "%s", ev ? rd_kafka_event_error_string(ev) : "no answer");
    } else {
        res = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
        if (n == 1 &&
            (rd_kafka_topic_result_error(res[0]) == RD_KAFKA_RESP_ERR_NO_ERROR ||
             rd_kafka_topic_result_error(res[0]) == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS))
            rc = 0;
        else
            snprintf(why, why_size, "%s",
                     n ? rd_kafka_err2str(rd_kafka_topic_result_error(res[0])) : "");
    }
    if (ev)
        rd_kafka_event_destroy(ev);
    return rc;
}

static int create_topic(struct registry *reg, char *why, size_t why_size)
{
    rd_kafka_NewTopic_t *nt;
    rd_kafka_queue_t *q;
    rd_kafka_t *rk = writer_new(reg, why, why_size);
    int rc;

    if (!rk)
        return -EIO;
    nt = rd_kafka_NewTopic_new(reg->topic, 1, -1, why, why_size);
    if (!nt) {
        rd_kafka_destroy(rk);
        return -EIO;
    }
    rd_kafka_NewTopic_set_config(nt, "cleanup.policy", "delete");
    rd_kafka_NewTopic_set_config(nt, "retention.ms", "-1");
    rd_kafka_NewTopic_set_config(nt, "retention.bytes", "-1");
    q = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &nt, 1, NULL, q);
    rc = wait_created(q, why, why_size);
    rd_kafka_queue_destroy(q);
    rd_kafka_NewTopic_destroy(nt);
    rd_kafka_destroy(rk);
    return rc;
}

static int need_topic(struct registry *reg, char *why, size_t why_size)
{
    uint64_t deadline = clock_mono_ms() + REGISTRY_MS;
    char cause[160] = "";
    int n = count_partitions(reg, why, why_size);

    if (n != 0)
        return n < 0 ? n : 0;
    if (create_topic(reg, cause, sizeof(cause)) < 0) {
        snprintf(why, why_size,
                 "topic %s is missing and could not be created (%s): create it with one partition, "
                 "cleanup.policy=delete, retention.ms=-1",
                 reg->topic, cause);
        return -EIO;
    }
    /* A new topic takes a moment to have a leader. */
    while ((n = count_partitions(reg, why, why_size)) == 0 && clock_mono_ms() < deadline)
        rd_kafka_poll(reg->rk, 50);
    return n > 0 ? 0 : -EIO;
}

struct registry *registry_open(const struct worker_conf *conf, char *why, size_t why_size)
{
    struct registry *reg = mem_zalloc(sizeof(*reg));
    rd_kafka_conf_t *rc = kafka_conf_new(conf, KAFKA_READER, why, why_size);

    reg->conf = conf;
    reg->topic = conf->registry_topic;
    if (!rc)
        goto fail;
    /* Nobody waits for the next record here; the end must be seen soon all the same. */
    kafka_conf_set(rc, "fetch.wait.max.ms", "500");
    reg->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, why_size);
    if (!reg->rk) {
        rd_kafka_conf_destroy(rc);
        goto fail;
    }
    rd_kafka_poll_set_consumer(reg->rk);
    if (need_topic(reg, why, why_size) < 0)
        goto fail;
    if (read_first(reg, why, why_size) < 0)
        goto fail;
    if (reg->low > 0) { /* topics that are in use would be taken for new ones */
        snprintf(why, why_size,
                 "topic %s lost its first %lld records (retention): set registry_topic to a new "
                 "topic with retention.ms=-1 and cleanup.policy=delete, and delete the keys "
                 "ff:topic:* in each region's Redis; every topic becomes a new log",
                 reg->topic, (long long)reg->low);
        goto fail;
    }
    return reg;
fail:
    registry_close(reg);
    return NULL;
}

void registry_close(struct registry *reg)
{
    if (!reg)
        return;
    if (reg->rk)
        rd_kafka_destroy_flags(reg->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    logs_done(&reg->logs);
    free(reg);
}

const struct logs *registry_logs(const struct registry *reg)
{
    return &reg->logs;
}

size_t registry_poll(struct registry *reg)
{
    rd_kafka_message_t *m;
    size_t added = 0;

    while ((m = rd_kafka_consumer_poll(reg->rk, 0))) {
        (void)take_message(reg, m, &added);
        rd_kafka_message_destroy(m);
    }
    return added;
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    *(rd_kafka_resp_err_t *)opaque = m->err;
}

static int write_record(struct registry *reg, const struct log_record *rec, char *why,
                        size_t why_size)
{
    rd_kafka_resp_err_t result = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_conf_t *rc = kafka_conf_new(reg->conf, KAFKA_WRITER, why, why_size);
    struct buf text = BUF_INIT;
    rd_kafka_t *rk;

    if (!rc)
        return -EIO;
    rd_kafka_conf_set_dr_msg_cb(rc, on_delivered);
    rd_kafka_conf_set_opaque(rc, &result);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, why, why_size);
    if (!rk) {
        rd_kafka_conf_destroy(rc);
        return -EIO;
    }
    logs_print(&text, rec);
    rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(reg->topic), RD_KAFKA_V_PARTITION(0),
                      RD_KAFKA_V_KEY(rec->topic, strlen(rec->topic)),
                      RD_KAFKA_V_VALUE(text.p, text.n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                      RD_KAFKA_V_END);
    rd_kafka_flush(rk, REGISTRY_MS);
    rd_kafka_destroy(rk);
    buf_done(&text);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    snprintf(why, why_size, "topic %s could not be written: %s", reg->topic,
             rd_kafka_err2str(result));
    return -EIO;
}

int registry_register(struct registry *reg, const struct log_record *want, struct log_record *ret,
                      char *why, size_t why_size)
{
    const struct log_record *newest;

    if (read_to_end(reg, why, why_size) < 0)
        return -EIO;
    newest = logs_newest(&reg->logs, want->topic);
    if (!newest || newest->n < want->n) {
        if (write_record(reg, want, why, why_size) < 0 || read_to_end(reg, why, why_size) < 0)
            return -EIO;
        newest = logs_newest(&reg->logs, want->topic);
    }
    if (!newest || newest->n < want->n) {
        snprintf(why, why_size, "topic %s doesn't show what was written to it", reg->topic);
        return -EIO;
    }
    *ret = *newest;
    return 0;
}
