/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_lws.c: see shard_lws.h. A context's table is as long as the process' limit of open files
 * when it is made.
 *
 * libwebsockets is used as measured on 4.1.6: a foreign libev loop, connections accepted by us and
 * adopted, a zeroed retry policy (its timers are a sorted list), fd_limit_per_thread 0, and quiet
 * logs (its libev glue prints per toggle).
 */
#include "edge-node/shard_lws.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/edge_conf.h"
#include "edge-node/shard.h"
#include "edge-node/transport_ws.h"

#define ROOM      1024 /* descriptors that a context must have to give */
#define TABLE_MIN 2048 /* to look through one that is shorter costs next to nothing */

struct shard_lws {
    struct {
        uint64_t limit; /* its descriptors are below */
        struct lws_context *lws;
        struct lws_vhost *vhost;
    } v[SHARD_LWS_TABLES];
    size_t n;
};

static void on_lws_log(int level, const char *line)
{
    size_t n = strlen(line);

    while (n && (line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    if (level & LLL_ERR)
        log_warn("libwebsockets", " text=%s", log_value((struct slice){line, n}));
}

static struct lws_http_mount page_mount;

static const struct lws_http_mount *mount_page(const struct edge_conf *c)
{
    static const struct lws_http_mount connect = {.mountpoint = "/connect",
                                                  .mountpoint_len = 8,
                                                  .origin_protocol = LWSMPRO_CALLBACK,
                                                  .protocol = "fanfare"};
    static const struct lws_http_mount health = {.mount_next = &connect,
                                                 .mountpoint = "/health",
                                                 .mountpoint_len = 7,
                                                 .origin_protocol = LWSMPRO_CALLBACK,
                                                 .protocol = "fanfare"};

    if (!c->page_dir[0])
        return NULL;
    page_mount = (struct lws_http_mount){
        .mount_next = &health,
        .mountpoint = "/",
        .mountpoint_len = 1,
        .origin = c->page_dir,
        .def = "index.html",
        .origin_protocol = LWSMPRO_FILE,
    };
    return &page_mount;
}

/* A context and its vhost; the caller owns *ret_lws also if there is no vhost. */
static int make_one(struct shard *sh, struct lws_context **ret_lws, struct lws_vhost **ret_vhost,
                    char *why, size_t why_size)
{
    static const lws_retry_bo_t no_timers;
    const struct edge_conf *c = sh->conf;
    void *loops[1] = {sh->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = transport_ws_protocols(),
        .user = sh,
        .foreign_loops = loops,
        .retry_and_idle_policy = &no_timers,
        .mounts = mount_page(c),
        .vhost_name = "fanfare",
        .alpn = "http/1.1",
        .gid = (__typeof__(info.gid))-1, /* an int up to 4.1 */
        .uid = (__typeof__(info.uid))-1,
        .timeout_secs = 10,
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
    };

    if (c->tls_certificate[0]) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = c->tls_certificate;
        info.ssl_private_key_filepath = c->tls_key;
    }
    *ret_lws = lws_create_context(&info);
    if (!*ret_lws) {
        snprintf(why, why_size,
                 "libwebsockets can't start; is its libev plugin "
                 "(libwebsockets-evlib-ev) installed?");
        return -1;
    }
    *ret_vhost = lws_create_vhost(*ret_lws, &info);
    if (!*ret_vhost) {
        snprintf(why, why_size,
                 "tls_certificate %s or tls_key %s can't be used; check that both can be "
                 "read, are PEM and belong together",
                 c->tls_certificate, c->tls_key);
        return -1;
    }
    return 0;
}

static uint64_t next_fd(const struct shard *sh)
{
    int fd = dup(sh->listen_fd);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? 0 : (uint64_t)fd;
}

size_t shard_lws_tables(uint64_t most, uint64_t ret[SHARD_LWS_TABLES])
{
    size_t n = 1;

    while (n < SHARD_LWS_TABLES && most >> 2 * n >= TABLE_MIN)
        n++;
    for (size_t i = 0; i < n; i++)
        ret[i] = most >> 2 * (n - 1 - i);
    return n;
}

int shard_lws_init(struct shard *sh, struct shard_lws **ret, char *why, size_t why_size)
{
    struct shard_lws *l = mem_zalloc(sizeof(*l));
    uint64_t most = proc_fd_limit(), limits[SHARD_LWS_TABLES], used = next_fd(sh);
    size_t n = shard_lws_tables(most, limits);
    int rc = 0;

    lws_set_log_level(LLL_ERR, on_lws_log);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i + 1 < n && limits[i] < used + ROOM) /* with very many shards */
            continue;
        proc_set_fd_limit(limits[i]);
        l->v[l->n].limit = limits[i];
        rc = make_one(sh, &l->v[l->n].lws, &l->v[l->n].vhost, why, why_size);
        l->n += l->v[l->n].lws != NULL;
    }
    proc_set_fd_limit(most);
    if (rc) {
        shard_lws_done(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void shard_lws_done(struct shard_lws *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        lws_context_destroy(l->v[i].lws);
    free(l);
}

bool shard_lws_take_fd(struct shard_lws *l, int fd)
{
    size_t i = 0;

    while (i + 1 < l->n && (uint64_t)fd >= l->v[i].limit)
        i++;
    return lws_adopt_socket_vhost(l->v[i].vhost, fd) != NULL;
}

void shard_lws_look(struct shard_lws *l)
{
    for (size_t i = 0; i < l->n; i++)
        lws_cancel_service(l->v[i].lws); /* an event: after one it looks at its deadlines */
}
