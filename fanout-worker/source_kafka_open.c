/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_open.c: how the group's member is set up: its bounds, its queues, its subscription;
 * and the spare, which is no member.
 *
 * What it makes belongs to source_kafka.c from then on. @thread boot
 * (the spare: pump)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/runtime/namespace.h"

#include "fanout-worker/source_kafka_impl.h"
#include "fanout-worker/worker_conf.h"

#define MAIN_QUEUE  UINT32_MAX /* what the group's own queue writes into the pipe */
#define AHEAD_BYTES MIB(64)    /* read ahead by all partitions together, unless configured */
#define SPARE_FETCH "262144"   /* the same for each of the spare's, which are at most 256 */

static void watch_handle(struct source_kafka *sk, rd_kafka_conf_t *rc)
{
    rd_kafka_conf_set_error_cb(rc, source_kafka_on_error);
    rd_kafka_conf_set_stats_cb(rc, source_kafka_on_stats);
    rd_kafka_conf_set_opaque(rc, sk);
    kafka_heard_listen(&sk->heard, rc);
}

static rd_kafka_conf_t *spare_conf(const struct worker_conf *conf, struct source_kafka *sk,
                                   char *why, size_t why_size)
{
    rd_kafka_conf_t *rc = kafka_conf_new(conf, KAFKA_SPARE, why, why_size);

    if (!rc)
        return NULL;
    kafka_conf_set(rc, "queued.max.messages.kbytes", "256");
    /* A partition's lag is asked for so often, which wakes a broker's thread that sleeps: see
     * nudge() in history_facts.c. */
    kafka_conf_set(rc, "statistics.interval.ms", "100");
    kafka_conf_set(rc, "fetch.message.max.bytes", SPARE_FETCH);
    watch_handle(sk, rc);
    return rc;
}

static rd_kafka_conf_t *group_conf(const struct worker_conf *conf, struct source_kafka *sk,
                                   int32_t partitions, char *why, size_t why_size)
{
    rd_kafka_conf_t *rc = kafka_conf_new(conf, KAFKA_GROUP, why, why_size);
    size_t kbytes = AHEAD_BYTES / KIB(1) / (size_t)(partitions > 0 ? partitions : 1);
    char text[24];

    if (!rc)
        return NULL;
    /* Each partition has its own queue, so the library's bound holds for each. Below 1 MiB a queue
     * would run dry between two looks of the fetcher. */
    kbytes = kbytes < 1024 ? 1024 : kbytes > 16384 ? 16384 : kbytes;
    snprintf(text, sizeof(text), "%zu", kbytes);
    if (!conf_map_get(&conf->kafka, "queued.max.messages.kbytes"))
        kafka_conf_set(rc, "queued.max.messages.kbytes", text);
    rd_kafka_conf_set_rebalance_cb(rc, source_kafka_on_rebalance);
    watch_handle(sk, rc);
    return rc;
}

static void watch_queue(struct source_kafka *sk)
{
    static const uint32_t main_index = MAIN_QUEUE;

    rd_kafka_poll_set_consumer(sk->rk);
    sk->main_queue = rd_kafka_queue_get_consumer(sk->rk);
    rd_kafka_queue_io_event_enable(sk->main_queue, sk->pipe_wr, &main_index, sizeof(main_index));
}

/* What a subscription does for the group's member: leaders are known before they are needed. */
static void know_topics(struct source_kafka *sk)
{
    sk->rkts = mem_alloc(sk->nss->count * sizeof(rd_kafka_topic_t *));
    for (uint32_t i = 0; i < sk->nss->count; i++)
        sk->rkts[i] = rd_kafka_topic_new(sk->rk, sk->nss->v[i].topic, NULL);
}

static int subscribe(struct source_kafka *sk, char *why, size_t why_size)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)sk->nss->count);
    rd_kafka_resp_err_t err;

    for (uint32_t i = 0; i < sk->nss->count; i++)
        rd_kafka_topic_partition_list_add(l, sk->nss->v[i].topic, RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(sk->rk, l);
    rd_kafka_topic_partition_list_destroy(l);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    snprintf(why, why_size, "subscribe: %s", rd_kafka_err2str(err));
    return -EINVAL;
}

struct source *source_kafka_new(const struct source_kafka_opts *opts, char *why, size_t why_size)
{
    struct source_kafka *sk = mem_zalloc(sizeof(*sk));
    rd_kafka_conf_t *rc;
    int fds[2];

    *sk = (struct source_kafka){.base = {&source_kafka_ops},
                                .nss = opts->nss,
                                .ev = opts->events,
                                .arg = opts->arg,
                                .spare = opts->spare,
                                .pipe_rd = -1,
                                .pipe_wr = -1};
    list_init(&sk->hot);
    rc = opts->spare ? spare_conf(opts->conf, sk, why, why_size)
                     : group_conf(opts->conf, sk, opts->partitions, why, why_size);
    if (!rc)
        goto fail;
    sk->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, why_size);
    if (!sk->rk) {
        rd_kafka_conf_destroy(rc);
        goto fail;
    }
    source_kafka_group_init(sk);
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        snprintf(why, why_size, "pipe: %s", strerror(errno));
        goto fail;
    }
    sk->pipe_rd = fds[0];
    sk->pipe_wr = fds[1];
    watch_queue(sk);
    if (sk->spare)
        know_topics(sk);
    else if (subscribe(sk, why, why_size) < 0)
        goto fail;
    return &sk->base;
fail:
    source_kafka_free(sk);
    return NULL;
}
