/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_kv.c: values in Consul: read, written, watched.
 *
 * An op is posted to coord's thread, is in the backend's list from then on, and leaves it with its
 * (last) callback. @thread any for coord_kv_…(), coord for the rest
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/io/coord_consul.h"
#include "common/io/coord_kv.h"
#include "common/runtime/proc.h"

#define ASK_MS   5000
#define PAUSE_MS 100 /* between two answers of a watch */

struct coord_kv_op {
    struct consul_task task;
    coord_value_fn *fn;
    void *arg;
    const char *method;
    struct buf value; /* to be written; of a watch, as it was told */
    char query[48];
    bool is_watch, told;
    uint64_t index;      /* a watch waits behind */
    uint64_t told_index; /* of the value that was told; 0: there was none */
    unsigned failures;
};

/* ---- the end of an op ---- */

static void finish(struct coord_kv_op *op, const struct coord_value *v)
{
    consul_task_done(&op->task);
    op->fn(v, op->arg);
    buf_done(&op->value);
    free(op);
}

static void cancel(struct coord_kv_op *op)
{
    finish(op, &(struct coord_value){.err = -ECANCELED});
}

void consul_kv_start(struct consul *k)
{
    list_init(&k->kv_ops);
}

void consul_kv_stop(struct consul *k)
{
    struct coord_kv_op *op, *next;

    list_for_each_safe(op, next, &k->kv_ops, task.node)
        cancel(op);
}

/* ---- answers ---- */

static int err_of(const struct http_reply *r)
{
    if (r->err)
        return r->err;
    switch (r->status) {
    case 200:
        return 0;
    case 404:
        return -ENOENT;
    case 401:
    case 403:
        return -EACCES;
    default:
        return -EIO;
    }
}

static void on_written(struct coord_kv_op *op, const struct http_reply *r)
{
    struct coord_value v = {.err = err_of(r)};

    if (!v.err && r->body.n >= 5 && !memcmp(r->body.p, "false", 5))
        v.err = -EAGAIN;
    finish(op, &v);
}

static void on_read(struct coord_kv_op *op, const struct http_reply *r)
{
    struct coord_value v = {.err = err_of(r)};
    struct consul_entry e = {0};

    if (!v.err)
        v.err = consul_entry(r->body, &e);
    v.index = e.index;
    v.value = buf_as_slice(&e.value);
    finish(op, &v);
    consul_entry_done(&e);
}

static void watch_again(struct coord_kv_op *op, uint64_t ms)
{
    coord_again(op->task.c, &op->task.timer, ms);
}

static void on_watched(struct coord_kv_op *op, const struct http_reply *r)
{
    struct coord_value v = {.err = err_of(r)};
    struct consul_entry e = {0};
    uint64_t random;

    if (!v.err)
        v.err = consul_entry(r->body, &e);
    if (v.err && v.err != -ENOENT) {
        op->index = 0;
        op->failures++;
        proc_random(&random, sizeof(random));
        watch_again(op, coord_backoff_ms(op->failures, 200, 2000, random));
        return;
    }
    op->failures = 0;
    op->index = consul_next_index(op->index, http_reply_header(r, "X-Consul-Index"));
    watch_again(op, op->index ? PAUSE_MS : consul_pause_ms(1, 0));
    if (!op->told || op->told_index != e.index) {
        op->told = true;
        op->told_index = v.index = e.index;
        v.value = buf_as_slice(&e.value);
        op->fn(&v, op->arg);
    }
    consul_entry_done(&e);
}

static void on_answer(const struct http_reply *r, void *arg)
{
    struct coord_kv_op *op = arg;

    op->task.call = NULL;
    if (op->is_watch)
        on_watched(op, r);
    else if (!strcmp(op->method, "GET"))
        on_read(op, r);
    else
        on_written(op, r);
}

