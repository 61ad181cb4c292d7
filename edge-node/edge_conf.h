/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_conf.h: the edge's configuration, from edge_conf.def. Immutable after boot: @thread any
 */
#pragma once

#include "common/runtime/conf.h"
#include "common/runtime/namespace.h"

struct edge_conf {
    char *listen, *redis_url, *redis_password, *admin_listen, *page_dir;
    char *tls_certificate, *tls_key, *token_hmac_secret, *token_rsa_public_key, *node;
    int64_t shards, token_leeway, ping_interval, pong_timeout, connect_timeout, plog_bytes;
    int64_t write_max, memory_max, frame_max, channels_max, resume_rate, drain_time;
    struct conf_strings origins;
    struct conf_table namespaces;
    int log_level;
    bool anonymous, io_uring;
};

extern const struct conf_program edge_program;
