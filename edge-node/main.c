/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: boot, signals and the admin listener of fanfare-edge.
 *
 * Boot checks what it needs and says in one line what is wrong (event=boot_failed). Redis may be
 * away for a while later; at start-up it must answer, so that a wrong address is seen at once.
 * @thread main
 */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/io/admin.h"
#include "common/io/admin_ask.h"
#include "common/io/coord.h"
#include "common/io/redis.h"
#include "common/io/token.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/cluster.h"
#include "edge-node/cluster_cli.h"
#include "edge-node/cluster_print.h"
#include "edge-node/drain_lock.h"
#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/feed.h"
#include "edge-node/listener.h"
#include "edge-node/load.h"
#include "edge-node/moves.h"
#include "edge-node/session_ws.h"
#include "edge-node/shard.h"
#include "edge-node/turns.h"

#define LOOK_S    0.1 /* for changes of the view; with … */
#define TELL_EACH 5   /* … each of so many, this edge's load is told */

struct edge {
    struct edge_conf conf;
    struct namespaces nss;
    struct token_keys *keys;
    struct turns *turns;
    struct feed *feed;
    struct feed_shard *inboxes;
    struct shard *shards;
    int shard_count;
    struct admin *admin;
    struct coord *coord;
    struct ev_loop *loop;
    struct ev_signal term, intr;
    struct cluster *cluster;
    struct load load;
    struct ev_timer look;
    unsigned looks;
    struct moves moves;
    char node[128];
};

/* Half a boot is not taken apart: the system does that. */
static _Noreturn void fail(const char *why)
{
    log_error("boot_failed", " why=%s", log_value(slice_of(why)));
    _exit(1);
}

/* ---- admin ---- */

static void on_metrics(struct admin_response *res, void *arg)
{
    (void)arg;
    res->content_type = "text/plain; version=0.0.4";
    metric_print(&res->body, edge_metric_specs, &edge_metrics);
}

static void on_live(struct admin_response *res, void *arg)
{
    (void)arg;
    buf_lit(&res->body, "ok\n");
}

static void on_ready(struct admin_response *res, void *arg)
{
    struct edge *e = arg;
    char why[256] = "draining";

    if (e->moves.state >= MOVES_LEAVING || !feed_is_ready(e->feed, why, sizeof(why)))
        res->status = 503;
    buf_str(&res->body, why);
    buf_byte(&res->body, '\n');
}

/* ---- coordination ---- */

static void see_cluster(struct edge *e)
{
    const struct coord_view *v = coord_view_ref(e->coord);

    cluster_see(e->cluster, v, clock_mono_ms());
    coord_view_unref(v);
}

static void tell_load(struct edge *e)
{
    struct coord_load load;
    char why[256];

    load_get(&e->load, &e->conf, e->shard_count, &load);
    load.ready = feed_is_ready(e->feed, why, sizeof(why));
    load.draining = e->moves.state >= MOVES_LEAVING;
    coord_tell(e->coord, &load);
    see_cluster(e);
}

static void on_look(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct edge *e = container_of(w, struct edge, look);

    (void)loop, (void)events;
    if (e->looks++ % TELL_EACH == 0)
        tell_load(e);
    else
        see_cluster(e);
}

static void start_coord(struct edge *e, int port)
{
    size_t host_n = (size_t)(strrchr(e->conf.listen, ':') - e->conf.listen);
    _cleanup_free_ char *host = mem_strndup(e->conf.listen, host_n);
    char url[COORD_ADDRESS_MAX], admin[ADMIN_ADDRESS_MAX];

    coord_url(url, e->conf.advertise, host, port, e->conf.tls_key[0]);
    admin_address(e->admin, admin);
    e->coord = coord_start(&(struct coord_opts){.conf = &e->conf.coord,
                                                .metrics = &edge_metrics.coord,
                                                .self = {.role = COORD_EDGE,
                                                         .node = e->node,
                                                         .region = e->conf.region,
                                                         .url = url,
                                                         .admin = admin,
                                                         .redis = e->conf.redis_url}});
    tell_load(e);
    ev_timer_init(&e->look, on_look, LOOK_S, LOOK_S);
    ev_timer_start(e->loop, &e->look);
}

