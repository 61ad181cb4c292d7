/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_kafka_group.c: is this worker in its consumer group? Two signs, since the library has no
 * call for it:
 *
 *   its member id   forgotten when the group was lost (session time-out, a poll too late), kept
 *                   over a rebalance. But only a member at rest times out, and
 *   the coordinator of whom the statistics tell every second. One that was out of reach for longer
 *                   than the session time-out has put us out, whatever the library was doing.
 *
 * @thread pump (init: boot)
 */
#include <stdlib.h>

#include "common/base/clock.h"

#include "fanout-worker/source_kafka_impl.h"

void source_kafka_group_init(struct source_kafka *sk)
{
    char text[24] = "";
    size_t n = sizeof(text);

    must(rd_kafka_conf_get(rd_kafka_conf(sk->rk), "session.timeout.ms", text, &n) ==
         RD_KAFKA_CONF_OK);
    sk->session_ms = strtoull(text, NULL, 10);
    sk->coordinator_ms = clock_mono_ms();
}

/* "cgrp": { "state": "up", … */
/* NOLINTNEXTLINE(readability-non-const-parameter): the library's signature */
int source_kafka_on_stats(rd_kafka_t *rk, char *json, size_t n, void *opaque)
{
    static const char key[] = "\"cgrp\": { \"state\": \"", up[] = "up\"";
    struct source_kafka *sk = opaque;
    const char *at = memmem(json, n, key, sizeof(key) - 1);

    (void)rk;
    if (!at || strncmp(at + sizeof(key) - 1, up, sizeof(up) - 1) == 0)
        sk->coordinator_ms = clock_mono_ms();
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
