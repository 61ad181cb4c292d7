/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_group.c: what the library's statistics tell twice a second. Is this worker in its
 * consumer group? Two signs, since the library has no call for it:
 *
 *   its member id   forgotten when the group was lost (session time-out, a poll too late), kept
 *                   over a rebalance. But only a member at rest times out, and
 *   the coordinator of whom the statistics tell. One that was out of reach for longer than the
 *                   session time-out has put us out, whatever the library was doing.
 *
 * And is what we know of Kafka's ends current? A broker answers each fetch, with records or
 * without, within fetch.wait.max.ms: source_kafka_heard.h.
 *
 * @thread pump (init: boot)
 */
#include <stdlib.h>

#include "common/base/clock.h"

#include "fanout-worker/source_kafka_impl.h"

/* Beyond a fetch's wait: the statistics' interval (source_kafka_conf.c), and what the way may take.
 */
#define SILENCE_MS 1100

static uint64_t conf_ms(const struct source_kafka *sk, const char *name)
{
    char text[24] = "";
    size_t n = sizeof(text);

    must(rd_kafka_conf_get(rd_kafka_conf(sk->rk), name, text, &n) == RD_KAFKA_CONF_OK);
    return strtoull(text, NULL, 10);
}

void source_kafka_group_init(struct source_kafka *sk)
{
    sk->session_ms = conf_ms(sk, "session.timeout.ms");
    sk->fetch_wait_ms = conf_ms(sk, "fetch.wait.max.ms");
    sk->coordinator_ms = sk->began_ms = clock_mono_ms();
}

/* "cgrp": { "state": "up", … */
/* NOLINTNEXTLINE(readability-non-const-parameter): the library's signature */
int source_kafka_on_stats(rd_kafka_t *rk, char *json, size_t n, void *opaque)
{
    static const char key[] = "\"cgrp\": { \"state\": \"", up[] = "up\"";
    struct source_kafka *sk = opaque;
    const char *at = memmem(json, n, key, sizeof(key) - 1);
    uint64_t now = clock_mono_ms();

    (void)rk;
    if (!at || strncmp(at + sizeof(key) - 1, up, sizeof(up) - 1) == 0)
        sk->coordinator_ms = now;
    kafka_heard_stats(&sk->heard, json, now);
    return 0; /* the library frees it */
}

bool source_kafka_is_member(const struct source_kafka *sk)
{
    char *member;
    bool has_id;

    if (clock_mono_ms() - sk->coordinator_ms > sk->session_ms)
        return false;
    member = rd_kafka_memberid(sk->rk);
    has_id = member && member[0];
    if (member)
        rd_kafka_mem_free(sk->rk, member);
    return has_id;
}

bool source_kafka_is_current(const struct source_kafka *sk)
{
    return clock_mono_ms() < kafka_heard_ms(&sk->heard) + 2 * sk->fetch_wait_ms + SILENCE_MS;
}

uint64_t source_kafka_silent_ms(const struct source_kafka *sk)
{
    uint64_t heard = kafka_heard_ms(&sk->heard);

    return clock_mono_ms() - (heard > sk->began_ms ? heard : sk->began_ms);
}
