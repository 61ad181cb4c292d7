/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c: see http.h. libcurl's multi interface says which sockets and which time-out it waits
 * for; libev waits. Callbacks of ours are called from reap() alone, outside of the library's own,
 * so they may start and cancel calls.
 *
 * Invariant: a call is in the list from http_start() until its callback begins or it is cancelled.
 * @thread of the loop
 */
#include "common/io/http.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "common/base/list.h"

#define CONNECTIONS_KEPT 8L
#define HEADERS_MAX      KIB(64)

struct http {
    struct ev_loop *loop;
    CURLM *multi;
    struct ev_timer timer;
    struct list calls;
    char *ca_file, *cert_file, *key_file;
};

struct http_call {
    struct list node;
    struct http *h;
    CURL *easy;
    struct curl_slist *headers;
    http_done_fn *done;
    http_part_fn *part;
    void *arg;
    struct buf body;
    size_t body_max, header_bytes;
    bool too_large, had_enough;
    char why[CURL_ERROR_SIZE];
};

struct http_socket {
    struct ev_io io;
    struct http *h;
};

/* ---- answers ---- */

static int errno_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -EHOSTUNREACH;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return -ECONNRESET;
    case CURLE_FILESIZE_EXCEEDED:
        return -EMSGSIZE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return -EACCES;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return -EBADMSG;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static void call_free(struct http_call *c)
{
    list_del(&c->node);
    (void)curl_multi_remove_handle(c->h->multi, c->easy);
    curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
    buf_done(&c->body);
    free(c);
}

static void finish(struct http_call *c, CURLcode code)
{
    struct http_reply r = {.err = errno_of(code), .handle = c->easy, .why = ""};
    char too_large[96];

    list_del(&c->node); /* a callback that frees the client's other calls must not find it */
    if (c->too_large) {
        r.err = -EMSGSIZE;
        snprintf(too_large, sizeof(too_large), "the reply is larger than %zu bytes", c->body_max);
        r.why = too_large;
    } else if (c->had_enough) {
        r.err = -ECANCELED;
        r.why = "no more of it was wanted";
    } else if (r.err) {
        r.why = c->why[0] ? c->why : curl_easy_strerror(code);
    } else {
        r.status = http_call_status(c);
        r.body = buf_as_slice(&c->body);
    }
    c->done(&r, c->arg);
    call_free(c);
}

static void reap(struct http *h)
{
    struct http_call *c;
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(h->multi, &left))) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&c);
        finish(c, msg->data.result);
    }
}

