/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h: the history command: a page of one channel's past, forward or in reverse.
 *
 * Bounded: at most HISTORY_REQUESTS_MAX under way a session, HISTORY_BUDGET records looked at (over
 * it: error 111), write_max bytes in the reply (a client pages on with `since`). @thread shard
 */
#pragma once

#include "edge-node/session.h"

#define HISTORY_REQUESTS_MAX 8
#define HISTORY_BUDGET       50000

/* Takes the reference on ch that hub_channel() gave. */
void history_new(struct session *s, struct channel *ch, const struct command *cmd);
void history_drop_all(struct session *s);
/* p's log was superseded: no answer comes from it, and its channel is free for the new one. */
void history_log_ends(struct session *s, const struct plog *p);
