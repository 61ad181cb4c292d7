/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_policy.h: which topics Kafka compacts (cleanup.policy), by its admin API. A question is
 * one request for all topics; nothing here blocks but policy_take() with a time.
 *
 * What can't be learnt (no right to DescribeConfigs, an old broker) is taken for "not compacted",
 * and said once a topic. @thread boot, then history
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "common/base/base.h"

struct namespaces;
struct policies;

struct policies *policy_new(rd_kafka_t *rk, const struct namespaces *nss);
void policy_free(struct policies *po); /* NULL is allowed */
/* Asks; what is known stays until the answer is taken. */
void policy_ask(struct policies *po);
/* Takes the answer if it comes within ms. */
void policy_take(struct policies *po, int ms);
/* As last known: does Kafka compact the topic of this namespace? */
bool policy_compacted(const struct policies *po, uint32_t ns);
/* It does, and the namespace promises more than the latest record. */
bool policy_refuse(const struct policies *po, uint32_t ns);
