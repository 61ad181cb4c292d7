/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka.c: the member of the consumer group, on the pump's loop.
 *
 * The group's assignment only says what is ours: each partition is assigned to the fetcher by
 * start(), at an explicit offset, once the pump knows it. Every partition keeps a queue of its own;
 * "pausing" one means not reading its queue: librdkafka's pause would throw away what it has read
 * ahead (its fetcher stops by itself when the queue is full, queued.max.messages.kbytes). Queues
 * that become readable write their slot's number into one pipe, the descriptor the loop watches.
 * Owns the handle, the pipe and the slots. @thread pump (new: boot)
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/runtime/log.h"
#include "common/runtime/namespace.h"

#include "fanout-worker/source_kafka_impl.h"

#define CLOSE_MS      3000
#define ROUND_RECORDS 512 /* of one partition before the next one's turn */

/* The table's const means "changes nothing the caller sees"; the object never is const. */
static struct source_kafka *self_of(const struct source *s)
{
    return (struct source_kafka *)((uintptr_t)s - offsetof(struct source_kafka, base));
}

static const char *topic_name(const struct source_kafka *sk, uint32_t topic)
{
    return sk->nss->v[topic].topic;
}

static int topic_index(const struct source_kafka *sk, const char *name, uint32_t *ret)
{
    for (uint32_t i = 0; i < sk->nss->count; i++) {
        if (strcmp(sk->nss->v[i].topic, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -ENOENT;
}

static struct slot *slot_find(const struct source_kafka *sk, struct source_id id)
{
    for (size_t i = 0; i < sk->count; i++) {
        if (sk->slots[i]->id.topic == id.topic && sk->slots[i]->id.partition == id.partition)
            return sk->slots[i];
    }
    return NULL;
}

static struct slot *slot_get(struct source_kafka *sk, struct source_id id)
{
    struct slot *sl = slot_find(sk, id);

    if (sl)
        return sl;
    if (sk->count == sk->cap) {
        sk->cap = sk->cap ? sk->cap * 2 : 32;
        sk->slots = mem_realloc(sk->slots, sk->cap * sizeof(*sk->slots));
    }
    sl = mem_zalloc(sizeof(*sl));
    sl->id = id;
    sl->index = (uint32_t)sk->count;
    list_init(&sl->hot);
    sk->slots[sk->count++] = sl;
    return sl;
}

static void slot_close(struct source_kafka *sk, struct slot *sl)
{
    if (!sl->queue)
        return;
    list_del(&sl->hot);
    rd_kafka_queue_io_event_enable(sl->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(sl->queue);
    sl->queue = NULL;
    kafka_unassign_one(sk->rk, topic_name(sk, sl->id.topic), sl->id.partition);
}

static void kafka_stop(struct source *s, struct source_id id)
{
    struct source_kafka *sk = self_of(s);
    struct slot *sl = slot_find(sk, id);

    if (sl)
        slot_close(sk, sl);
}

static int kafka_start(struct source *s, struct source_id id, int64_t offset, void *handle)
{
    struct source_kafka *sk = self_of(s);
    struct slot *sl = slot_get(sk, id);

    slot_close(sk, sl);
    sl->queue = rd_kafka_queue_get_partition(sk->rk, topic_name(sk, id.topic), id.partition);
    if (!sl->queue)
        return -ENOENT;
    sl->handle = handle;
    sl->held = false;
    /* Before the assignment: the library leaves a queue alone whose forwarding we have set. */
    rd_kafka_queue_forward(sl->queue, NULL);
    rd_kafka_queue_io_event_enable(sl->queue, sk->pipe_wr, &sl->index, sizeof(sl->index));
    if (kafka_assign_one(sk->rk, topic_name(sk, id.topic), id.partition, offset) < 0) {
        slot_close(sk, sl);
        return -EAGAIN;
    }
    list_move_tail(&sk->hot, &sl->hot);
    return 0;
}

static void kafka_resume(struct source *s, struct source_id id)
{
    struct source_kafka *sk = self_of(s);
    struct slot *sl = slot_find(sk, id);

    if (!sl || !sl->queue || !sl->held)
        return;
    sl->held = false;
    list_move_tail(&sk->hot, &sl->hot);
}

static size_t ids_of(const struct source_kafka *sk, const rd_kafka_topic_partition_list_t *l,
                     struct source_id *dst)
{
    size_t n = 0;

    for (int i = 0; i < l->cnt; i++) {
        if (topic_index(sk, l->elems[i].topic, &dst[n].topic) == 0)
            dst[n++].partition = l->elems[i].partition;
    }
    return n;
}

void source_kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *l, void *opaque)
{
    struct source_kafka *sk = opaque;
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
    struct source_id *ids = mem_zalloc(((size_t)l->cnt + 1) * sizeof(*ids));
    size_t n = ids_of(sk, l, ids);
    rd_kafka_error_t *e;

    /* The empty list answers the group's state machine; partitions are added one by one as their
     * positions become known, and taken out by revoked() -> stop(). */
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        e = rd_kafka_incremental_assign(rk, none);
        if (!sk->closing)
            sk->ev->assigned(sk->arg, ids, n);
    } else {
        sk->ev->revoked(sk->arg, ids, n);
        for (size_t i = 0; i < n; i++)
            kafka_stop(&sk->base, ids[i]);
        e = rd_kafka_incremental_unassign(rk, none);
    }
    if (e)
        rd_kafka_error_destroy(e);
    rd_kafka_topic_partition_list_destroy(none);
    free(ids);
}

static void hand_over(struct source_kafka *sk, struct slot *sl, rd_kafka_message_t *m)
{
    struct source_record r;

    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_record_of(m, &r);
        if (!sk->ev->record(sl->handle, &r))
            sl->held = true;
    } else if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        sk->ev->trouble(sl->handle, SOURCE_OUT_OF_RANGE, rd_kafka_message_errstr(m));
    } else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        sk->ev->end(sl->handle);
    } else {
        sk->ev->trouble(sl->handle, SOURCE_FETCH_ERROR, rd_kafka_message_errstr(m));
    }
}

