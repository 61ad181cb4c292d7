/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h: a channel's place, `<topic>-<partition>`: clients of one place are best connected to one
 * edge, since few edges read the partition then (docs/protocol.md#placement). A client names its
 * channel in the URL; the connect reply says the place, which it gives a balancer with its next
 * connect. Or it asks an edge where to connect (connect.h).
 *
 * A hint: a channel that can't be placed costs the client nothing but the hint, and no connect ever
 * waits for it. @thread shard
 */
#pragma once

#include "edge-node/session.h"

#define PLACE_MAX (TOPIC_MAX + 16)

struct place {
    char name[PLACE_MAX];
    int32_t partitions; /* of the topic */
};

/* 0; -EINVAL: no channel; -EAGAIN: its topic isn't known (yet), or keys have no place in it.
 * @thread any */
int place_of(const struct namespaces *nss, const struct feed *feed, struct slice channel,
             struct place *ret) _must_check_;
/* A client asked for that. @thread any */
void place_count(int rc);

/* channel: what the URL names; empty: nothing. */
void place_ask(struct session *s, struct slice channel);
/* Appends the reply's `data`, a JSON object, or nothing. What was asked is answered then. */
void place_tell(struct session *s, struct buf *out);
