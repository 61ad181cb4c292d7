/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.c: see place.h. The name is kept as text between upgrade and connect: how many partitions
 * the topic has may be known only then.
 */
#include "edge-node/place.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/keys.h"

#include "edge-node/edge_metric.h"

void place_ask(struct session *s, struct slice channel)
{
    const struct namespace *ns;
    struct slice key;

    if (!channel.n)
        return;
    if (namespaces_of_channel(s->h->nss, channel, &ns, &key) == 0)
        s->named = mem_strndup(channel.p, channel.n);
    else
        METRIC_ADD(places_bad, 1);
}

/* "topic-17" is Kafka's own name for a partition, and a topic's characters need no escapes in URLs:
 * so a place has one spelling, whoever writes it. */
static void tell(const struct namespace *ns, int32_t partition, int32_t partitions, struct buf *out)
{
    char place[TOPIC_MAX + 16];

    (void)snprintf(place, sizeof(place), "%s-%d", ns->topic, (int)partition);
    buf_lit(out, "{\"place\":");
    buf_json_string(out, slice_of(place));
    buf_printf(out, ",\"partitions\":%d}", (int)partitions);
}

void place_tell(struct session *s, struct buf *out)
{
    const struct namespace *ns;
    struct slice key;
    int32_t partitions = 0;

    if (!s->named)
        return;
    if (namespaces_of_channel(s->h->nss, slice_of(s->named), &ns, &key) == 0)
        partitions = feed_partitions(s->h->feed, ns->index);
    if (partitions) {
        METRIC_ADD(places_told, 1);
        tell(ns, partitioner_of((enum partitioner)ns->conf->partitioner, key, partitions),
             partitions, out);
    } else {
        METRIC_ADD(places_unknown, 1);
    }
    free(s->named);
    s->named = NULL;
}
