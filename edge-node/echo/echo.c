/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo.c: fanfare-edge-echo, for tests only and never installed: the edge's listener, shard and
 * WebSocket transport with an application that sends every message back, on /echo.
 *
 * Takes the edge's options; needs no Redis and no namespaces. While a client does not take what it
 * is sent it isn't read: an echo holds at most what one read brought. @thread main, shard
 */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/runtime/log.h"
#include "common/runtime/proc.h"

#include "edge-node/edge_conf.h"
#include "edge-node/listener.h"
#include "edge-node/shard.h"
#include "edge-node/transport_ws.h"
#include "edge-node/turns.h"

struct echo {
    void *conn;
};

static void *open_echo(struct shard *sh, void *conn, struct slice channel)
{
    struct echo *e = mem_zalloc(sizeof(*e));

    (void)sh, (void)channel;
    e->conn = conn;
    return e;
}

static void on_message(void *top, struct slice message, bool binary)
{
    struct echo *e = top;
    size_t head = transport_ws.head_max, n;
    struct buf out = BUF_INIT;

    buf_reserve(&out, head + message.n);
    out.n = head;
    buf_slice(&out, message);
    n = transport_ws.frame(out.p + head, message.n, binary);
    if (transport_ws.write(e->conn, out.p + head - n, n + message.n) == 0 &&
        transport_ws.is_choked(e->conn)) {
        transport_ws.pause_reading(e->conn, true);
        transport_ws.want_writable(e->conn);
    }
    buf_done(&out);
}

static void on_too_big(void *top)
{
    struct echo *e = top;

    transport_ws.close(e->conn, 1009, "too big");
}

static void on_writable(void *top)
{
    struct echo *e = top;

    if (!transport_ws.is_choked(e->conn))
        transport_ws.pause_reading(e->conn, false);
}

static void on_peer_close(void *top)
{
    (void)top;
}

static void on_close(void *top)
{
    free(top);
}

static const struct ws_app app = {
    .path = "/echo",
    .on_open = open_echo,
    .on_message = on_message,
    .on_too_big = on_too_big,
    .on_writable = on_writable,
    .on_peer_close = on_peer_close,
    .on_close = on_close,
};

static void on_signal(struct ev_loop *loop, struct ev_signal *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static int serve(struct shard *sh, const struct edge_conf *conf)
{
    struct ev_loop *loop = ev_default_loop(0);
    struct ev_signal term;
    char why[512];
    int fd, port;

    signal(SIGPIPE, SIG_IGN);
    ev_signal_init(&term, on_signal, SIGTERM);
    ev_signal_start(loop, &term);
    if (listener_open(conf->listen, &fd, 1, &port, why, sizeof(why)) ||
        shard_init(sh, 0, fd, why, sizeof(why))) {
        fprintf(stderr, "fanfare-edge-echo: %s\n", why);
        return 1;
    }
    shard_start(sh);
    log_info("ready", " listen=%.*s:%d", (int)(strrchr(conf->listen, ':') - conf->listen),
             conf->listen, port);
    ev_run(loop, 0);
    shard_order(sh, SHARD_STOPS);
    shard_join(sh);
    shard_done(sh);
    ev_loop_destroy(loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct conf_program program = edge_program;
    struct edge_conf conf = {0};
    struct namespaces none = {0};
    struct feed_shard *inbox = mem_zalloc(sizeof(*inbox));
    struct shard *sh = mem_zalloc(sizeof(*sh));
    int rc;

    program.name = "fanfare-edge-echo";
    program.check = NULL;
    rc = conf_load(&program, argc, argv, &conf);
    if (rc)
        return rc > 0 ? 0 : 2;
    log_init(program.name, (enum log_level)conf.log_level);
    proc_raise_fd_limit();
    sh->conf = &conf;
    sh->app = &app;
    sh->inbox = inbox;
    hub_init(&sh->hub, &conf, &none, NULL, turns_new(1));
    sh->hub.inbox = inbox;
    rc = serve(sh, &conf);
    turns_free(sh->hub.turns);
    free(sh);
    free(inbox);
    conf_done(&program, &conf);
    return rc;
}
