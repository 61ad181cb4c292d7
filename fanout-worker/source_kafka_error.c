/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_error.c: what the library says of its connections, and when that is told on.
 *
 * It says so within a poll, in the middle of reading a partition's queue, too: an error of the
 * partition is an entry of that queue. Who hears of it stops all partitions, which destroys their
 * queues, and the library would read on in freed memory. So what it says there waits until it has
 * come back.
 *
 * @thread pump
 */
#include <stdio.h>

#include "fanout-worker/source_kafka_impl.h"

static void tell_error(struct source_kafka *sk)
{
    if (!sk->error.is_there)
        return;
    sk->error.is_there = false;
    if (sk->error.is_fatal)
        sk->ev->failed(sk->arg, sk->error.text);
    else
        sk->ev->connection(sk->arg, sk->error.text);
}

void source_kafka_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct source_kafka *sk = opaque;

    if (sk->error.is_there && sk->error.is_fatal)
        return;
    sk->error.is_there = true;
    sk->error.is_fatal = err == RD_KAFKA_RESP_ERR__FATAL;
    if (sk->error.is_fatal)
        rd_kafka_fatal_error(rk, sk->error.text, sizeof(sk->error.text));
    else
        snprintf(sk->error.text, sizeof(sk->error.text), "%s", reason);
    if (!sk->is_reading)
        tell_error(sk);
}

rd_kafka_message_t *source_kafka_read(struct source_kafka *sk, const struct slot *sl)
{
    rd_kafka_queue_t *queue = sl->queue;
    rd_kafka_message_t *m;

    sk->is_reading = true;
    m = rd_kafka_consume_queue(queue, 0);
    sk->is_reading = false;
    tell_error(sk);
    if (m && sl->queue != queue) {
        rd_kafka_message_destroy(m);
        m = NULL;
    }
    return m;
}
