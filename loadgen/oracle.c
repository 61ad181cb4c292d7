/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.c: reads Kafka itself, with a handle of its own and without a group, from before the first
 * record, and judges the delivery logs by that (truth.h). See oracle.h for its lines.
 *
 * Shares no code with worker and edge: of common/ it uses memory and text buffers only. One thread
 * of ours; the loop looks at stdin and takes records in turn. @thread main (of its process)
 */
#include "loadgen/oracle.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "loadgen/dlog.h"
#include "loadgen/judge.h"

#define ASK_MS     10000 /* one question to a broker */
#define TRIES      30
#define RETRY_MS   100
#define STOP_MS    60000 /* reading up to the end */
#define TAKE_BATCH 1000

struct part {
    int64_t next; /* offset behind the last record seen or end reported */
    int64_t end;  /* where the log ended at "stop"; -1 before */
};

struct reader {
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    char *topic;
    struct part *parts;
    int32_t part_count;
    bool is_reading;
    struct truth *truth;
    struct buf in;
};

static void answer(const char *word, const char *text)
{
    printf("%s%s%s\n", word, *text ? " " : "", text);
    (void)fflush(stdout);
}

_Noreturn static void fail(const char *what, const char *why)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "%s: %s", what, why);
    answer("error", text);
    exit(1);
}

static void conf_set(struct reader *rd, const char *name, const char *value)
{
    char why[512];
    if (rd_kafka_conf_set(rd->conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        fail("kafka", why);
}

/* Brokers that are starting and topics just created answer with errors for a moment. */
static bool may_ask_again(rd_kafka_resp_err_t err, int *tries)
{
    if (!err || --*tries <= 0)
        return false;
    (void)poll(NULL, 0, RETRY_MS);
    return true;
}

static int32_t partitions_of(struct reader *rd)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rd->rk, rd->topic, NULL);
    rd_kafka_resp_err_t err;
    int32_t n = 0;
    int tries = TRIES;
    do {
        const struct rd_kafka_metadata *md;
        err = rd_kafka_metadata(rd->rk, 0, rkt, &md, ASK_MS);
        if (err)
            continue;
        err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        n = md->topic_cnt == 1 ? md->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(md);
    } while (may_ask_again(err, &tries));
    if (err || n == 0)
        fail("topic", rd_kafka_err2str(err));
    rd_kafka_topic_destroy(rkt);
    return n;
}

static int64_t high_of(struct reader *rd, int32_t p)
{
    int64_t low, high;
    rd_kafka_resp_err_t err;
    int tries = TRIES;
    do
        err = rd_kafka_query_watermark_offsets(rd->rk, rd->topic, p, &low, &high, ASK_MS);
    while (may_ask_again(err, &tries));
    if (err)
        fail("watermarks", rd_kafka_err2str(err));
    return high;
}

/* Reads on from where each partition stands. */
static void read_on(struct reader *rd)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(rd->part_count);
    for (int32_t p = 0; p < rd->part_count; p++)
        rd_kafka_topic_partition_list_add(list, rd->topic, p)->offset = rd->parts[p].next;
    rd_kafka_resp_err_t err = rd_kafka_assign(rd->rk, list);
    if (err)
        fail("assign", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
    rd->is_reading = true;
}

static void begin(struct reader *rd, bool later)
{
    char why[512];
    conf_set(rd, "group.id", "fanfare-loadgen-oracle"); /* demanded by the library, never joined */
    conf_set(rd, "enable.auto.commit", "false");
    conf_set(rd, "enable.partition.eof", "true");
    conf_set(rd, "isolation.level", "read_committed");
    conf_set(rd, "auto.offset.reset", "error");
    /* A broker answers a connection's requests one by one: high_of() waits behind a fetch. */
    conf_set(rd, "fetch.wait.max.ms", "100");
    rd->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rd->conf, why, sizeof why);
    if (!rd->rk)
        fail("kafka", why);
    rd->conf = NULL;
    rd_kafka_poll_set_consumer(rd->rk);
    rd->part_count = partitions_of(rd);
    rd->parts = mem_zalloc((size_t)rd->part_count * sizeof *rd->parts);
    for (int32_t p = 0; p < rd->part_count; p++) {
        rd->parts[p] = (struct part){high_of(rd, p), -1};
        truth_begin(rd->truth, p, (uint64_t)rd->parts[p].next);
    }
    if (!later)
        read_on(rd);
    answer("ready", "");
}

/* The digest of what a client must get: the payload without line breaks (they separate replies, so
 * the worker takes them out), or null for a tombstone. */
static uint32_t digest_of(const rd_kafka_message_t *m)
{
    if (!m->payload)
        return dlog_digest("null", 4);
    const char *p = m->payload;
    if (!memchr(p, '\n', m->len) && !memchr(p, '\r', m->len))
        return dlog_digest(p, m->len);
    char *flat = mem_alloc(m->len + 1);
    size_t n = 0;
    for (size_t i = 0; i < m->len; i++)
        if (p[i] != '\n' && p[i] != '\r')
            flat[n++] = p[i];
    uint32_t digest = dlog_digest(flat, n);
    free(flat);
    return digest;
}

