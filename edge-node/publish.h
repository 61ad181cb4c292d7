/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h: the live push of a turn: records, looked up by channel, are encoded once into a block,
 * and the block is written to each live subscriber. Owns the turn's blocks. @thread shard
 */
#pragma once

#include "edge-node/hub.h"

struct publish;

struct publish *publish_new(void);
void publish_free(struct publish *x);
/* ch, which has live subscribers, got a record in this turn. */
void publish_add(struct publish *x, struct channel *ch, const struct plog_rec *r);
/* Pushes what was added. */
void publish_all(struct hub *h);
void publish_count(struct publish *x); /* to the metrics, once a turn */
