/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c: see load.h.
 */
#include "edge-node/load.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/runtime/proc.h"

#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"

#define CPU_MS 2000

static uint64_t cpu_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Of the CPUs that it may use: never more than it has shards. */
static void look_at_cpu(struct load *l, int shards)
{
    uint64_t now = clock_mono_ms(), used = cpu_ns(), passed = now - l->at_ms;
    int cpus = proc_cpus() < shards ? proc_cpus() : shards;

    if (l->at_ms && passed < CPU_MS)
        return;
    if (l->at_ms)
        l->cpu_permille = (int64_t)((used - l->cpu_ns) / 1000 / passed / (uint64_t)cpus);
    if (l->cpu_permille > 1000)
        l->cpu_permille = 1000;
    l->at_ms = now;
    l->cpu_ns = used;
}

void load_get(struct load *l, const struct edge_conf *conf, int shards, struct coord_load *ret)
{
    look_at_cpu(l, shards);
    *ret = (struct coord_load){
        .clients = metric_read(&edge_metrics.connections),
        .room = conf->clients_max,
        .connect_rate = edge_conf_connect_rate(conf, shards),
        .partitions = metric_read(&edge_metrics.plogs),
        .cpu_permille = l->cpu_permille,
        .lag_ms = metric_read(&edge_metrics.beacon_age),
    };
}
