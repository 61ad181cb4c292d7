/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h: loadgen's configuration (loadgen_conf.def) and what follows from it: names of
 * channels, who subscribes to what, addresses. Immutable after settings_load(): @thread any
 */
#pragma once

#include <netinet/in.h>

#include "common/base/base.h"
#include "common/runtime/conf.h"

#define EDGES_MAX           16
#define KEY_BYTES           255

#define CTYPE_CONF_BOOL     bool
#define CTYPE_CONF_INT      int64_t
#define CTYPE_CONF_SIZE     int64_t
#define CTYPE_CONF_DURATION int64_t
#define CTYPE_CONF_STRING   char *
#define CTYPE_CONF_SECRET   char *
#define CTYPE_CONF_STRINGS  struct conf_strings
#define CTYPE_CONF_MAP      struct conf_map

struct loadgen_conf {
#define KNOB(field, type, def, min, max, unit, doc) CTYPE_##type field;
#include "loadgen/loadgen_conf.def"
#undef KNOB
};

extern const struct conf_program loadgen_program;

struct edge_url {
    struct sockaddr_in addr;
    char host[256]; /* with the port, for the Host header */
    char path[256];
};

struct settings {
    struct loadgen_conf conf;
    struct edge_url edges[EDGES_MAX];
    uint32_t edge_count;
    char **keys; /* record keys of the channels */
    uint32_t channel_count;
    uint32_t subscriptions; /* of one client, <= channel_count */
    uint32_t processes;
};

/* As conf_load(): 0 go on, 1 done, -EINVAL. */
int settings_load(struct settings *st, int argc, char **argv) _must_check_;
void settings_done(struct settings *st);
/* ws://host[:port][/path]; 0, -EINVAL (no such URL) or -EHOSTUNREACH (unknown host). */
int edge_url_parse(const char *url, struct edge_url *ret) _must_check_;
/* Number of the j-th channel of a client: distinct for j < subscriptions. */
uint32_t settings_channel_of(const struct settings *st, uint32_t client, uint32_t j);
