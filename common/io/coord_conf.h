/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_conf.h: the knobs of coord_conf.def, a part of each program's configuration.
 *
 * A program's table includes coord_conf.def with its own KNOB, for the member that holds this
 * struct. Immutable after boot: @thread any
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/runtime/conf.h"

enum coordination {
    COORDINATION_NONE,
    COORDINATION_CONSUL,
    COORDINATION_KUBERNETES
};

struct coord_conf {
    int coordination; /* enum coordination */
    char *consul_url, *consul_token, *consul_ca, *consul_cert, *consul_key, *consul_namespace;
    struct conf_strings consul_datacenters;
    char *kubernetes_url, *kubernetes_service, *kubernetes_account;
};

/* Appends what is wrong to errors, a line each: for a program's own check. */
void coord_conf_check(const struct coord_conf *c, struct buf *errors);
/* The API server's URL and this pod's namespace, both NUL-terminated; appends what is wrong to
 * errors. */
void coord_conf_kubernetes(const struct coord_conf *c, struct buf *url, struct buf *space,
                           struct buf *errors);