void consul_kv_hurry(struct consul *k)
{
    struct coord_kv_op *op;

    list_for_each(op, &k->kv_ops, task.node) {
        if (!op->is_watch)
            continue;
        http_cancel(op->task.call);
        op->task.call = NULL;
        op->index = 0;
        watch_again(op, PAUSE_MS);
    }
}

/* ---- asking ---- */

static void ask(struct coord_kv_op *op)
{
    bool has_body = !strcmp(op->method, "PUT");

    op->task.call = consul_ask(
        op->task.c->state,
        &(struct consul_ask){.method = op->method,
                             .path = "/v1/kv/",
                             .name = slice_of(op->task.key),
                             .query = op->query,
                             .index = op->index,
                             .body = has_body ? buf_as_slice(&op->value) : (struct slice){NULL, 0},
                             .timeout_ms = op->index ? CONSUL_BLOCKED_MS + ASK_MS : ASK_MS},
        on_answer, op);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    (void)loop, (void)events;
    ask(container_of(w, struct coord_kv_op, task.timer));
}

static void begin(struct coord *c, struct coord_job *j)
{
    struct coord_kv_op *op = container_of(j, struct coord_kv_op, task.begin);
    struct consul *k = c->state;

    list_add_tail(&k->kv_ops, &op->task.node);
    ask(op);
}

static void end_watch(struct coord *c, struct coord_job *j)
{
    (void)c;
    cancel(container_of(j, struct coord_kv_op, task.end));
}

static int post(struct coord *c, const char *key, const struct coord_kv_op *from,
                struct coord_kv_op **ret)
{
    struct coord_kv_op *op = mem_zalloc(sizeof(*op));
    int rc;

    *op = *from;
    op->task.begin.run = begin;
    op->task.end.run = end_watch;
    ev_init(&op->task.timer, on_timer);
    rc = consul_task_post(&op->task, c, key);
    if (rc)
        free(op);
    else if (ret)
        *ret = op;
    return rc;
}

static int post_value(struct coord *c, const char *key, struct coord_kv_op *op, struct slice value)
{
    int rc;

    if (value.n > COORD_VALUE_MAX)
        return -EMSGSIZE;
    op->method = "PUT";
    buf_slice(&op->value, value);
    rc = post(c, key, op, NULL);
    if (rc)
        buf_done(&op->value);
    return rc;
}

int coord_kv_get(struct coord *c, const char *key, coord_value_fn *fn, void *arg)
{
    return post(c, key, &(struct coord_kv_op){.method = "GET", .fn = fn, .arg = arg}, NULL);
}

int coord_kv_put(struct coord *c, const char *key, struct slice value, coord_value_fn *fn,
                 void *arg)
{
    struct coord_kv_op op = {.fn = fn, .arg = arg};

    return post_value(c, key, &op, value);
}

int coord_kv_cas(struct coord *c, const struct coord_kv_if *when, struct slice value,
                 coord_value_fn *fn, void *arg)
{
    struct coord_kv_op op = {.fn = fn, .arg = arg};

    snprintf(op.query, sizeof(op.query), "?cas=%llu", (unsigned long long)when->index);
    return post_value(c, when->key, &op, value);
}

int coord_kv_delete(struct coord *c, const struct coord_kv_if *when, coord_value_fn *fn, void *arg)
{
    struct coord_kv_op op = {.method = "DELETE", .fn = fn, .arg = arg};

    if (when->index)
        snprintf(op.query, sizeof(op.query), "?cas=%llu", (unsigned long long)when->index);
    return post(c, when->key, &op, NULL);
}

int coord_kv_watch(struct coord *c, const char *key, coord_value_fn *fn, void *arg,
                   struct coord_kv_op **ret)
{
    return post(c, key,
                &(struct coord_kv_op){.method = "GET", .is_watch = true, .fn = fn, .arg = arg},
                ret);
}

void coord_kv_unwatch(struct coord_kv_op *w)
{
    (void)coord_post(w->task.c, &w->task.end); /* or it is being ended anyway */
}
