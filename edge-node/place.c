/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.c: see place.h. The name is kept as text between upgrade and connect: how many partitions
 * the topic has may be known only then.
 */
#include "edge-node/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/keys.h"

#include "edge-node/edge_metric.h"

/* "topic-17" is Kafka's own name for a partition, and a topic's characters need no escapes in URLs:
 * so a place has one spelling, whoever writes it. */
int place_of(const struct namespaces *nss, const struct feed *feed, struct slice channel,
             struct place *ret)
{
    const struct namespace *ns;
    struct slice key;
    int32_t n;

    if (namespaces_of_channel(nss, channel, &ns, &key) != 0)
        return -EINVAL;
    n = feed_partitions(feed, ns->index);
    if (!n)
        return -EAGAIN;
    ret->partitions = n;
    (void)snprintf(ret->name, sizeof(ret->name), "%s-%d", ns->topic,
                   (int)partitioner_of((enum partitioner)ns->conf->partitioner, key, n));
    return 0;
}

void place_count(int rc)
{
    if (rc == 0)
        METRIC_ADD(places_told, 1);
    else if (rc == -EAGAIN)
        METRIC_ADD(places_unknown, 1);
    else
        METRIC_ADD(places_bad, 1);
}

void place_ask(struct session *s, struct slice channel)
{
    const struct namespace *ns;
    struct slice key;

    if (!channel.n)
        return;
    if (namespaces_of_channel(s->h->nss, channel, &ns, &key) == 0)
        s->named = mem_strndup(channel.p, channel.n);
    else
        place_count(-EINVAL);
}

void place_tell(struct session *s, struct buf *out)
{
    struct place place;
    int rc;

    if (!s->named)
        return;
    rc = place_of(s->h->nss, s->h->feed, slice_of(s->named), &place);
    place_count(rc);
    if (rc == 0) {
        buf_lit(out, "{\"place\":");
        buf_json_string(out, slice_of(place.name));
        buf_printf(out, ",\"partitions\":%d}", (int)place.partitions);
    }
    free(s->named);
    s->named = NULL;
}
