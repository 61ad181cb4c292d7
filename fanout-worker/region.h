/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.h: the region's Redis as a worker must have it: a master (its connections see to that),
 * which evicts nothing. Boot, pump and deep history all go by this. No state. @thread any
 */
#pragma once

#include "common/io/redis.h"

struct worker_conf;

/* How a worker connects; url: STORE_HOME, or one of redis_shards; name is the connection's. */
struct redis_opts region_redis(const struct worker_conf *conf, const char *url, const char *name);
/* Does INFO memory say that keys, thus streams, may be evicted? A server that doesn't let itself be
 * asked is believed. */
bool region_evicts(const struct redis_reply *info);
