/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_ask.c: see admin_ask.h.
 */
#include "common/io/admin_ask.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

#include "common/io/http.h"
#include "common/io/listen.h"

#define URL_MAX 512

struct asking {
    struct ev_loop *loop;
    const char *listen;
    struct buf *body;
    int *ret_status;
    int err;
    char *why;
    size_t why_size;
};

static void on_answer(const struct http_reply *r, void *arg)
{
    struct asking *q = arg;

    q->err = r->err;
    if (r->err) {
        snprintf(q->why, q->why_size, "\"%s\": %s", q->listen, r->why);
    } else {
        *q->ret_status = r->status;
        buf_add(q->body, r->body.p, r->body.n);
    }
    ev_break(q->loop, EVBREAK_ALL);
}

/* An address that is every one of this host ("", "0.0.0.0", "[::]") leads to the loopback one. */
static void url_of(const char *listen, const char *path, char url[URL_MAX])
{
    const char *colon = strrchr(listen, ':');
    int n = (int)(colon - listen);
    const char *host = listen;

    if (n == 0 || (n == 7 && !memcmp(listen, "0.0.0.0", 7))) {
        host = "127.0.0.1";
        n = 9;
    } else if (n == 4 && !memcmp(listen, "[::]", 4)) {
        host = "[::1]";
        n = 5;
    }
    snprintf(url, URL_MAX, "http://%.*s%s%s", n, host, colon, path);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the callback writes there */
int admin_ask(const char *listen, const char *path, int *ret_status, struct buf *body, char *why,
              size_t why_size)
{
    struct asking q = {
        .listen = listen, .body = body, .ret_status = ret_status, .why = why, .why_size = why_size};
    char url[URL_MAX];
    struct http *h;

    if (listen_check(listen, why, why_size))
        return -EINVAL;
    url_of(listen, path, url);
    buf_clear(body);
    q.loop = ev_loop_new(EVFLAG_AUTO);
    must(q.loop);
    h = http_new(q.loop, &(struct http_opts){0});
    http_start(
        h,
        &(struct http_request){
            .method = "GET", .url = url, .timeout_ms = ADMIN_ASK_MS, .reply_max = ADMIN_ASK_MAX},
        on_answer, &q);
    ev_run(q.loop, 0);
    http_free(h);
    ev_loop_destroy(q.loop);
    return q.err;
}

const char *admin_health_path(int *argc, char ***argv)
{
    const char *path = "/health/ready";
    int words = 1;

    if (*argc < 2 || strcmp((*argv)[1], "health") != 0)
        return NULL;
    if (*argc > 2 && !strcmp((*argv)[2], "live"))
        path = "/health/live";
    if (*argc > 2 && (!strcmp((*argv)[2], "live") || !strcmp((*argv)[2], "ready")))
        words = 2;
    *argc -= words;
    *argv += words;
    return path;
}

int admin_health(const char *program, const char *listen, const char *path)
{
    struct buf body = BUF_INIT;
    char why[300];
    int status = 0;

    if (!listen[0]) {
        fprintf(stderr, "%s: admin_listen is empty, so nobody can be asked\n", program);
        return 1;
    }
    if (admin_ask(listen, path, &status, &body, why, sizeof(why)))
        fprintf(stderr,
                "%s: no answer from admin_listen %s; is it running with this configuration?\n",
                program, why);
    (void)fwrite(body.p ? body.p : "", 1, body.n, stdout);
    buf_done(&body);
    return status == 200 ? 0 : 1;
}
