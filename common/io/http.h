/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: an HTTP/1.1 client on a libev loop: requests that never block, each bounded in time and
 * bytes. Owns libcurl: nobody else sees its headers.
 *
 * A client belongs to one loop and thread and keeps its connections alive. Host names are resolved
 * on a thread of the library's own. Redirects aren't followed, proxies of the environment not used,
 * and nothing is tried again: whoever asks decides. TLS (https://) is 1.2 or later, and always
 * checked. @thread of the loop
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

struct ev_loop;
struct http;
struct http_call; /* a request under way */

struct http_opts {
    const char *ca_file;   /* PEM, instead of the system's authorities; NULL or "": those */
    const char *cert_file; /* PEM, the client's own certificate; NULL or "": none */
    const char *key_file;  /* PEM, with cert_file */
};

/* A reply that goes on for long: its next bytes, as they come. Called from inside the client: it
 * starts and cancels nothing. false: that is enough, the call ends with -ECANCELED. */
typedef bool http_part_fn(struct slice bytes, void *arg);

struct http_request {
    const char *method; /* "GET", "PUT", … */
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL; may be NULL */
    struct slice body;          /* p NULL: none */
    int64_t timeout_ms;         /* for all of it; must be > 0 */
    int64_t connect_ms;         /* for the connection, TLS included; 0: timeout_ms */
    size_t reply_max;           /* bytes of the reply's body; above it -EMSGSIZE. Must be > 0 */
    http_part_fn *part;         /* NULL, or takes the body of a 200 instead, bound or not */
};

/* Valid within its callback. */
struct http_reply {
    int err;    /* 0: it was answered, with whatever status; else -errno, see below */
    int status; /* 200, …; 0 if err */
    struct slice body;
    const char *why; /* what went wrong, for a log; "" if err is 0 */
    void *handle;    /* for http_reply_header() */
};
/* -ETIMEDOUT; -ECONNREFUSED, -EHOSTUNREACH (no connection, no such host); -ECONNRESET (broke
 * off); -EMSGSIZE; -EACCES (TLS: who answers can't be trusted, or doesn't trust us); -EBADMSG (no
 * HTTP); -EINVAL (unusable URL); -ECANCELED (part had enough); -EIO (anything else). */

typedef void http_done_fn(const struct http_reply *r, void *arg);

/* Files are read for each new connection, not now: they may be written anew. */
struct http *http_new(struct ev_loop *loop, const struct http_opts *opts);
/* Calls under way end without their callbacks. Not from inside a callback. */
void http_free(struct http *h);

/* Everything in r is copied. done is called once, from the loop, never from inside this call; it
 * may start and cancel calls. */
struct http_call *http_start(struct http *h, const struct http_request *r, http_done_fn *done,
                             void *arg);
/* done isn't called any more. Only before it was; NULL is harmless. */
void http_cancel(struct http_call *c);

/* The status of a reply that is under way; 0: none has come yet. Before done is called. */
int http_call_status(const struct http_call *c);

/* A header of the reply ("X-Consul-Index"); NULL if it has none. Borrowed like the reply. */
const char *http_reply_header(const struct http_reply *r, const char *name);

/* 0 for an absolute http:// or https:// URL with a host and no user (it goes into logs), else
 * -EINVAL with why. */
int http_url_check(const char *url, char *why, size_t why_size) _must_check_;
/* Percent-encodes all but A-Z a-z 0-9 - . _ ~: for one part of a path, or a query's value. */
void http_escape(struct buf *out, struct slice s);