static void on_cluster(struct admin_response *res, void *arg)
{
    struct edge *e = arg;
    const struct coord_view *v = coord_view_ref(e->coord);

    cluster_see(e->cluster, v, clock_mono_ms()); /* who reads it here may go by it at once */
    if (res->wants_text) {
        cluster_print_table(&res->body, v, clock_mono_ms());
        if (e->conf.coord.coordination == COORDINATION_NONE)
            buf_lit(&res->body, "coordination is off: this edge knows itself only\n");
    } else {
        res->content_type = "application/json";
        cluster_print_json(&res->body, v, clock_mono_ms());
    }
    coord_view_unref(v);
}

/* ---- draining and stopping ---- */

static void on_leave(void *arg)
{
    tell_load(arg);
}

static void on_drain(struct admin_response *res, void *arg)
{
    struct edge *e = arg;

    moves_drain(&e->moves, false);
    buf_lit(&res->body, "draining; DELETE takes it back\n");
}

static void on_undrain(struct admin_response *res, void *arg)
{
    struct edge *e = arg;

    if (moves_undrain(&e->moves)) {
        tell_load(e);
        buf_lit(&res->body, "taking clients\n");
        return;
    }
    res->status = 409;
    buf_lit(&res->body, "it was asked to end (SIGTERM)\n");
}

static void on_end(void *arg)
{
    struct edge *e = arg;

    ev_break(e->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, struct ev_signal *w, int events)
{
    struct edge *e = w->data;

    (void)loop, (void)events;
    log_info("asked_to_end", " signal=%d", w->signum);
    if (e->moves.ends) /* a second one: at once */
        on_end(e);
    else
        moves_drain(&e->moves, true);
}

/* ---- boot ---- */

static int check_redis(const struct edge_conf *c, char *why, size_t why_size)
{
    const struct redis_opts opts = feed_redis(c, "fanfare-edge-boot");
    char text[400] = "", where[REDIS_WHERE_MAX];
    struct redis_sync *s = redis_sync_open(&opts, text, sizeof(text));
    const struct redis_reply *r;
    int rc = 0;

    redis_url_where(c->redis_url, where);
    if (!s) {
        snprintf(why, why_size, "no Redis at %s (%s); start it, or set redis_url", where, text);
        return -1;
    }
    r = redis_sync_cmd(s, 1, (struct slice[]){SLICE("PING")});
    if (!r || redis_type(r) == REDIS_T_ERROR) {
        struct slice said = r ? redis_str(r) : slice_of(redis_sync_why(s));
        snprintf(why, why_size, "Redis at %s: %.*s", where, (int)said.n, said.p);
        rc = -1;
    }
    redis_sync_close(s);
    return rc;
}

static int make_keys(struct edge *e, char *why, size_t why_size)
{
    if (!e->conf.token_hmac_secret[0] && !e->conf.token_rsa_public_key[0])
        return 0;
    e->keys =
        token_keys_new(e->conf.token_hmac_secret, e->conf.token_rsa_public_key, why, why_size);
    return e->keys ? 0 : -1;
}

static int make_shards(struct edge *e, int *ret_port, char *why, size_t why_size)
{
    int n = e->shard_count;
    int fds[SHARDS_MAX];
    int rc = listener_open(e->conf.listen, fds, n, ret_port, why, why_size);

    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        struct shard *sh = &e->shards[i];
        sh->conf = &e->conf;
        sh->app = &session_ws;
        sh->feed = e->feed;
        sh->cluster = e->cluster;
        sh->inbox = &e->inboxes[i];
        hub_init(&sh->hub, &e->conf, &e->nss, e->feed, e->turns);
        sh->hub.keys = e->keys;
        sh->hub.node = e->node;
        sh->hub.inbox = &e->inboxes[i];
        rc = shard_init(sh, i, fds[i], why, why_size);
        if (rc)
            return rc;
    }
    return 0;
}

static int make_admin(struct edge *e, char *why, size_t why_size)
{
    static struct admin_route routes[] = {{"/metrics", on_metrics, NULL},
                                          {"/health/live", on_live, NULL},
                                          {"/health/ready", on_ready, NULL},
                                          {"/cluster", on_cluster, NULL},
                                          {"POST /admin/drain", on_drain, NULL},
                                          {"DELETE /admin/drain", on_undrain, NULL},
                                          {NULL, NULL, NULL}};

    for (struct admin_route *r = routes; r->path; r++)
        r->arg = e;
    if (!e->conf.admin_listen[0])
        return 0;
    e->admin = admin_new(e->loop, e->conf.admin_listen, routes, why, why_size);
    return e->admin ? 0 : -1;
}

