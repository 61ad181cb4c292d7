/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h: the Kafka topic that holds the identity of every log (DESIGN: identity).
 *
 * Reads it to its end before it writes anything; registers n+1 only while n is the newest it knows;
 * reads its own record back; the first record of (topic, n) wins, also against itself. Calls block
 * (bounded). Owns one reader, the table of logs, and a producer while it writes.
 * @thread boot, then history
 */
#pragma once

#include "fanout-worker/logs.h"

struct worker_conf;
struct registry;

/* Checks or makes the topic and reads it to its end. NULL with why filled. */
struct registry *registry_open(const struct worker_conf *conf, char *why, size_t why_size);
void registry_close(struct registry *reg);
const struct logs *registry_logs(const struct registry *reg);
/* Takes what others have registered meanwhile; returns how many were new. Doesn't wait. */
size_t registry_poll(struct registry *reg);
/* Makes want->n the newest of want->topic, unless it (or a later one) is known by then;
 * want->log is our proposal. *ret: what counts. 0; -EIO with why filled. */
int registry_register(struct registry *reg, const struct log_record *want, struct log_record *ret,
                      char *why, size_t why_size) _must_check_;
