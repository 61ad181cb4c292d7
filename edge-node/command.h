/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h: what a client's commands do: connect, subscribe, unsubscribe, history, refresh, ping.
 * Answers are appended to the session's output in the order in which they are known. @thread shard
 */
#pragma once

#include "edge-node/session.h"

/* Runs the commands of one message. */
void command_run(struct session *s, struct slice text);
/* Keeps a message until the connect reply is out. */
void command_keep(struct session *s, struct slice text);
