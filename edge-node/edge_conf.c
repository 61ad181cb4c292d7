/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_conf.c: the table behind `fanfare-edge --help`, its parser and docs/gen/fanfare-edge.md.
 * @thread boot
 */
#include "edge-node/edge_conf.h"

#include "common/base/utf8.h"
#include "common/io/coord.h"
#include "common/io/listen.h"
#include "common/io/redis.h"
#include "common/io/token.h"

#include "edge-node/edge_metric.h"
#include "edge-node/transport_tls.h"

/* A fifth of a shard's time, resuming included (docs/decisions/0014-reconnect-storms.md,
 * docs/performance.md). */
#define CONNECT_RATE     2000
#define CONNECT_RATE_TLS 500

#define KNOB(field, type, name, def, min, max, values, unit, doc) \
    CONF_ROW(struct edge_conf, field, type, name, def, min, max, values, unit, doc),
static const struct conf_spec specs[] = {
#include "edge-node/edge_conf.def"
#undef KNOB
#define KNOB(field, type, name, def, min, max, values, unit, doc) \
    CONF_ROW(struct edge_conf, coord.field, type, name, def, min, max, values, unit, doc),
#include "common/io/coord_conf.def"
    {"namespaces", CONF_TABLE, offsetof(struct edge_conf, namespaces), "", 0, 0, NULL, "",
     "Namespaces by name; \"\" is the default one. Each has its topic; see the worker, which must "
     "be given the same.",
     namespace_specs, sizeof(struct namespace_conf)},
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};
#undef KNOB

static void check_replica(const struct edge_conf *c, struct buf *errors)
{
    const char *url = c->redis_replica_url;
    char why[300];

    if (!strcmp(url, "sentinel") && strncmp(c->redis_url, "sentinel://", 11) != 0)
        buf_lit(errors, "redis_replica_url: \"sentinel\" needs a redis_url that names Sentinels\n");
    else if (url[0] && strcmp(url, "sentinel") != 0 && redis_url_check(url, why, sizeof(why)))
        buf_printf(errors, "redis_replica_url: %s\n", why);
}

static void check_addresses(const struct edge_conf *c, struct buf *errors)
{
    char why[300];

    if (redis_url_check(c->redis_url, why, sizeof(why)))
        buf_printf(errors, "redis_url: %s\n", why);
    check_replica(c, errors);
    if (listen_check(c->listen, why, sizeof(why)))
        buf_printf(errors, "listen: %s\n", why);
    if (c->admin_listen[0] && listen_check(c->admin_listen, why, sizeof(why)))
        buf_printf(errors, "admin_listen: %s\n", why);
}

static void check_cluster(const struct edge_conf *c, struct buf *errors)
{
    char why[128];

    coord_conf_check(&c->coord, errors);
    if (!utf8_is_name(slice_of(c->region)))
        buf_lit(errors, "region: expected a name\n");
    if (c->node[0] && !utf8_is_name(slice_of(c->node)))
        buf_lit(errors, "node: expected a name, or nothing\n");
    if (coord_url_check(c->advertise, why, sizeof(why)))
        buf_printf(errors, "advertise: %s\n", why);
}

static void check_token_key(const char *secret, const char *pem, struct buf *errors)
{
    struct token_keys *keys;
    char why[160];

    if (!secret[0] && !pem[0])
        return;
    keys = token_keys_new(secret, pem, why, sizeof(why));
    if (!keys)
        buf_printf(errors, "%s\n", why);
    token_keys_free(keys);
}

static void check_tls(const struct edge_conf *c, struct buf *errors)
{
    char why[512];

    if (!c->tls_certificate[0] != !c->tls_key[0])
        buf_lit(errors, "tls_key: tls_certificate and tls_key go together\n");
    else if (c->tls_key[0] && transport_tls_check(c->tls_certificate, c->tls_key, why, sizeof(why)))
        buf_printf(errors, "%s\n", why);
}

static void check(const void *arg, struct buf *errors)
{
    const struct edge_conf *c = arg;
    struct namespaces nss;

    check_addresses(c, errors);
    check_cluster(c, errors);
    check_tls(c, errors);
    check_token_key(c->token_hmac_secret, "", errors);
    check_token_key("", c->token_rsa_public_key, errors);
    if (!c->anonymous && !c->token_hmac_secret[0] && !c->token_rsa_public_key[0])
        buf_lit(errors, "anonymous: is false, so token_hmac_secret or token_rsa_public_key is "
                        "needed, else nobody can connect\n");
    if (!c->namespaces.n)
        buf_lit(errors, "namespaces: none is configured; expected for example "
                        "{\"\": {\"topic\": \"events\"}}\n");
    if (namespaces_init(&nss, &c->namespaces, errors) == 0)
        namespaces_done(&nss);
}

int64_t edge_conf_connect_rate(const struct edge_conf *c, int shards)
{
    if (c->connect_rate)
        return c->connect_rate;
    return (int64_t)(c->tls_key[0] ? CONNECT_RATE_TLS : CONNECT_RATE) * shards;
}

const struct conf_program edge_program = {
    .name = "fanfare-edge",
    .summary = "hold WebSocket clients and push them what the region's Redis Streams bring",
    .description =
        "An edge node reads the region's streams, only the partitions that somebody here listens "
        "to, and pushes each record to the clients subscribed to its channel. It keeps no state of "
        "its own: a client that reconnects to any edge with its last position gets what it "
        "missed.\n"
        "Clients speak the Centrifuge client protocol v2 in JSON at /connection/websocket; the "
        "official SDKs for JavaScript, Python and Go work unchanged.\n"
        "SIGTERM drains: clients are told to reconnect elsewhere, in waves, then the process "
        "exits. POST /admin/drain on the admin listener does the same without an end, DELETE takes "
        "it back.\n"
        "`fanfare-edge health` asks the edge that runs with the same configuration, by its admin "
        "listener, whether it is ready (`health live`: whether it is alive), prints the answer and "
        "exits with 0 or 1. `fanfare-edge cluster` prints the cluster as a running edge sees it.",
    .examples =
        "fanfare-edge --set namespaces.quakes.topic=quakes --set listen=:8000\n"
        "fanfare-edge --config /etc/fanfare/edge.json\n"
        "FANFARE_REDIS_URL=redis://redis:6379 fanfare-edge --config edge.json --check-config\n"
        "fanfare-edge cluster --help",
    .specs = specs,
    .size = sizeof(struct edge_conf),
    .check = check,
    .metrics = edge_metric_specs,
};