const char *http_reply_header(const struct http_reply *r, const char *name)
{
    struct curl_header *header;

    if (r->err || curl_easy_header(r->handle, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

/* ---- the loop ---- */

static void on_socket(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct http *h = container_of(w, struct http_socket, io)->h;
    int mask =
        (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    (void)loop;
    (void)curl_multi_socket_action(h->multi, w->fd, mask, &running);
    reap(h);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
    struct http *h = container_of(w, struct http, timer);
    int running;

    (void)loop, (void)events;
    (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(h);
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
    struct http *h = arg;

    (void)multi;
    ev_timer_stop(h->loop, &h->timer);
    if (ms < 0)
        return 0;
    ev_now_update(h->loop); /* the library counts from now */
    ev_timer_set(&h->timer, (double)ms / 1000, 0.);
    ev_timer_start(h->loop, &h->timer);
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http *h = arg;
    struct http_socket *s = known;
    int events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    if (s)
        ev_io_stop(h->loop, &s->io);
    if (what == CURL_POLL_REMOVE) {
        free(s);
        return 0;
    }
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        s->h = h;
        (void)curl_multi_assign(h->multi, fd, s);
    }
    ev_io_init(&s->io, on_socket, fd, events);
    ev_io_start(h->loop, &s->io);
    return 0;
}

/* ---- one call ---- */

int http_call_status(const struct http_call *c)
{
    long status = 0;

    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool is_in_parts(const struct http_call *c)
{
    return c->part && http_call_status(c) == 200;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;

    n *= size;
    if (is_in_parts(c)) {
        c->had_enough = !c->part((struct slice){p, n}, c->arg);
        return c->had_enough ? 0 : n;
    }
    if (n > c->body_max - c->body.n) {
        c->too_large = true;
        return 0;
    }
    buf_add(&c->body, p, n);
    return n;
}

static size_t on_header(const char *p, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;

    (void)p;
    n *= size;
    c->header_bytes += n;
    if (c->header_bytes > HEADERS_MAX) {
        c->too_large = true;
        return 0;
    }
    return n;
}

static void add_header(struct http_call *c, const char *line)
{
    struct curl_slist *list = curl_slist_append(c->headers, line);

    must(list);
    c->headers = list;
}

/* Options that this library can't refuse: it knows them all, and the values are ours. */
#define SET(c, option, value) must(curl_easy_setopt((c)->easy, option, value) == CURLE_OK)

static void set_tls(struct http_call *c)
{
    SET(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (c->h->ca_file) {
        SET(c, CURLOPT_CAINFO, c->h->ca_file);
        SET(c, CURLOPT_CAPATH, NULL);
        /* It may be written anew, and the library would keep what was in it for a day. With a TLS
         * that keeps nothing, the option may be refused. */
        (void)curl_easy_setopt(c->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (c->h->cert_file) {
        SET(c, CURLOPT_SSLCERT, c->h->cert_file);
        SET(c, CURLOPT_SSLKEY, c->h->key_file);
    }
}

static void set_request(struct http_call *c, const struct http_request *r)
{
    for (const char *const *line = r->headers; line && *line; line++)
        add_header(c, *line);
    if (r->body.p) {
        add_header(c, "Expect:"); /* no second round for what is sent anyway */
        SET(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        SET(c, CURLOPT_COPYPOSTFIELDS, r->body.p);
    }
    SET(c, CURLOPT_CUSTOMREQUEST, r->method);
    SET(c, CURLOPT_URL, r->url);
    SET(c, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    SET(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_ms ? r->connect_ms : r->timeout_ms));
}

static void set_common(struct http_call *c)
{
    SET(c, CURLOPT_PRIVATE, c);
    SET(c, CURLOPT_ERRORBUFFER, c->why);
    SET(c, CURLOPT_NOSIGNAL, 1L);
    SET(c, CURLOPT_QUICK_EXIT, 1L); /* a resolver's thread that hangs isn't waited for */
    SET(c, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(c, CURLOPT_PROXY, "");
    SET(c, CURLOPT_USERAGENT, "fanfare/" FANFARE_VERSION);
    SET(c, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(c, CURLOPT_WRITEFUNCTION, on_body);
    SET(c, CURLOPT_WRITEDATA, c);
    SET(c, CURLOPT_HEADERFUNCTION, on_header);
    SET(c, CURLOPT_HEADERDATA, c);
    SET(c, CURLOPT_HTTPHEADER, c->headers);
}

struct http_call *http_start(struct http *h, const struct http_request *r, http_done_fn *done,
                             void *arg)
{
    struct http_call *c = mem_zalloc(sizeof(*c));

    must(r->timeout_ms > 0 && r->reply_max > 0);
    *c = (struct http_call){
        .h = h, .done = done, .part = r->part, .arg = arg, .body_max = r->reply_max};
    c->easy = curl_easy_init();
    must(c->easy);
    list_init(&c->node);
    list_add_tail(&h->calls, &c->node);
    set_request(c, r);
    set_common(c);
    set_tls(c);
    must(curl_multi_add_handle(h->multi, c->easy) == CURLM_OK);
    return c;
}

void http_cancel(struct http_call *c)
{
    if (c)
        call_free(c);
}

/* ---- life ---- */

static void init_library(void)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static char *copy_path(const char *path)
{
    return path && path[0] ? mem_strdup(path) : NULL;
}

struct http *http_new(struct ev_loop *loop, const struct http_opts *opts)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http *h = mem_zalloc(sizeof(*h));

    must(pthread_once(&once, init_library) == 0);
    h->loop = loop;
    h->ca_file = copy_path(opts->ca_file);
    h->cert_file = copy_path(opts->cert_file);
    h->key_file = copy_path(opts->key_file);
    list_init(&h->calls);
    ev_init(&h->timer, on_timer);
    h->multi = curl_multi_init();
    must(h->multi);
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    (void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    return h;
}

void http_free(struct http *h)
{
    struct http_call *c, *next;

    if (!h)
        return;
    list_for_each_safe(c, next, &h->calls, node)
        call_free(c);
    (void)curl_multi_cleanup(h->multi);
    ev_timer_stop(h->loop, &h->timer);
    free(h->ca_file);
    free(h->cert_file);
    free(h->key_file);
    free(h);
}
