/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c: see settings.h. @thread boot
 */
#include "loadgen/settings.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const struct conf_spec loadgen_specs[] = {
#define KNOB(field, type, def, min, max, unit, doc) \
    CONF_ROW(struct loadgen_conf, field, type, #field, def, min, max, NULL, unit, doc),
#include "loadgen/loadgen_conf.def"
#undef KNOB
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

static void check(const void *conf, struct buf *errors)
{
    const struct loadgen_conf *c = conf;
    if (!c->topic[0])
        buf_lit(errors, "topic: is required\n");
    if (!conf_map_get(&c->kafka, "bootstrap.servers"))
        buf_lit(errors, "kafka.bootstrap.servers: is required\n");
    for (size_t i = 0; i < c->kafka.n; i++)
        if (strchr(c->kafka.v[i].value, '\n')) /* the oracle is told line by line */
            buf_printf(errors, "kafka.%s: has a line break; use the property for a path\n",
                       c->kafka.v[i].name);
    if (c->edges.n == 0 || c->edges.n > EDGES_MAX)
        buf_printf(errors, "edges: expected 1 to %d URLs\n", EDGES_MAX);
    for (size_t i = 0; i < c->channel_names.n; i++) {
        size_t n = strlen(c->channel_names.v[i]);
        if (n == 0 || n > KEY_BYTES || strpbrk(c->channel_names.v[i], "\r\n"))
            buf_printf(errors, "channel_names: element %zu is no record key\n", i + 1);
    }
    if (strlen(c->channel_prefix) > KEY_BYTES - 10)
        buf_lit(errors, "channel_prefix: is too long\n");
    for (size_t i = 0; i < c->pids.n; i++)
        if (strtol(c->pids.v[i].value, NULL, 10) <= 0)
            buf_printf(errors, "pids.%s: expected a process id\n", c->pids.v[i].name);
}

const struct conf_program loadgen_program = {
    .name = "fanfare-loadgen",
    .summary = "load, latency and exactness of a Fanfare installation, end to end",
    .description =
        "Opens WebSocket clients on the edges, produces records to Kafka on a fixed schedule, and "
        "compares what Kafka holds with what every client got. Latency runs from the moment a "
        "record was due to the client's read, so a stall shows in full (no coordinated omission).\n"
        "The oracle, which gives the verdict, is a process of its own that reads Kafka itself, "
        "from before the first record. SIGINT and SIGTERM end the load early; the verdict is "
        "still given.",
    .examples = "fanfare-loadgen --set topic=events --set kafka.bootstrap.servers=127.0.0.1:9092\n"
                "fanfare-loadgen --config load.json --set clients=100000 --set json=out.json",
    .exit_status = "       0  a clean verdict\n"
                   "       1  records missing, duplicate, out of order or wrong, or a gap told\n"
                   "       2  the configuration is wrong; each error is one line on stderr\n"
                   "       3  the run could not be done\n",
    .specs = loadgen_specs,
    .size = sizeof(struct loadgen_conf),
    .check = check,
};

/* Splits "host[:port]" in place; port as text. */
static const char *port_of(char *host)
{
    char *colon = strrchr(host, ':');
    if (!colon)
        return "80";
    *colon = 0;
    return colon + 1;
}

int edge_url_parse(const char *url, struct edge_url *ret)
{
    if (strncmp(url, "ws://", 5) != 0)
        return -EINVAL;
    const char *host = url + 5, *slash = strchr(host, '/');
    size_t n = slash ? (size_t)(slash - host) : strlen(host);
    const char *path = slash ? slash : "/connection/websocket";
    if (n == 0 || n >= sizeof ret->host || strlen(path) >= sizeof ret->path)
        return -EINVAL;
    memcpy(ret->host, host, n);
    ret->host[n] = 0;
    (void)snprintf(ret->path, sizeof ret->path, "%s", path);
    char name[sizeof ret->host];
    memcpy(name, ret->host, n + 1);
    const char *port = port_of(name);
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(name, port, &want, &found) != 0)
        return -EHOSTUNREACH;
    memcpy(&ret->addr, found->ai_addr, sizeof ret->addr);
    freeaddrinfo(found);
    return 0;
}

static void keys_make(struct settings *st)
{
    const struct conf_strings *names = &st->conf.channel_names;
    st->channel_count = names->n ? (uint32_t)names->n : (uint32_t)st->conf.channels;
    st->keys = mem_alloc(st->channel_count * sizeof *st->keys);
    for (uint32_t i = 0; i < st->channel_count; i++) {
        char key[KEY_BYTES + 16];
        (void)snprintf(key, sizeof key, "%s%u", st->conf.channel_prefix, i);
        st->keys[i] = mem_strdup(names->n ? names->v[i] : key);
    }
}

int settings_load(struct settings *st, int argc, char **argv)
{
    memset(st, 0, sizeof *st);
    int r = conf_load(&loadgen_program, argc, argv, &st->conf);
    if (r)
        return r;
    for (size_t i = 0; i < st->conf.edges.n; i++) {
        r = edge_url_parse(st->conf.edges.v[i], &st->edges[i]);
        if (r) {
            (void)fprintf(stderr, "edges: %s: %s\n", st->conf.edges.v[i],
                          r == -EINVAL ? "expected ws://host[:port][/path]" : "unknown host");
            settings_done(st);
            return -EINVAL;
        }
    }
    st->edge_count = (uint32_t)st->conf.edges.n;
    keys_make(st);
    st->subscriptions = (uint32_t)st->conf.subscriptions;
    if (st->subscriptions > st->channel_count)
        st->subscriptions = st->channel_count;
    st->processes = st->conf.processes ? (uint32_t)st->conf.processes
                                       : (uint32_t)((st->conf.clients + 19999) / 20000);
    if (st->processes > (uint32_t)st->conf.clients)
        st->processes = (uint32_t)st->conf.clients;
    return 0;
}

void settings_done(struct settings *st)
{
    for (uint32_t i = 0; i < st->channel_count; i++)
        free(st->keys[i]);
    free(st->keys);
    conf_done(&loadgen_program, &st->conf);
    memset(st, 0, sizeof *st);
}

uint32_t settings_channel_of(const struct settings *st, uint32_t client, uint32_t j)
{
    uint32_t stride = st->channel_count / st->subscriptions;
    return (uint32_t)(((uint64_t)client + (uint64_t)j * stride) % st->channel_count);
}
