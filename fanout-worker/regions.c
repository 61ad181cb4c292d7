/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regions.c: the processes of region_plan's rows; see regions.h.
 *
 * Everything happens in look(), four times a second and after the end of a child or a signal.
 */
#include "fanout-worker/regions.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/io/admin.h"
#include "common/io/coord.h"
#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "fanout-worker/region_plan.h"
#include "fanout-worker/worker_metric.h"

#define TICK_S 0.25
#define END_MS 15000 /* a child that was asked to end has so long */

struct regions {
    const struct worker_conf *conf;
    int argc;
    char **argv;
    struct ev_loop *loop;
    struct coord *coord;
    struct admin *admin;
    struct admin_route routes[4];
    struct region_plan plan;
    struct worker_metrics metrics;
    ev_child child;
    ev_timer tick;
    ev_signal term, interrupt;
    uint64_t stop_ms; /* children are killed then; 0: running */
    bool has_seen;    /* a view that the service confirmed */
    bool was_split, was_refused;
};

/* ---- children ---- */

/* Options for the child, behind those that this process was given: the last one counts. */
struct child_args {
    char region[REGION_NAME_MAX + 16], redis[REGION_REDIS_MAX + 32], admin[300], node[300];
    const char **argv;
};

static void make_args(const struct regions *rs, const struct region_row *r, struct child_args *a)
{
    const char *admin = rs->conf->admin_listen;
    const char *const more[] = {"--set", "regions=own", "--set", a->region, "--set", a->redis,
                                "--set", a->admin,      "--set", a->node,   NULL};

    snprintf(a->region, sizeof(a->region), "region=%s", r->name);
    snprintf(a->redis, sizeof(a->redis), "redis_url=%s", r->redis);
    if (admin[0]) /* its host, any free port: the cluster's table says which */
        snprintf(a->admin, sizeof(a->admin), "admin_listen=%.*s:0",
                 (int)(strrchr(admin, ':') - admin), admin);
    else
        snprintf(a->admin, sizeof(a->admin), "admin_listen=");
    if (rs->conf->node[0])
        snprintf(a->node, sizeof(a->node), "node=%s-%s", rs->conf->node, r->name);
    else
        snprintf(a->node, sizeof(a->node), "node=");
    a->argv = mem_zalloc(((size_t)rs->argc + ARRAY_LEN(more)) * sizeof(*a->argv));
    memcpy(a->argv, rs->argv, (size_t)rs->argc * sizeof(*a->argv));
    memcpy(a->argv + rs->argc, more, sizeof(more));
}

/* In the child, which may only do what is safe after fork() in a process of several threads. Its
 * signals are blocked: one that came must not go to this program's handlers. */
static _Noreturn void become(const struct child_args *a, pid_t parent, const sigset_t *mask)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) /* or it died before that */
        execv("/proc/self/exe", (char *const *)(uintptr_t)a->argv);
    _exit(127);
}

