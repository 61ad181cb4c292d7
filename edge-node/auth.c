/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c: see auth.h. @thread shard
 */
#include "edge-node/auth.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/io/token.h"

#include "edge-node/edge_conf.h"
#include "edge-node/proto.h"

static char **take_list(char ***list, size_t *n)
{
    char **v = *list;

    *list = NULL;
    *n = 0;
    return v;
}

int auth_connect(const struct edge_conf *conf, const struct token_keys *keys, struct slice token,
                 struct user **ret)
{
    struct token t;
    struct user *u;
    int rc;

    if (!keys)
        return DISCONNECT_INVALID_TOKEN;
    rc = token_check(keys, token, conf->token_leeway / 1000, &t);
    if (rc == -ETIME)
        return ERROR_TOKEN_EXPIRED;
    if (rc)
        return DISCONNECT_INVALID_TOKEN;
    if (t.channel[0]) { /* a subscription token opens no connection */
        token_done(&t);
        return DISCONNECT_INVALID_TOKEN;
    }
    u = mem_zalloc(sizeof(*u));
    u->id = t.sub;
    t.sub = NULL;
    u->exp_s = t.exp;
    u->channel_count = t.channel_count;
    u->channels = take_list(&t.channels, &t.channel_count);
    u->allow_count = t.allow_count;
    u->allow = take_list(&t.allow, &t.allow_count);
    token_done(&t);
    *ret = u;
    return 0;
}

static void list_free(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

void user_free(struct user *u)
{
    if (!u)
        return;
    list_free(u->channels, u->channel_count);
    list_free(u->allow, u->allow_count);
    free(u->id);
    free(u);
}

static bool matches(const char *pattern, struct slice channel)
{
    size_t n = strlen(pattern);

    if (n && pattern[n - 1] == '*')
        return channel.n >= n - 1 && memcmp(pattern, channel.p, n - 1) == 0;
    return n == channel.n && memcmp(pattern, channel.p, n) == 0;
}

bool auth_may(const struct user *u, const struct namespace *ns, struct slice channel)
{
    if (ns->conf->anonymous)
        return true;
    for (size_t i = 0; u && i < u->channel_count; i++)
        if (slice_eq(slice_of(u->channels[i]), channel))
            return true;
    for (size_t i = 0; u && i < u->allow_count; i++)
        if (matches(u->allow[i], channel))
            return true;
    return false;
}

int auth_subscribe(const struct edge_conf *conf, const struct token_keys *keys,
                   const struct user *u, struct slice channel, struct slice token,
                   int64_t *ret_exp_s)
{
    struct token t;
    bool ok;
    int rc;

    if (!keys)
        return ERROR_PERMISSION_DENIED;
    rc = token_check(keys, token, conf->token_leeway / 1000, &t);
    if (rc)
        return rc == -ETIME ? ERROR_TOKEN_EXPIRED : ERROR_PERMISSION_DENIED;
    ok = slice_eq(slice_of(t.channel), channel) && !strcmp(t.sub, u ? u->id : "");
    *ret_exp_s = t.exp;
    token_done(&t);
    return ok ? 0 : ERROR_PERMISSION_DENIED;
}

int64_t auth_ttl(int64_t exp_s)
{
    int64_t left = exp_s - clock_wall_ms() / 1000;

    if (!exp_s)
        return -1;
    return left < 1 ? 1 : left;
}
