/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: fanfare-worker: boot, admin listener, signals.
 *
 * Exit codes: 0 stopped by a signal; 1 something it needs is missing or broke (one line says what
 * and how to mend it); 2 wrong configuration. Owns the process's threads: pump and history run
 * between boot and stop. @thread main
 */
#include <ev.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/io/admin.h"
#include "common/io/admin_ask.h"
#include "common/io/coord.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "fanout-worker/boot.h"
#include "fanout-worker/regions.h"
#include "fanout-worker/routes.h"
#include "fanout-worker/source_kafka.h"

#define TELL_S 0.5
#define STOP_S 10 /* librdkafka 2.0 can't let go of a deleted topic that it read */

struct worker {
    struct worker_conf conf;
    struct worker_metrics metrics;
    struct worker_status status;
    struct boot boot;
    struct ev_loop *loop;
    struct admin *admin;
    struct coord *coord;
    char node[128];
    struct admin_route routes[ROUTES_MAX];
    struct routes_arg routes_arg;
    struct source_kafka_opts src_opts;
    ev_async changed;
    ev_timer tell;
    ev_signal term, interrupt;
    struct pump *pump;
    bool said_ready;
};

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)events;
    log_info("stopping", " signal=%d", w->signum);
    ev_break(loop, EVBREAK_ALL);
}

static void tell_load(struct worker *w)
{
    coord_tell(w->coord, &(struct coord_load){.partitions = metric_read(&w->metrics.running),
                                              .ready = routes_is_ready(&w->status)});
}

static void on_tell(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    tell_load(t->data);
}

static void start_coord(struct worker *w)
{
    char admin[ADMIN_ADDRESS_MAX];

    proc_node_name(w->node, sizeof(w->node), w->conf.node);
    admin_address(w->admin, admin);
    w->coord = coord_start(&(struct coord_opts){.conf = &w->conf.coord,
                                                .metrics = &w->metrics.coord,
                                                .self = {.role = COORD_WORKER,
                                                         .node = w->node,
                                                         .region = w->conf.region,
                                                         .admin = admin,
                                                         .redis = w->conf.redis_url}});
    ev_timer_init(&w->tell, on_tell, 0., TELL_S);
    w->tell.data = w;
    ev_timer_start(w->loop, &w->tell);
}

static void on_changed(struct ev_loop *loop, ev_async *a, int events)
{
    struct worker *w = a->data;
    char group[512], admin[ADMIN_ADDRESS_MAX];

    (void)events;
    if (w->status.failed)
        ev_break(loop, EVBREAK_ALL);
    tell_load(w);
    if (w->said_ready || !routes_is_ready(&w->status))
        return;
    w->said_ready = true;
    kafka_group(&w->conf, group, sizeof(group));
    admin_address(w->admin, admin);
    log_info("ready", " group=%s topics=%u admin=%s node=%s", log_value(slice_of(group)),
             w->boot.nss.count, admin, log_value(slice_of(w->node)));
}

static void wake_main(void *arg)
{
    struct worker *w = arg;

    ev_async_send(w->loop, &w->changed);
}

static int open_admin(struct worker *w, char why[BOOT_WHY])
{
    if (!w->conf.admin_listen[0])
        return 0;
    w->routes_arg = (struct routes_arg){&w->metrics, &w->status};
    routes_fill(w->routes, &w->routes_arg);
    w->admin = admin_new(w->loop, w->conf.admin_listen, w->routes, why, BOOT_WHY);
    return w->admin ? 0 : -1;
}

static struct source *new_spare(void *arg, const struct source_events *ev, void *ev_arg, char *why,
                                size_t why_size)
{
    struct worker *w = arg;
    struct source_kafka_opts opts = w->src_opts;

    opts.spare = true;
    opts.events = ev;
    opts.arg = ev_arg;
    return source_kafka_new(&opts, why, why_size);
}

