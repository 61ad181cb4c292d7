/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http.h: what the client port answers to plain HTTP: /health/live, /health/ready. The
 * page's files are served by libwebsockets' mounts. @thread shard
 */
#pragma once

struct lws;

/* For LWS_CALLBACK_HTTP: what the callback returns. */
int transport_http_request(struct lws *wsi, const char *path);
