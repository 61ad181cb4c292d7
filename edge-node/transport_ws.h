/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_ws.h: WebSocket (RFC 6455) over libwebsockets, and the fast path that writes frames
 * made by us. The client port's few HTTP answers (health, page) are in transport_http.h.
 *
 * The fast path: send() or SSL_write(), and for what they don't take lws_write(wsi, bytes, n,
 * LWS_WRITE_HTTP), which on an established WebSocket sends bytes that are framed already, keeps
 * partial writes in order, and works under TLS. That is undocumented (rops_write_role_protocol_ws,
 * `send_raw`, in 4.1.6 and in 5.0); this file owns it, and tests/integration/test_edge_frames.py
 * guards it. @thread shard
 */
#pragma once

#include "edge-node/transport.h"

struct lws;
struct lws_protocols;
struct shard;

/* What stands above the WebSocket: the edge's sessions, or a test's echo. `conn` is for the ops of
 * transport_ws. on_close comes once, whatever was before. channel: what the URL's argument of that
 * name says, decoded and as the client wrote it; empty: nothing. */
struct ws_app {
    const char *path; /* where clients connect */
    void *(*on_open)(struct shard *sh, void *conn, struct slice channel);
    void (*on_message)(void *top, struct slice message, bool binary); /* a text is valid UTF-8 */
    void (*on_too_big)(void *top);    /* longer than frame_max: close it */
    void (*on_writable)(void *top);   /* want_writable() was asked for */
    void (*on_peer_close)(void *top); /* nothing may be written any more */
    void (*on_close)(void *top);      /* conn is gone */
};

extern const struct transport transport_ws;

/* The protocol list of a shard's vhost. */
const struct lws_protocols *transport_ws_protocols(void);
