/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http.h: what the client port answers to plain HTTP: /health/live, /health/ready, and
 * refusals to upgrade. The page's files are served by libwebsockets' mounts. @thread shard
 */
#pragma once

struct lws;

/* For LWS_CALLBACK_HTTP: what the callback returns. */
int transport_http_request(struct lws *wsi, const char *path);
/* For LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, before the upgrade: refuses with a status that says
 * why. */
int transport_http_filter(struct lws *wsi);