/* The group's queue: rebalances, errors, and nothing of partitions but their errors. */
static void drain_main(struct source_kafka *sk)
{
    rd_kafka_message_t *m;

    while ((m = rd_kafka_consumer_poll(sk->rk, 0))) {
        struct slot *sl = NULL;
        struct source_id id = {.partition = m->partition};

        if (m->rkt && topic_index(sk, rd_kafka_topic_name(m->rkt), &id.topic) == 0)
            sl = slot_find(sk, id);
        if (sl && sl->queue)
            hand_over(sk, sl, m);
        else if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            sk->ev->connection(sk->arg, rd_kafka_message_errstr(m));
        rd_kafka_message_destroy(m);
    }
}

/* Up to a round's records of one partition; returns how many. Anything may stop the partition. */
static size_t drain_slot(struct source_kafka *sk, struct slot *sl)
{
    rd_kafka_queue_t *queue = sl->queue;
    rd_kafka_message_t *m;
    size_t n = 0;

    while (n < ROUND_RECORDS && sl->queue == queue && !sl->held) {
        m = source_kafka_read(sk, sl);
        if (!m) {
            list_del(&sl->hot);
            break;
        }
        hand_over(sk, sl, m);
        rd_kafka_message_destroy(m);
        n++;
    }
    if (sl->held)
        list_del(&sl->hot);
    if (sl->queue && n > 0)
        sk->ev->turn(sl->handle);
    return n;
}

static void read_pipe(struct source_kafka *sk)
{
    uint32_t v[256];
    ssize_t n;

    do {
        n = read(sk->pipe_rd, v, sizeof(v));
        for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(v[0]); i++) {
            if (v[i] < sk->count && sk->slots[v[i]]->queue && !sk->slots[v[i]]->held)
                list_move_tail(&sk->hot, &sk->slots[v[i]]->hot);
        }
    } while (n == sizeof(v)); /* less: it is empty, or tells again */
}

