/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.h: who is this client, and may it have this channel? Tokens are checked by
 * common/io/token.h; what they grant is kept here. @thread shard
 */
#pragma once

#include "common/base/base.h"

struct edge_conf;
struct namespace;
struct token_keys;

/* Kept after a token's lifetime, so that an SDK that refreshes at the very end is in time. */
#define AUTH_GRACE_MS 25000

struct user {
    char *id;
    int64_t exp_s;   /* 0: does not expire */
    char **channels; /* subscribed by the server */
    size_t channel_count;
    char **allow; /* a trailing '*' is a prefix */
    size_t allow_count;
};

/* A connection token. 0 with a new *ret (user_free); or an error code of proto.h (> 0):
 * ERROR_TOKEN_EXPIRED; a disconnect code (>= 3000): DISCONNECT_INVALID_TOKEN. */
int auth_connect(const struct edge_conf *conf, const struct token_keys *keys, struct slice token,
                 struct user **ret) _must_check_;
void user_free(struct user *u);

/* May u (NULL: anonymous) subscribe? Without a token of its own for the channel. */
bool auth_may(const struct user *u, const struct namespace *ns, struct slice channel);

/* A subscription token: for this user and channel. 0 with *ret_exp_s (0: never), or
 * ERROR_PERMISSION_DENIED, ERROR_TOKEN_EXPIRED. */
int auth_subscribe(const struct edge_conf *conf, const struct token_keys *keys,
                   const struct user *u, struct slice channel, struct slice token,
                   int64_t *ret_exp_s) _must_check_;

/* Seconds until exp_s, at least 1; -1 if it is 0 (never). */
int64_t auth_ttl(int64_t exp_s);
