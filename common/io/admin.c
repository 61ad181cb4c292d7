/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c: see admin.h. libmicrohttpd runs on one epoll descriptor of its own, which our loop
 * watches; its time-outs come to us by MHD_get_timeout().
 */
#include "common/io/admin.h"

#include <errno.h>
#include <ev.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io/listen.h"

#define CONNECTIONS_MAX 64
#define IDLE_S          10

struct admin {
    struct ev_loop *loop;
    const struct admin_route *routes;
    struct MHD_Daemon *daemon;
    struct ev_io io;
    struct ev_timer timer;
    struct ev_prepare prepare; /* before the loop sleeps: when does the library want to run next? */
    struct listen_at at;       /* as bound */
};

/* ---- answering ---- */

static enum MHD_Result respond(struct MHD_Connection *c, int status, const char *type,
                               const struct buf *body, const char *allow)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        body->n, body->n ? body->p : (void *)(uintptr_t) "", MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rc;

    if (!r)
        return MHD_NO;
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (allow)
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, allow);
    rc = MHD_queue_response(c, (unsigned int)status, r);
    MHD_destroy_response(r);
    return rc;
}

static bool is_reading(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* The route's path if it is for such methods, else NULL. */
static const char *path_for(const struct admin_route *r, const char *method)
{
    size_t n = strlen(method);

    if (r->path[0] == '/')
        return is_reading(method) ? r->path : NULL;
    return strncmp(r->path, method, n) == 0 && r->path[n] == ' ' ? r->path + n + 1 : NULL;
}

static const struct admin_route *find(const struct admin_route *routes, const char *method,
                                      const char *url)
{
    for (const struct admin_route *r = routes; r->path; r++) {
        const char *path = path_for(r, method);
        if (path && strcmp(path, url) == 0)
            return r;
    }
    return NULL;
}

/* The methods of a path; for one that isn't here, those of most. */
static void list_methods(struct buf *out, const struct admin_route *routes, const char *url)
{
    for (const struct admin_route *r = routes; r->path; r++) {
        size_t n = strcspn(r->path, " ");
        if (r->path[n] && strcmp(r->path + n + 1, url) == 0)
            buf_printf(out, "%s%.*s", out->n ? ", " : "", (int)n, r->path);
    }
    if (!out->n || find(routes, "GET", url))
        buf_printf(out, "%sGET, HEAD", out->n ? ", " : "");
}

static enum MHD_Result wrong_method(struct MHD_Connection *c, const struct admin_route *routes,
                                    const char *url)
{
    struct buf allow = BUF_INIT, body = BUF_INIT;
    enum MHD_Result rc;

    list_methods(&allow, routes, url);
    buf_printf(&body, "only %.*s\n", (int)allow.n, allow.p);
    buf_byte(&allow, '\0');
    rc = respond(c, 405, "text/plain", &body, allow.p);
    buf_done(&allow);
    buf_done(&body);
    return rc;
}

static enum MHD_Result not_for_pages(struct MHD_Connection *c)
{
    struct buf body = BUF_INIT;
    enum MHD_Result rc;

    buf_lit(&body, "not for web pages\n");
    rc = respond(c, 403, "text/plain", &body, NULL);
    buf_done(&body);
    return rc;
}

static bool wants_text(struct MHD_Connection *c)
{
    const char *format = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "format");
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");

    if (format)
        return strcmp(format, "text") == 0;
    return accept && strncmp(accept, "text/plain", 10) == 0;
}

static enum MHD_Result answer(struct MHD_Connection *c, const struct admin_route *r)
{
    struct admin_response res = {
        .wants_text = wants_text(c), .status = 200, .content_type = "text/plain"};
    enum MHD_Result rc;

    r->handle(&res, r->arg);
    rc = respond(c, res.status, res.content_type, &res.body, NULL);
    buf_done(&res.body);
    return rc;
}

static enum MHD_Result not_found(struct MHD_Connection *c, const struct admin_route *routes)
{
    struct buf body = BUF_INIT;
    enum MHD_Result rc;

