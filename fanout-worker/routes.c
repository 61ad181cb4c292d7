/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c: /metrics, /health/live, /health/ready of the worker. Reads atomics only. @thread main
 */
#include "fanout-worker/routes.h"

bool routes_is_ready(const struct worker_status *st)
{
    return st->redis_up && st->joined && st->registry_read && !st->failed;
}

static void metrics(struct admin_response *res, void *arg)
{
    const struct routes_arg *a = arg;

    res->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_print(&res->body, worker_metric_specs, a->metrics);
}

static void live(struct admin_response *res, void *arg)
{
    const struct routes_arg *a = arg;

    res->status = a->status->failed ? 503 : 200;
    buf_str(&res->body, a->status->failed ? "failed\n" : "ok\n");
}

static void ready(struct admin_response *res, void *arg)
{
    const struct worker_status *st = ((const struct routes_arg *)arg)->status;

    res->status = routes_is_ready(st) ? 200 : 503;
    buf_printf(&res->body, "redis: %s\nconsumer group: %s\nregistry: %s\n",
               st->redis_up ? "up" : "down", st->joined ? "joined" : "not joined",
               st->registry_read ? "read" : "not read");
}

void routes_fill(struct admin_route routes[ROUTES_MAX], struct routes_arg *arg)
{
    routes[0] = (struct admin_route){"/metrics", metrics, arg};
    routes[1] = (struct admin_route){"/health/live", live, arg};
    routes[2] = (struct admin_route){"/health/ready", ready, arg};
    routes[3] = (struct admin_route){NULL, NULL, NULL};
}