static bool kafka_poll(struct source *s, size_t budget, bool with_all)
{
    struct source_kafka *sk = self_of(s);
    struct list round;
    struct slot *sl;
    size_t done = 0;

    read_pipe(sk);
    drain_main(sk);
    for (size_t i = 0; with_all && i < sk->count; i++) {
        if (sk->slots[i]->queue && !sk->slots[i]->held)
            list_move_tail(&sk->hot, &sk->slots[i]->hot);
    }
    while (done < budget && !list_is_empty(&sk->hot)) {
        list_init(&round);
        list_splice_tail(&round, &sk->hot);
        while ((sl = list_first(&round, struct slot, hot))) {
            list_move_tail(&sk->hot, &sl->hot);
            done += drain_slot(sk, sl);
        }
    }
    return !list_is_empty(&sk->hot);
}

static int kafka_fd(const struct source *s)
{
    return self_of(s)->pipe_rd;
}

static bool kafka_watermarks(const struct source *s, struct source_id id, int64_t *ret_low,
                             int64_t *ret_end)
{
    const struct source_kafka *sk = self_of(s);

    return !rd_kafka_get_watermark_offsets(sk->rk, topic_name(sk, id.topic), id.partition, ret_low,
                                           ret_end) &&
           *ret_low >= 0 && *ret_end >= 0;
}

static void kafka_commit(struct source *s, const struct source_commit *v, size_t n)
{
    struct source_kafka *sk = self_of(s);
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);

    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_t *tp =
            rd_kafka_topic_partition_list_add(l, topic_name(sk, v[i].id.topic), v[i].id.partition);

        tp->offset = v[i].offset;
        tp->metadata = mem_strdup(v[i].metadata); /* the list frees it */
        tp->metadata_size = strlen(v[i].metadata);
    }
    /* Lag tools see it or they don't: a failure changes nothing for us. */
    (void)rd_kafka_commit(sk->rk, l, 1);
    rd_kafka_topic_partition_list_destroy(l);
}

static bool kafka_has_joined(struct source *s)
{
    return source_kafka_is_member(self_of(s));
}

static bool kafka_is_current(const struct source *s)
{
    return source_kafka_is_current(self_of(s));
}

static uint64_t kafka_silent_ms(const struct source *s)
{
    return source_kafka_silent_ms(self_of(s));
}

static uint64_t kafka_known_ms(const struct source *s)
{
    return kafka_heard_end_ms(&self_of(s)->heard);
}

void source_kafka_free(struct source_kafka *sk)
{
    for (size_t i = 0; i < sk->count; i++)
        free(sk->slots[i]);
    free(sk->slots);
    for (uint32_t i = 0; sk->rkts && i < sk->nss->count; i++)
        rd_kafka_topic_destroy(sk->rkts[i]);
    free(sk->rkts);
    if (sk->main_queue) {
        rd_kafka_queue_io_event_enable(sk->main_queue, -1, NULL, 0);
        rd_kafka_queue_destroy(sk->main_queue);
    }
    if (sk->rk)
        rd_kafka_destroy_flags(sk->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (sk->pipe_rd >= 0)
        close(sk->pipe_rd);
    if (sk->pipe_wr >= 0)
        close(sk->pipe_wr);
    free(sk);
}

static void leave_group(struct source_kafka *sk)
{
    uint64_t end = clock_mono_ms() + CLOSE_MS;
    rd_kafka_error_t *err = rd_kafka_consumer_close_queue(sk->rk, sk->main_queue);
    rd_kafka_message_t *m;

    if (err)
        rd_kafka_error_destroy(err);
    while (!rd_kafka_consumer_closed(sk->rk) && clock_mono_ms() < end) {
        m = rd_kafka_consumer_poll(sk->rk, 20);
        if (m)
            rd_kafka_message_destroy(m);
    }
}

static void kafka_close(struct source *s)
{
    struct source_kafka *sk = self_of(s);

    sk->closing = true;
    for (size_t i = 0; i < sk->count; i++)
        slot_close(sk, sk->slots[i]);
    if (!sk->spare)
        leave_group(sk);
    source_kafka_free(sk);
}

const struct source_ops source_kafka_ops = {
    .fd = kafka_fd,
    .poll = kafka_poll,
    .start = kafka_start,
    .stop = kafka_stop,
    .resume = kafka_resume,
    .watermarks = kafka_watermarks,
    .commit = kafka_commit,
    .has_joined = kafka_has_joined,
    .is_current = kafka_is_current,
    .silent_ms = kafka_silent_ms,
    .known_ms = kafka_known_ms,
    .close = kafka_close,
};
