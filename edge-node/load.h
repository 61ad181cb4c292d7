/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h: what this edge tells the cluster of itself. @thread main
 */
#pragma once

#include "common/io/coord.h"

struct edge_conf;

struct load {
    uint64_t at_ms, cpu_ns; /* when the CPU was looked at last, and what was used until then */
    int64_t cpu_permille;   /* of the two seconds before */
};

/* All but ready and draining. */
void load_get(struct load *l, const struct edge_conf *conf, int shards, struct coord_load *ret);
