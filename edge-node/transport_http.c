/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http.c: see transport_http.h. @thread shard
 */
#include "edge-node/transport_http.h"

#include <libwebsockets.h>

#include "common/runtime/conf.h"

#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/feed.h"
#include "edge-node/shard.h"
#include "edge-node/transport_connect.h"
#include "edge-node/transport_ws.h"

static int respond(struct lws *wsi, unsigned int status, const char *text)
{
    unsigned char head[LWS_PRE + 512], *p = head + LWS_PRE, *end = head + sizeof(head) - 1;
    unsigned char body[LWS_PRE + 512];
    int n = lws_snprintf((char *)body + LWS_PRE, sizeof(body) - LWS_PRE, "%s\n", text);

    if (lws_add_http_common_headers(wsi, status, "text/plain", (lws_filepos_t)n, &p, end) ||
        lws_finalize_write_http_header(wsi, head + LWS_PRE, &p, end))
        return 1;
    if (lws_write(wsi, body + LWS_PRE, (size_t)n, LWS_WRITE_HTTP_FINAL) != n)
        return 1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

struct slice transport_http_argument(struct lws *wsi, const char *name, char url[URL_MAX])
{
    size_t len = strlen(name);
    int n;

    for (int i = 0;; i++) {
        n = lws_hdr_copy_fragment(wsi, url, URL_MAX, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return (struct slice){url, 0};
        if ((size_t)n >= len && !memcmp(url, name, len))
            return (struct slice){url + len, (size_t)n - len};
    }
}

/* Methods of which libwebsockets expects a body, of whatever length, unless they say otherwise. */
static bool is_sending(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) ||
           lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI) ||
           lws_hdr_total_length(wsi, WSI_TOKEN_PATCH_URI);
}

static bool has_body(struct lws *wsi)
{
    char length[8];
    int n = lws_hdr_copy(wsi, length, sizeof(length), WSI_TOKEN_HTTP_CONTENT_LENGTH);

    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING))
        return true;
    return n == 0 ? is_sending(wsi) : n < 0 || strcmp(length, "0") != 0;
}

int transport_http_begin(struct lws *wsi)
{
    if (!has_body(wsi))
        return 0;
    lws_return_http_status(wsi, HTTP_STATUS_REQ_ENTITY_TOO_LARGE, "no request has a body here");
    return -1;
}

int transport_http_request(struct lws *wsi)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));
    char why[256], *path;
    int n;

    if (lws_http_get_uri_and_method(wsi, &path, &n) < 0)
        return -1;
    if (!strcmp(path, "/health/live"))
        return respond(wsi, HTTP_STATUS_OK, "ok");
    if (!strcmp(path, "/health/ready")) {
        bool leaves = shard_ordered(sh) >= SHARD_LEAVES;
        bool ready = feed_is_ready(sh->feed, why, sizeof(why)) && !leaves;
        return respond(wsi, ready ? HTTP_STATUS_OK : HTTP_STATUS_SERVICE_UNAVAILABLE,
                       leaves ? "draining" : why);
    }
    if (sh->cluster && !strcmp(path, CONNECT_PATH))
        return transport_connect_request(wsi);
    return respond(wsi, HTTP_STATUS_NOT_FOUND,
                   "not found; here are /connection/websocket, /connect, /health/live and "
                   "/health/ready");
}

bool transport_http_origin_is_allowed(struct lws *wsi)
{
    const struct shard *sh = lws_context_user(lws_get_context(wsi));
    const struct conf_strings *allowed = &sh->conf->origins;
    char origin[256];
    int n = lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN);

    if (!allowed->n || n == 0) /* programs other than browsers send none */
        return true;
    for (size_t i = 0; n > 0 && i < allowed->n; i++)
        if (!strcmp(origin, allowed->v[i]))
            return true;
    return false;
}

static bool wants_protobuf(struct lws *wsi)
{
    char url[URL_MAX];

    return slice_eq(transport_http_argument(wsi, "format=", url), SLICE("protobuf")) ||
           slice_eq(transport_http_argument(wsi, "cf_protocol=", url), SLICE("protobuf"));
}

/* What it doesn't know it has refused already, and its headers may be gone. */
int transport_http_upgrade(struct lws *wsi)
{
    char to[16];

    if (lws_hdr_copy(wsi, to, sizeof(to), WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    if (!strcasecmp(to, "websocket"))
        return 0;
    if (!strcasecmp(to, "h2c"))
        lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST, "this edge speaks HTTP/1.1");
    return -1;
}

static int refuse(struct lws *wsi, unsigned int status, const char *text)
{
    lws_return_http_status(wsi, status, text);
    return -1;
}

int transport_http_filter(struct lws *wsi)
{
    const struct shard *sh = lws_context_user(lws_get_context(wsi));
    char path[128], text[160];
    bool has_path = lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) > 0;
    bool asks = has_path && sh->cluster && strcmp(path, CONNECT_PATH) == 0;

    if (!asks && (!has_path || strcmp(path, sh->app->path) != 0)) {
        lws_snprintf(text, sizeof(text), "WebSocket clients connect to %s", sh->app->path);
        return refuse(wsi, HTTP_STATUS_NOT_FOUND, text);
    }
    if (wants_protobuf(wsi))
        return refuse(wsi, HTTP_STATUS_BAD_REQUEST, "this edge speaks JSON");
    if (!transport_http_origin_is_allowed(wsi))
        return refuse(wsi, HTTP_STATUS_FORBIDDEN, "origin not allowed");
    if (asks) {
        transport_connect_upgrade(wsi);
        return -1;
    }
    if (shard_ordered(sh) >= SHARD_REFUSES)
        return refuse(wsi, HTTP_STATUS_SERVICE_UNAVAILABLE, "draining: connect to another edge");
    if (sh->conf->clients_max && metric_read(&edge_metrics.connections) >= sh->conf->clients_max) {
        METRIC_ADD(refused, 1);
        return refuse(wsi, HTTP_STATUS_SERVICE_UNAVAILABLE, "full: connect to another edge");
    }
    return 0;
}