static int start(struct worker *w, char why[BOOT_WHY])
{
    struct boot *bt = &w->boot;
    struct pump_opts opts = {
        .conf = &w->conf,
        .nss = &bt->nss,
        .topics = bt->topics,
        .scripts = &bt->scripts,
        .cluster = bt->cluster,
        .stream_bytes = bt->stream_bytes,
        .index_bytes = boot_index_bytes(w->conf.index_bytes, bt->maxmemory, bt->partitions),
        .new_spare = new_spare,
        .new_spare_arg = w,
        .metrics = &w->metrics,
        .status = &w->status,
    };
    struct history_opts history_opts = {
        .topics = bt->topics,
        .scripts = &bt->scripts,
        .metrics = &w->metrics,
        .history_bytes = boot_history_bytes(w->conf.history_bytes, bt->maxmemory),
    };
    struct source *src;

    w->pump = pump_new(&opts);
    w->src_opts = (struct source_kafka_opts){
        .conf = &w->conf,
        .nss = &bt->nss,
        .partitions = bt->partitions,
        .events = &pump_source_events,
        .arg = w->pump,
    };
    src = source_kafka_new(&w->src_opts, why, BOOT_WHY);
    if (!src)
        return -1;
    history_start(bt->history, &history_opts, bt->registry, pump_inbox(w->pump));
    bt->registry = NULL; /* history's now */
    w->status.registry_read = true;
    pump_start(w->pump, src, bt->history, wake_main, w);
    return 0;
}

static void watch(struct worker *w)
{
    ev_async_init(&w->changed, on_changed);
    w->changed.data = w;
    ev_async_start(w->loop, &w->changed);
    ev_signal_init(&w->term, on_signal, SIGTERM);
    ev_signal_init(&w->interrupt, on_signal, SIGINT);
    ev_signal_start(w->loop, &w->term);
    ev_signal_start(w->loop, &w->interrupt);
}

static int run(struct worker *w)
{
    char why[BOOT_WHY] = "";
    int rc = 0;

    w->loop = ev_default_loop(EVFLAG_AUTO);
    watch(w);
    if (boot_run(&w->boot, &w->conf, why) < 0 || open_admin(w, why) < 0 || start(w, why) < 0) {
        log_error("boot_failed", " why=%s", log_value(slice_of(why)));
        rc = 1;
    } else {
        start_coord(w);
        ev_run(w->loop, 0);
        rc = w->status.failed ? 1 : 0;
    }
    proc_exit_within(STOP_S, rc);
    coord_stop(w->coord); /* first: nobody is to count on it any more */
    if (w->pump)
        pump_stop(w->pump);
    if (w->admin)
        admin_free(w->admin);
    boot_done(&w->boot);
    if (w->pump)
        pump_free(w->pump);
    proc_exit_within(0, rc);
    return rc;
}

int main(int argc, char **argv)
{
    static struct worker w;
    const char *health = admin_health_path(&argc, &argv);
    int rc = conf_load(&worker_program, argc, argv, &w.conf);

    if (rc != 0)
        return rc > 0 ? 0 : 2;
    if (health)
        return admin_health(worker_program.name, w.conf.admin_listen, health);
    /* A fetch is a buffer of megabytes, in use for milliseconds: giving each back to the system and
     * faulting it in again was a third of the worker's CPU in a drain. */
    mallopt(M_MMAP_THRESHOLD, (int)MIB(32));
    mallopt(M_TRIM_THRESHOLD, (int)MIB(64));
    log_init("fanfare-worker", (enum log_level)w.conf.log_level);
    signal(SIGPIPE, SIG_IGN);
    hash_seed();
    proc_raise_fd_limit();
    proc_thread_role("main");
    rc = w.conf.regions == REGIONS_ALL ? regions_run(&w.conf, argc, argv) : run(&w);
    log_info("stopped", " exit=%d", rc);
    conf_done(&worker_program, &w.conf);
    return rc;
}
