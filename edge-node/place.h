/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h: where a client is best connected. It names its channel in the URL; the connect reply
 * then says that channel's place, `<topic>-<partition>`, which it gives a balancer with its next
 * connect, so that a partition's clients come together and few edges read it
 * (docs/protocol.md#placement).
 *
 * A hint: a channel that can't be placed costs the client nothing but the hint, and no connect ever
 * waits for it. @thread shard
 */
#pragma once

#include "edge-node/session.h"

/* channel: what the URL names; empty: nothing. */
void place_ask(struct session *s, struct slice channel);
/* Appends the reply's `data`, a JSON object, or nothing. What was asked is answered then. */
void place_tell(struct session *s, struct buf *out);