    buf_lit(&body, "not found; here are:\n");
    for (const struct admin_route *r = routes; r->path; r++)
        buf_printf(&body, "%s\n", r->path);
    rc = respond(c, 404, "text/plain", &body, NULL);
    buf_done(&body);
    return rc;
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's signature */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    const struct admin *a = arg;
    const struct admin_route *r = find(a->routes, method, url);

    (void)version, (void)upload;
    /* Answered at the first call, so the library closes and doesn't read the body. */
    if (!r && !is_reading(method))
        return wrong_method(c, a->routes, url);
    if (!is_reading(method) && MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin"))
        return not_for_pages(c);
    if (!*state) { /* the first call: an answer now would cost the connection */
        *state = arg;
        return MHD_YES;
    }
    if (*upload_size) { /* a body is not read */
        *upload_size = 0;
        return MHD_YES;
    }
    return r ? answer(c, r) : not_found(c, a->routes);
}

/* ---- the loop ---- */

static unsigned int connections(const struct admin *a)
{
    return MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* At its limit the library takes the listening socket out of its epoll set, and puts it back only
 * when it runs next. Nothing would make it run once the last connection is gone, so it runs again
 * after each run that ended some. */
static void run(struct admin *a)
{
    unsigned int before;

    do {
        before = connections(a);
        (void)MHD_run(a->daemon);
    } while (connections(a) < before);
}

static void on_io(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct admin *a = container_of(w, struct admin, io);

    (void)loop, (void)events;
    run(a);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct admin *a = container_of(w, struct admin, timer);

    (void)loop, (void)events;
    run(a);
}

static void on_prepare(struct ev_loop *loop, struct ev_prepare *w, int events)
{
    struct admin *a = container_of(w, struct admin, prepare);
    MHD_UNSIGNED_LONG_LONG ms;

    (void)events;
    ev_timer_stop(loop, &a->timer);
    if (MHD_get_timeout(a->daemon, &ms) != MHD_YES)
        return;
    ev_timer_set(&a->timer, (double)ms / 1000, 0);
    ev_timer_start(loop, &a->timer);
}

/* ---- life ---- */

static int bind_to(const char *address, struct listen_at *at, char *why, size_t why_size)
{
    size_t head = (size_t)snprintf(why, why_size, "admin_listen: ");
    int fd;

    if (listen_resolve(address, at, why + head, why_size - head))
        return -1;
    fd = listen_bind(at, false, CONNECTIONS_MAX);
    if (fd < 0)
        snprintf(why + head, why_size - head, "%s: %s%s", address, strerror(-fd),
                 fd == -EADDRINUSE ? "; choose another port, or end who has it" : "");
    return fd;
}

struct admin *admin_new(struct ev_loop *loop, const char *listen, const struct admin_route *routes,
                        char *why, size_t why_size)
{
    struct listen_at at;
    int fd = bind_to(listen, &at, why, why_size);
    const union MHD_DaemonInfo *info;
    struct admin *a;

    if (fd < 0)
        return NULL;
    a = mem_zalloc(sizeof(*a));
    a->loop = loop;
    a->routes = routes;
    a->at = at;
    a->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, a, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_S, MHD_OPTION_END);
    info = a->daemon ? MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        snprintf(why, why_size, "admin_listen: %s: libmicrohttpd can't start", listen);
        close(fd);
        free(a);
        return NULL;
    }
    ev_io_init(&a->io, on_io, info->epoll_fd, EV_READ);
    ev_io_start(loop, &a->io);
    ev_init(&a->timer, on_timer);
    ev_prepare_init(&a->prepare, on_prepare);
    ev_prepare_start(loop, &a->prepare);
    return a;
}

int admin_port(const struct admin *a)
{
    return listen_port(&a->at);
}

void admin_address(const struct admin *a, char dst[ADMIN_ADDRESS_MAX])
{
    char host[48], port[8];

    if (!a || getnameinfo((const struct sockaddr *)&a->at.addr, a->at.size, host, sizeof(host),
                          port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(dst, ADMIN_ADDRESS_MAX, "none");
    else
        snprintf(dst, ADMIN_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    ev_io_stop(a->loop, &a->io);
    ev_timer_stop(a->loop, &a->timer);
    ev_prepare_stop(a->loop, &a->prepare);
    MHD_stop_daemon(a->daemon); /* closes the socket */
    free(a);
}