static void catch_signals(struct edge *e)
{
    signal(SIGPIPE, SIG_IGN);
    ev_signal_init(&e->term, on_signal, SIGTERM);
    ev_signal_init(&e->intr, on_signal, SIGINT);
    e->term.data = e->intr.data = e;
    ev_signal_start(e->loop, &e->term);
    ev_signal_start(e->loop, &e->intr);
}

static int boot(struct edge *e, char *why, size_t why_size)
{
    struct buf errors = BUF_INIT;
    char admin[ADMIN_ADDRESS_MAX];
    int port = 0;

    proc_raise_fd_limit();
    hash_seed();
    proc_node_name(e->node, sizeof(e->node), e->conf.node);
    must(namespaces_init(&e->nss, &e->conf.namespaces, &errors) == 0); /* checked by conf_load */
    e->loop = ev_default_loop(0);
    catch_signals(e);
    if (check_redis(&e->conf, why, why_size) || make_keys(e, why, why_size))
        return -1;
    e->shard_count = e->conf.shards ? (int)e->conf.shards : proc_cpus();
    e->inboxes = mem_zalloc(sizeof(*e->inboxes) * (size_t)e->shard_count);
    e->shards = mem_zalloc(sizeof(*e->shards) * (size_t)e->shard_count);
    e->turns = turns_new(e->shard_count);
    e->feed = feed_new(&e->conf, &e->nss, e->turns, e->inboxes, e->shard_count);
    e->cluster = cluster_new();
    e->moves = (struct moves){.conf = &e->conf,
                              .cluster = e->cluster,
                              .shards = e->shards,
                              .shard_count = e->shard_count,
                              .on_leave = on_leave,
                              .on_end = on_end,
                              .arg = e};
    if (make_admin(e, why, why_size) || make_shards(e, &port, why, why_size))
        return -1;
    feed_start(e->feed, e->shard_count == 1 ? e->shards[0].loop : NULL);
    for (int i = 0; i < e->shard_count; i++)
        shard_start(&e->shards[i]);
    start_coord(e, port);
    e->moves.lock = drain_lock_new(e->coord, e->conf.region);
    moves_start(&e->moves, e->loop);
    admin_address(e->admin, admin);
    log_info("ready", " node=%s shards=%d listen=%.*s:%d admin=%s", log_value(slice_of(e->node)),
             e->shard_count, (int)(strrchr(e->conf.listen, ':') - e->conf.listen), e->conf.listen,
             port, admin);
    return 0;
}

static void stop(struct edge *e)
{
    coord_stop(e->coord);
    drain_lock_free(e->moves.lock);
    for (int i = 0; i < e->shard_count; i++)
        shard_order(&e->shards[i], SHARD_STOPS);
    for (int i = 0; i < e->shard_count; i++)
        shard_join(&e->shards[i]);
    feed_stop(e->feed); /* it wakes shards: their loops must be there until then */
    for (int i = 0; i < e->shard_count; i++)
        shard_done(&e->shards[i]);
    feed_free(e->feed);
    turns_free(e->turns);
    cluster_free(e->cluster);
    if (e->admin)
        admin_free(e->admin);
    token_keys_free(e->keys);
    namespaces_done(&e->nss);
    free(e->shards);
    free(e->inboxes);
    ev_loop_destroy(e->loop);
}

int main(int argc, char **argv)
{
    static struct edge e; /* routes and watchers point at it */
    char why[1024] = "";
    const char *health;
    int rc;

    if (argc > 1 && strcmp(argv[1], "cluster") == 0)
        return cluster_cli(argc - 1, argv + 1);
    health = admin_health_path(&argc, &argv);
    rc = conf_load(&edge_program, argc, argv, &e.conf);
    if (rc)
        return rc > 0 ? 0 : 2;
    if (health)
        return admin_health(edge_program.name, e.conf.admin_listen, health);
    log_init("fanfare-edge", (enum log_level)e.conf.log_level);
    proc_thread_role("main");
    if (boot(&e, why, sizeof(why)) != 0)
        fail(why);
    ev_run(e.loop, 0);
    stop(&e); /* the admin listener with its routes, too */
    log_info("stopped", " node=%s", log_value(slice_of(e.node)));
    conf_done(&edge_program, &e.conf);
    return 0;
}