static void take(struct reader *rd, const rd_kafka_message_t *m)
{
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* Retriable ones are retried by the library; a lost position can't be judged. */
        if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            fail("consume", rd_kafka_message_errstr(m));
        return;
    }
    struct part *part = &rd->parts[m->partition];
    if (m->err) {
        if (m->offset > part->next)
            part->next = m->offset;
        return;
    }
    part->next = m->offset + 1;
    if (part->end >= 0 && m->offset >= part->end)
        return;
    struct slice key = {m->key, m->key_len};
    if (key.n > 0 &&
        truth_record(rd->truth, key, m->partition, (uint64_t)m->offset + 1, digest_of(m)))
        fail("log", "a key's positions do not rise: did its partition change?");
}

static void take_some(struct reader *rd, int wait_ms)
{
    for (int i = 0; i < TAKE_BATCH; i++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rd->rk, i == 0 ? wait_ms : 0);
        if (!m)
            return;
        take(rd, m);
        rd_kafka_message_destroy(m);
    }
}

static bool is_at_end(const struct reader *rd)
{
    for (int32_t p = 0; p < rd->part_count; p++)
        if (rd->parts[p].next < rd->parts[p].end)
            return false;
    return true;
}

static void ends_write(struct reader *rd, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f)
        fail(path, strerror(errno));
    for (uint32_t i = 0; i < truth_channels(rd->truth); i++)
        (void)fprintf(f, "%" PRIu64 "\n", truth_last(rd->truth, i));
    if (fclose(f))
        fail(path, strerror(errno));
}

static void stop(struct reader *rd, const char *path)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t until = now.tv_sec + STOP_MS / 1000;
    for (int32_t p = 0; p < rd->part_count; p++) {
        rd->parts[p].end = high_of(rd, p);
        truth_end(rd->truth, p, (uint64_t)rd->parts[p].end);
    }
    if (!rd->is_reading)
        read_on(rd);
    while (!is_at_end(rd)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > until)
            fail("stop", "the end of the log was not reached");
        take_some(rd, 20);
    }
    ends_write(rd, path);
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64, truth_records(rd->truth));
    answer("stopped", text);
}

static void verdict(struct reader *rd, const char *rest)
{
    unsigned channels = 0, told = 0;
    struct buf out = BUF_INIT;
    char *end;
    channels = (unsigned)strtoul(rest, &end, 10);
    told = (unsigned)strtoul(end, NULL, 10);
    truth_print(rd->truth, channels, told != 0, &out);
    buf_byte(&out, 0);
    answer(out.p, "");
    buf_done(&out);
}

/* rest: what stands behind the word. */
static void line(struct reader *rd, const char *word, char *rest)
{
    if (!strcmp(word, "kafka")) {
        char *eq = strchr(rest, '=');
        if (!eq)
            fail("kafka", "expected NAME=VALUE");
        *eq = 0;
        conf_set(rd, rest, eq + 1);
    } else if (!strcmp(word, "topic")) {
        free(rd->topic);
        rd->topic = mem_strdup(rest);
    } else if (!strcmp(word, "channel")) {
        truth_watch(rd->truth, slice_of(rest));
    } else if (!strcmp(word, "begin") && rd->topic && !rd->rk) {
        begin(rd, !strcmp(rest, "later"));
    } else if (!strcmp(word, "stop") && rd->rk) {
        stop(rd, rest);
    } else if (!strcmp(word, "judge")) {
        int r = judge_file(rd->truth, rest);
        if (r)
            fail(rest, strerror(-r));
    } else if (!strcmp(word, "verdict")) {
        verdict(rd, rest);
    } else {
        fail("unknown or untimely line", word);
    }
}

/* Takes the whole lines there are; false at the end of stdin. */
static bool lines_take(struct reader *rd)
{
    char *dst = buf_reserve(&rd->in, 4096);
    ssize_t n = read(STDIN_FILENO, dst, 4096);
    if (n <= 0)
        return false;
    rd->in.n += (size_t)n;
    char *nl;
    while (rd->in.n > 0 && (nl = memchr(rd->in.p, '\n', rd->in.n))) {
        size_t len = (size_t)(nl - rd->in.p);
        char *text = mem_strndup(rd->in.p, len);
        buf_consume(&rd->in, len + 1);
        char *space = strchr(text, ' ');
        if (space)
            *space = 0;
        line(rd, text, space ? space + 1 : text + strlen(text));
        free(text);
    }
    return true;
}

int oracle_main(void)
{
    struct reader rd = {.conf = rd_kafka_conf_new(), .truth = truth_new()};
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    for (;;) {
        int r = poll(&in, 1, rd.rk ? 0 : -1);
        if (r > 0 && !lines_take(&rd))
            break;
        if (rd.rk)
            take_some(&rd, 20);
    }
    if (rd.rk) {
        (void)rd_kafka_consumer_close(rd.rk);
        rd_kafka_destroy(rd.rk);
    } else if (rd.conf) {
        rd_kafka_conf_destroy(rd.conf);
    }
    truth_free(rd.truth);
    buf_done(&rd.in);
    free(rd.parts);
    free(rd.topic);
    return 0;
}
