/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_conf.c: the configuration of each Kafka handle: our defaults, then the user's
 * properties, then what exactness rests on. Also: librdkafka's log lines as ours, a record, an
 * offset, an assignment.
 *
 * No state. @thread any
 */
#include <errno.h>
#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "common/runtime/log.h"

#include "fanout-worker/source_kafka.h"
#include "fanout-worker/worker_conf.h"

struct pair {
    const char *name, *value;
};

/* Better than the library's own, and the user may change them. */
static const struct pair defaults[] = {
    {"client.id", "fanfare-worker"},
    {"socket.nagle.disable", "true"},
    {"fetch.error.backoff.ms", "50"},
    /* Twice that, and the beacon's way, is how old Kafka's end is at an edge: it waits for 2 s. */
    {"fetch.wait.max.ms", "300"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"topic.metadata.refresh.interval.ms", "5000"},
    {"session.timeout.ms", "6000"},
    {"heartbeat.interval.ms", "1500"},
    {"max.poll.interval.ms", "60000"},
    {"log.connection.close", "false"},
    /* A commit that waits for a coordinator that died holds up the group for so long. */
    {"socket.timeout.ms", "10000"},
};

static const struct pair consumer_rules[] = {
    {"partition.assignment.strategy", "cooperative-sticky"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"isolation.level", "read_committed"},
    {"check.crcs", "true"},
    {"enable.partition.eof", "true"},
    /* librdkafka moves its cached low watermark only with statistics switched on; and they tell
     * which brokers are silent (source_kafka_group.c). */
    {"statistics.interval.ms", "500"},
};

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
    (void)rk;
    /* A writer is given the consumer's properties too, and says so of each. */
    if (strcmp(fac, "CONFWARN") == 0)
        level = 7;
    if (level <= 3)
        log_warn("kafka", " facility=%s text=%s", fac, log_value(slice_of(text)));
    else if (level <= 5)
        log_info("kafka", " facility=%s text=%s", fac, log_value(slice_of(text)));
    else
        log_debug("kafka", " facility=%s text=%s", fac, log_value(slice_of(text)));
}

void kafka_group(const struct worker_conf *conf, char *dst, size_t size)
{
    if (conf->group[0])
        snprintf(dst, size, "%s", conf->group);
    else
        snprintf(dst, size, "fanfare-%s", conf->region);
}

void kafka_conf_set(struct rd_kafka_conf_s *rc, const char *name, const char *value)
{
    char text[256];

    must(rd_kafka_conf_set(rc, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK);
}

static int apply_user(rd_kafka_conf_t *rc, const struct conf_map *map, char *why, size_t why_size)
{
    char text[256];

    for (size_t i = 0; i < map->n; i++) {
        const struct conf_pair *p = &map->v[i];
        rd_kafka_conf_res_t res = rd_kafka_conf_set(rc, p->name, p->value, text, sizeof(text));

        if (res == RD_KAFKA_CONF_OK)
            continue;
        if (p->hidden && res == RD_KAFKA_CONF_INVALID) /* the library's text shows the value */
            snprintf(text, sizeof(text), "the file's content is no value for it");
        snprintf(why, why_size, "kafka.%s: %s", p->name, text);
        return -EINVAL;
    }
    return 0;
}

struct rd_kafka_conf_s *kafka_conf_new(const struct worker_conf *conf, enum kafka_role role,
                                       char *why, size_t why_size)
{
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    char group[512];

    for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
        kafka_conf_set(rc, defaults[i].name, defaults[i].value);
    if (apply_user(rc, &conf->kafka, why, why_size) < 0) {
        rd_kafka_conf_destroy(rc);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(rc, on_log);
    if (role == KAFKA_WRITER) {
        kafka_conf_set(rc, "enable.idempotence", "true");
        kafka_conf_set(rc, "message.timeout.ms", "10000");
        kafka_conf_set(rc, "linger.ms", "0");
        return rc;
    }
    for (size_t i = 0; i < ARRAY_LEN(consumer_rules); i++)
        kafka_conf_set(rc, consumer_rules[i].name, consumer_rules[i].value);
    kafka_group(conf, group, sizeof(group));
    kafka_conf_set(rc, "group.id", group);
    if (role == KAFKA_READER) {
        kafka_conf_set(rc, "fetch.wait.max.ms", "10");
        kafka_conf_set(rc, "queued.min.messages", "1");
        kafka_conf_set(rc, "statistics.interval.ms", "0");
        /* It isn't subscribed: nothing else would tell it that a partition's leader is another. */
        kafka_conf_set(rc, "metadata.max.age.ms", "3000");
    }
    return rc;
}

static bool header_at(const void *raw, size_t i, struct slice *ret_name, struct slice *ret_value)
{
    /* The API takes the message without const, though it only looks (it parses them once). */
    rd_kafka_message_t *m;
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t n;

    memcpy(&m, &raw, sizeof(m));
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    if (rd_kafka_header_get_all(headers, i, &name, &value, &n) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *ret_name = slice_of(name);
    *ret_value = (struct slice){value, n};
    return true;
}

void kafka_record_of(const struct rd_kafka_message_s *m, struct source_record *ret)
{
    rd_kafka_timestamp_type_t type;
    int64_t time_ms = rd_kafka_message_timestamp(m, &type);

    *ret = (struct source_record){
        .offset = m->offset,
        .time_ms = time_ms > 0 ? time_ms : 0,
        .key = {m->key, m->key ? m->key_len : 0},
        .value = {m->payload, m->payload ? m->len : 0},
        .raw = m,
        .header = header_at,
    };
}

static rd_kafka_topic_partition_list_t *list_of(const char *topic, int32_t partition,
                                                int64_t offset)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(l, topic, partition)->offset = offset;
    return l;
}

int kafka_assign_one(struct rd_kafka_s *rk, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *l = list_of(topic, partition, offset);
    rd_kafka_error_t *err = rd_kafka_incremental_assign(rk, l);

    rd_kafka_topic_partition_list_destroy(l);
    if (err)
        rd_kafka_error_destroy(err);
    return err ? -EAGAIN : 0;
}

void kafka_unassign_one(struct rd_kafka_s *rk, const char *topic, int32_t partition)
{
    rd_kafka_topic_partition_list_t *l = list_of(topic, partition, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_error_t *err = rd_kafka_incremental_unassign(rk, l);

    rd_kafka_topic_partition_list_destroy(l);
    if (err) /* not ours any more: what was wanted */
        rd_kafka_error_destroy(err);
}

/* Not rd_kafka_query_watermark_offsets(): up to librdkafka 2.2 it has no end while the leader is
 * down. In the protocol both ends are times: the earliest (-2) and the latest (-1). */
int kafka_ask_offsets(struct rd_kafka_s *rk, struct rd_kafka_topic_partition_list_s *l,
                      int64_t which, int ms)
{
    rd_kafka_resp_err_t err;

    for (int i = 0; i < l->cnt; i++)
        l->elems[i].offset = which;
    err = rd_kafka_offsets_for_times(rk, l, ms);
    for (int i = 0; i < l->cnt && !err; i++) {
        err = l->elems[i].err;
        if (!err && l->elems[i].offset < 0) /* no answer had it */
            err = RD_KAFKA_RESP_ERR__PARTIAL;
    }
    return err;
}

int kafka_ask_offset(struct rd_kafka_s *rk, const char *topic, int32_t partition, int64_t which,
                     int ms, int64_t *ret)
{
    rd_kafka_topic_partition_list_t *l = list_of(topic, partition, which);
    int err = kafka_ask_offsets(rk, l, which, ms);

    if (!err)
        *ret = l->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(l);
    return err;
}