static void start(struct regions *rs, struct region_row *r, uint64_t now)
{
    pid_t parent = getpid(), pid;
    struct child_args a;
    sigset_t all, before;

    make_args(rs, r, &a);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        become(&a, parent, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(a.argv);
    if (pid < 0) {
        log_error("region_not_started", " region=%s why=%s", r->name,
                  log_value(slice_of(strerror(errno))));
        region_plan_ended(r, now);
        return;
    }
    region_plan_started(r, pid, now);
    metric_add(&rs->metrics.region_starts, 1);
    log_info("region_started", " region=%s process=%d", r->name, pid);
}

static void end(struct region_row *r)
{
    log_info("region_ending", " region=%s process=%d", r->name, r->pid);
    r->is_ending = true;
    kill(r->pid, SIGTERM);
}

/* ---- what is to be done ---- */

static void act(struct regions *rs, uint64_t now)
{
    for (size_t i = 0; i < rs->plan.count;) {
        struct region_row *r = &rs->plan.rows[i];
        enum region_act what = region_plan_act(&rs->plan, r, now);

        if (what == REGION_START)
            start(rs, r, now);
        else if (what == REGION_END)
            end(r);
        if (what == REGION_FORGET)
            region_plan_forget(&rs->plan, r);
        else
            i++;
    }
}

static void complain(struct regions *rs)
{
    const struct region_row *split = NULL;

    for (size_t i = 0; i < rs->plan.count; i++)
        if (rs->plan.rows[i].is_split)
            split = &rs->plan.rows[i];
    if (split && !rs->was_split)
        log_warn("region_split", " region=%s redis=%s hint=\"its edges name different ones\"",
                 split->name, log_value(slice_of(split->redis)));
    if ((rs->plan.refused || rs->plan.is_full) && !rs->was_refused)
        log_warn("region_refused",
                 " members=%zu full=%d hint=\"a region's name is 1 to 64 of A-Za-z0-9._-\"",
                 rs->plan.refused, rs->plan.is_full);
    rs->was_split = split != NULL;
    rs->was_refused = rs->plan.refused || rs->plan.is_full;
}

static size_t processes(const struct regions *rs)
{
    size_t n = 0;

    for (size_t i = 0; i < rs->plan.count; i++)
        n += rs->plan.rows[i].pid != 0;
    return n;
}

static void kill_all(struct regions *rs, int signal_number)
{
    for (size_t i = 0; i < rs->plan.count; i++)
        if (rs->plan.rows[i].pid)
            kill(rs->plan.rows[i].pid, signal_number);
}

static void look(struct regions *rs)
{
    const struct coord_view *v = coord_view_ref(rs->coord);
    uint64_t now = clock_mono_ms();

    if (rs->stop_ms) {
        if (!processes(rs))
            ev_break(rs->loop, EVBREAK_ALL);
        else if (now >= rs->stop_ms)
            kill_all(rs, SIGKILL);
    } else {
        rs->has_seen |= v->at_ms && !v->lost_ms;
        region_plan_see(&rs->plan, v, now);
        act(rs, now);
        complain(rs);
        metric_set(&rs->metrics.regions, (int64_t)processes(rs));
    }
    coord_view_unref(v);
}

static void on_child(struct ev_loop *loop, ev_child *w, int events)
{
    struct regions *rs = w->data;
    struct region_row *r = region_plan_of_pid(&rs->plan, w->rpid);

    (void)loop, (void)events;
    if (!r)
        return;
    if (r->is_ending || rs->stop_ms)
        log_info("region_ended", " region=%s process=%d", r->name, r->pid);
    else
        log_error("region_failed", " region=%s process=%d %s=%d hint=\"its own log says why\"",
                  r->name, r->pid, WIFSIGNALED(w->rstatus) ? "signal" : "exit",
                  WIFSIGNALED(w->rstatus) ? WTERMSIG(w->rstatus) : WEXITSTATUS(w->rstatus));
    region_plan_ended(r, clock_mono_ms());
    look(rs);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    look(w->data);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    struct regions *rs = w->data;

    (void)loop, (void)events;
    log_info("stopping", " signal=%d", w->signum);
    if (!rs->stop_ms)
        kill_all(rs, SIGTERM);
    rs->stop_ms = rs->stop_ms ? 1 : clock_mono_ms() + END_MS; /* a second one: at once */
    look(rs);
}

/* ---- the admin listener ---- */

static void on_metrics(struct admin_response *res, void *arg)
{
    const struct regions *rs = arg;

    res->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_print(&res->body, worker_metric_specs, &rs->metrics);
}

static void on_live(struct admin_response *res, void *arg)
{
    (void)arg;
    buf_lit(&res->body, "ok\n");
}

static void on_ready(struct admin_response *res, void *arg)
{
    const struct regions *rs = arg;

    res->status = rs->has_seen && processes(rs) == rs->plan.count ? 200 : 503;
    if (!rs->has_seen)
        buf_lit(&res->body, "cluster: not seen yet\n");
    for (size_t i = 0; i < rs->plan.count; i++)
        buf_printf(&res->body, "region %s: process %d\n", rs->plan.rows[i].name,
                   rs->plan.rows[i].pid);
}

/* ---- life ---- */

static int open_admin(struct regions *rs)
{
    char why[300];

    rs->routes[0] = (struct admin_route){"/metrics", on_metrics, rs};
    rs->routes[1] = (struct admin_route){"/health/live", on_live, rs};
    rs->routes[2] = (struct admin_route){"/health/ready", on_ready, rs};
    if (!rs->conf->admin_listen[0])
        return 0;
    rs->admin = admin_new(rs->loop, rs->conf->admin_listen, rs->routes, why, sizeof(why));
    if (!rs->admin)
        log_error("boot_failed", " why=%s", log_value(slice_of(why)));
    return rs->admin ? 0 : -1;
}

static void open_coord(struct regions *rs)
{
    char admin[ADMIN_ADDRESS_MAX], node[128];

    proc_node_name(node, sizeof(node), rs->conf->node);
    admin_address(rs->admin, admin);
    rs->coord = coord_start(&(struct coord_opts){.conf = &rs->conf->coord,
                                                 .metrics = &rs->metrics.coord,
                                                 .self = {.role = COORD_WORKER,
                                                          .node = node,
                                                          .region = "*",
                                                          .admin = admin,
                                                          .load = {.ready = true}}});
    log_info("ready", " regions=all admin=%s node=%s", admin, log_value(slice_of(node)));
}

static void watch(struct regions *rs)
{
    ev_child_init(&rs->child, on_child, 0, 0);
    ev_timer_init(&rs->tick, on_tick, 0., TICK_S);
    ev_signal_init(&rs->term, on_signal, SIGTERM);
    ev_signal_init(&rs->interrupt, on_signal, SIGINT);
    rs->child.data = rs->tick.data = rs->term.data = rs->interrupt.data = rs;
    ev_child_start(rs->loop, &rs->child);
    ev_timer_start(rs->loop, &rs->tick);
    ev_signal_start(rs->loop, &rs->term);
    ev_signal_start(rs->loop, &rs->interrupt);
}

int regions_run(const struct worker_conf *conf, int argc, char **argv)
{
    static struct regions rs; /* routes and watchers point at it */

    rs.conf = conf;
    rs.argc = argc;
    rs.argv = argv;
    rs.loop = ev_default_loop(EVFLAG_AUTO);
    region_plan_init(&rs.plan, (uint64_t)conf->region_keep);
    if (open_admin(&rs) < 0)
        return 1;
    open_coord(&rs);
    watch(&rs);
    ev_run(rs.loop, 0);
    coord_stop(rs.coord);
    if (rs.admin)
        admin_free(rs.admin);
    return 0;
}
