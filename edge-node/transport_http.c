/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_http.c: see transport_http.h. @thread shard
 */
#include "edge-node/transport_http.h"

#include <libwebsockets.h>

#include "edge-node/feed.h"
#include "edge-node/shard.h"

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

int transport_http_request(struct lws *wsi, const char *path)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));
    char why[256];

    if (!strcmp(path, "/health/live"))
        return respond(wsi, HTTP_STATUS_OK, "ok");
    if (!strcmp(path, "/health/ready")) {
        bool ready = feed_is_ready(sh->feed, why, sizeof(why)) && !sh->hub.draining;
        return respond(wsi, ready ? HTTP_STATUS_OK : HTTP_STATUS_SERVICE_UNAVAILABLE,
                       sh->hub.draining ? "draining" : why);
    }
    return respond(wsi, HTTP_STATUS_NOT_FOUND,
                   "not found; here are /connection/websocket, /health/live and /health/ready");
}
