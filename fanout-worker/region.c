/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.c: see region.h. @thread any
 */
#include "fanout-worker/region.h"

#include "common/base/stores.h"

#include "fanout-worker/worker_conf.h"

#define CONNECT_MS 2000
#define REPLY_MS   5000

struct redis_opts region_redis(const struct worker_conf *conf, const char *url, const char *name)
{
    return (struct redis_opts){
        .url = strcmp(url, STORE_HOME) == 0 ? conf->redis_url : url,
        .password = conf->redis_password,
        .sentinel_user = conf->redis_sentinel_user,
        .sentinel_password = conf->redis_sentinel_password,
        .role = REDIS_MASTER,
        .connect_ms = CONNECT_MS,
        .reply_ms = REPLY_MS,
        .name = name,
    };
}

bool region_evicts(const struct redis_reply *info)
{
    static const char good[] = "maxmemory_policy:noeviction";
    struct slice s = redis_str(info);

    return redis_type(info) == REDIS_T_STRING && !memmem(s.p, s.n, good, sizeof(good) - 1);
}
