/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http.h: what the client port answers to plain HTTP (/health/live, /health/ready, and
 * refusals to upgrade), and what the URL of any request says. The page's files are served by
 * libwebsockets' mounts. @thread shard
 */
#pragma once

#include "common/base/base.h"

#define URL_MAX 4096 /* bytes; libwebsockets takes no longer heads */

struct lws;

/* For LWS_CALLBACK_FILTER_HTTP_CONNECTION, before anything of a plain request is looked at: none
 * may have a body. libwebsockets 4.1.6 would look for that of a pipelined one for ever, without a
 * pause; and at what follows the 100 MiB that it takes for a POST without a length, as often as it
 * can. */
int transport_http_begin(struct lws *wsi);
/* For LWS_CALLBACK_HTTP: what the callback returns. The path that the callback is given is less
 * than the request's where a mount led to it. */
int transport_http_request(struct lws *wsi);
/* For LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: to WebSocket only. libwebsockets would go on in HTTP/2,
 * too, where 4.1.6 has assertions that a client can make fail. */
int transport_http_upgrade(struct lws *wsi);
/* For LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, before the upgrade: refuses with a status that says
 * why. */
int transport_http_filter(struct lws *wsi);
/* Has the request no Origin, or one that `origins` allows? */
bool transport_http_origin_is_allowed(struct lws *wsi);
/* What the request's URL gives for a name ("format="), decoded, in `url`; empty: nothing. Only
 * until its headers are dropped, which is right after the upgrade. */
struct slice transport_http_argument(struct lws *wsi, const char *name, char url[URL_MAX]);
