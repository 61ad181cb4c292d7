/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c: see plan.h. Open loop: record i is due at start + i / rate, and carries that time,
 * whenever it could really be sent; so a stall anywhere shows in the latency of all that were due
 * meanwhile.
 */
#include "loadgen/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "common/base/clock.h"

#define LATE_NS  1000000u
#define FLUSH_MS 30000

struct plan {
    const struct settings *st;
    struct shared *sh;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    struct buf value;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct plan *pl = opaque;
    (void)rk;
    stat_add(m->err ? &pl->sh->plan.failed : &pl->sh->plan.acked, 1);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    (void)fprintf(stderr, "fanfare-loadgen: kafka.%s: %s\n", name, why);
    return -EINVAL;
}

static int plan_open(struct plan *pl)
{
    static const char *const defaults[][2] = {{"partitioner", "murmur2_random"},
                                              {"acks", "all"},
                                              {"enable.idempotence", "true"},
                                              {"linger.ms", "0"},
                                              {"queue.buffering.max.messages", "1000000"}};
    const struct conf_map *own = &pl->st->conf.kafka;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(defaults) && r == 0; i++)
        r = set(conf, defaults[i][0], defaults[i][1]);
    for (size_t i = 0; i < own->n && r == 0; i++)
        r = set(conf, own->v[i].name, own->v[i].value);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, pl);
    char why[512] = "";
    if (r == 0)
        pl->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!pl->rk) {
        if (r == 0)
            (void)fprintf(stderr, "fanfare-loadgen: kafka: %s\n", why);
        rd_kafka_conf_destroy(conf);
        return -EINVAL;
    }
    pl->topic = rd_kafka_topic_new(pl->rk, pl->st->conf.topic, NULL);
    const struct rd_kafka_metadata *md;
    if (rd_kafka_metadata(pl->rk, 0, pl->topic, &md, 10000) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(md);
    return 0;
}

void plan_payload(struct buf *out, const char *key, uint64_t seq, uint64_t due_ns, size_t size)
{
    buf_clear(out);
    buf_lit(out, "{\"c\":");
    buf_json_string(out, slice_of(key));
    buf_lit(out, ",\"s\":");
    buf_u64(out, seq);
    buf_lit(out, ",\"t\":");
    buf_u64(out, due_ns);
    if (out->n + sizeof ",\"p\":\"\"}" - 1 <= size) {
        buf_lit(out, ",\"p\":\"");
        while (out->n + 2 < size)
            buf_byte(out, (unsigned char)('a' + (seq + out->n) % 26));
        buf_byte(out, '"');
    }
    buf_byte(out, '}');
}

static void produce(struct plan *pl, uint64_t seq, uint64_t due)
{
    const char *key = pl->st->keys[seq % pl->st->channel_count];
    plan_payload(&pl->value, key, seq, due, (size_t)pl->st->conf.payload);
    for (;;) {
        int r = rd_kafka_produce(pl->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, pl->value.p,
                                 pl->value.n, key, strlen(key), NULL);
        if (r == 0)
            break;
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            stat_add(&pl->sh->plan.failed, 1);
            return;
        }
        rd_kafka_poll(pl->rk, 10); /* the schedule stands: what is late stays late */
    }
    stat_add(&pl->sh->plan.sent, 1);
}

static void sleep_until(uint64_t ns)
{
    struct timespec at = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void run(struct plan *pl)
{
    uint64_t rate = (uint64_t)pl->st->conf.rate, start = clock_mono_ns();
    uint64_t total = (uint64_t)(pl->st->conf.warm_up + pl->st->conf.duration) * rate / 1000;
    stat_set(&pl->sh->measure_from, start + (uint64_t)pl->st->conf.warm_up * 1000000u);
    stat_set(&pl->sh->measure_to,
             start + (uint64_t)(pl->st->conf.warm_up + pl->st->conf.duration) * 1000000u);
    for (uint64_t i = 0; i < total && pl->sh->phase == PHASE_RUN; i++) {
        uint64_t due = start + (uint64_t)((double)i * 1e9 / (double)rate);
        if (clock_mono_ns() < due) {
            rd_kafka_poll(pl->rk, 0);
            sleep_until(due);
        }
        if (clock_mono_ns() > due + LATE_NS)
            stat_add(&pl->sh->plan.late, 1);
        produce(pl, i, due);
    }
}

int plan_main(const struct settings *st, struct shared *sh)
{
    struct plan pl = {.st = st, .sh = sh, .value = BUF_INIT};
    (void)prctl(PR_SET_TIMERSLACK, 1000);
    if (plan_open(&pl))
        return 1;
    while (sh->phase == PHASE_CONNECT)
        sleep_until(clock_mono_ns() + 1000000);
    run(&pl);
    rd_kafka_resp_err_t err = rd_kafka_flush(pl.rk, FLUSH_MS);
    if (err)
        (void)fprintf(stderr, "fanfare-loadgen: flush: %s\n", rd_kafka_err2str(err));
    stat_set(&sh->plan.done, 1);
    rd_kafka_topic_destroy(pl.topic);
    rd_kafka_destroy(pl.rk);
    buf_done(&pl.value);
    return err ? 1 : 0;
}
