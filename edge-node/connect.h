/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h: GET /connect: where a client is best connected, as JSON or by a redirect
 * (docs/protocol.md#where-to-connect). Without HTTP: transport_connect.c has that.
 * @thread any
 */
#pragma once

#include "common/base/buf.h"
#include "common/runtime/namespace.h"

struct cluster;
struct feed;

struct connect_ask {
    struct slice channel;   /* empty: any */
    struct slice transport; /* empty: WebSocket */
};

struct connect_by {
    struct cluster *cluster;
    const struct namespaces *nss;
    const struct feed *feed;
    const char *path; /* of the WebSocket */
};

/* Writes the JSON to body, and the first URL to location. The HTTP status: 200; 400: this transport
 * isn't here; 503: no edge takes clients. Both are whole in each case; location is empty but with
 * 200. */
int connect_answer(const struct connect_by *by, const struct connect_ask *ask, struct buf *body,
                   struct buf *location);
