/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_conf.h: the edge's configuration, from edge_conf.def. Immutable after boot: @thread any
 */
#pragma once

#include "common/io/coord_conf.h"
#include "common/runtime/conf.h"
#include "common/runtime/namespace.h"

struct edge_conf {
    char *listen, *redis_url, *redis_password, *admin_listen, *page_dir;
    char *redis_sentinel_user, *redis_sentinel_password, *redis_replica_url;
    char *tls_certificate, *tls_key, *token_hmac_secret, *token_rsa_public_key;
    char *node, *region, *advertise;
    int64_t shards, token_leeway, ping_interval, pong_timeout, connect_timeout, plog_bytes;
    int64_t write_max, memory_max, frame_max, channels_max, resume_rate;
    int64_t clients_max, connect_rate, drain_delay, drain_time;
    struct conf_strings origins;
    struct conf_table namespaces;
    int log_level;
    bool anonymous, io_uring, balance;
    struct coord_conf coord;
};

extern const struct conf_program edge_program;

/* The knob's value, or what stands for 0 with so many shards. */
int64_t edge_conf_connect_rate(const struct edge_conf *c, int shards);
