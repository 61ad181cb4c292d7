/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h: the admin listener: a small HTTP/1.1 server (libmicrohttpd) for /metrics, /health/live,
 * /health/ready and what a program adds. Bounded: at most 64 connections, 10 s each, and no body is
 * read. What changes something has a method of its own, and is refused to web pages (they can send
 * requests to any address, but not without an Origin).
 *
 * Runs in the calling thread on a libev loop (main); handlers must not block. Owns libmicrohttpd.
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

struct ev_loop;
struct admin;

struct admin_response {
    bool wants_text;          /* asked for: by ?format=text, or Accept: text/plain */
    int status;               /* 200 by default */
    const char *content_type; /* text/plain by default; static string */
    struct buf body;          /* freed by admin */
};

struct admin_route {
    const char *path; /* exact; "/metrics" for GET and HEAD, or with its method: "POST /drain" */
    void (*handle)(struct admin_response *res, void *arg);
    void *arg;
};

/* listen: "127.0.0.1:9100", "[::1]:9100", ":9100"; port 0 = any. routes (ended by path == NULL) is
 * borrowed. NULL with why filled: "127.0.0.1:9100 is in use: …". */
struct admin *admin_new(struct ev_loop *loop, const char *listen, const struct admin_route *routes,
                        char *why, size_t why_size);
int admin_port(const struct admin *a);
/* host:port as bound, for the log; "none" for NULL. */
#define ADMIN_ADDRESS_MAX 64
void admin_address(const struct admin *a, char dst[ADMIN_ADDRESS_MAX]);
void admin_free(struct admin *a);
