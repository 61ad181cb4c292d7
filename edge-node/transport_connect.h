/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_connect.h: the HTTP of GET /connect: JSON for programs and web pages (with CORS, as
 * `origins` says), a redirect with redirect=1, and for a WebSocket that is opened right there.
 * @thread shard
 */
#pragma once

struct lws;

#define CONNECT_PATH "/connect"

/* For LWS_CALLBACK_HTTP of that path: what the callback returns. */
int transport_connect_request(struct lws *wsi);
/* An upgrade to WebSocket at that path: answers by a redirect, or says why not. */
void transport_connect_upgrade(struct lws *wsi);
