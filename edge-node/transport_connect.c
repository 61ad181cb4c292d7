/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_connect.c: see transport_connect.h. connect.c decides what is answered.
 */
#include "edge-node/transport_connect.h"

#include <libwebsockets.h>

#include "edge-node/connect.h"
#include "edge-node/edge_conf.h"
#include "edge-node/shard.h"
#include "edge-node/transport_http.h"
#include "edge-node/transport_ws.h"

#define HEAD_MAX   2048 /* bytes, an origin and a URL among them */
#define ORIGIN_MAX 256

static int answer_for(struct lws *wsi, struct buf *body, struct buf *location)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));
    struct connect_by by = {
        .cluster = sh->cluster, .nss = sh->hub.nss, .feed = sh->feed, .path = sh->app->path};
    char channel[URL_MAX], transport[URL_MAX];
    struct connect_ask ask = {.channel = transport_http_argument(wsi, "channel=", channel),
                              .transport = transport_http_argument(wsi, "transport=", transport)};

    return connect_answer(&by, &ask, body, location);
}

static bool wants_redirect(struct lws *wsi)
{
    char url[URL_MAX];

    return slice_eq(transport_http_argument(wsi, "redirect=", url), SLICE("1"));
}

/* ---- writing ---- */

struct head {
    unsigned char bytes[LWS_PRE + HEAD_MAX], *at, *end;
    bool bad; /* it didn't fit */
};

static void add(struct lws *wsi, struct head *h, enum lws_token_indexes name, const char *value,
                size_t n)
{
    h->bad = h->bad || lws_add_http_header_by_token(wsi, name, (const unsigned char *)value, (int)n,
                                                    &h->at, h->end);
}

/* A page of any origin may read this, or of those that `origins` lists: it was checked before. */
static void add_cors(struct lws *wsi, struct head *h)
{
    const struct shard *sh = lws_context_user(lws_get_context(wsi));
    char origin[ORIGIN_MAX];
    int n = lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN);

    if (n <= 0)
        return;
    if (!sh->conf->origins.n) {
        add(wsi, h, WSI_TOKEN_HTTP_ACCESS_CONTROL_ALLOW_ORIGIN, "*", 1);
        return;
    }
    add(wsi, h, WSI_TOKEN_HTTP_ACCESS_CONTROL_ALLOW_ORIGIN, origin, (size_t)n);
    add(wsi, h, WSI_TOKEN_HTTP_VARY, "Origin", 6);
}

static int write_all(struct lws *wsi, int status, struct buf *body, struct slice location)
{
    struct head h = {.at = h.bytes + LWS_PRE, .end = h.bytes + sizeof(h.bytes) - 1};
    int n = (int)(body->n - LWS_PRE);

    h.bad = lws_add_http_common_headers(wsi, (unsigned int)status, "application/json",
                                        (lws_filepos_t)n, &h.at, h.end);
    add(wsi, &h, WSI_TOKEN_HTTP_CACHE_CONTROL, "no-store", 8);
    if (location.n)
        add(wsi, &h, WSI_TOKEN_HTTP_LOCATION, location.p, location.n);
    add_cors(wsi, &h);
    if (h.bad || lws_finalize_write_http_header(wsi, h.bytes + LWS_PRE, &h.at, h.end))
        return -1;
    if (lws_write(wsi, (unsigned char *)body->p + LWS_PRE, (size_t)n, LWS_WRITE_HTTP_FINAL) != n)
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

int transport_connect_request(struct lws *wsi)
{
    struct buf body = BUF_INIT, location = BUF_INIT;
    int status, rc;

    memset(buf_reserve(&body, LWS_PRE), 0, LWS_PRE);
    body.n = LWS_PRE; /* lws_write() may use what is before */
    if (!transport_http_origin_is_allowed(wsi)) {
        buf_lit(&body, "{\"endpoints\":[],\"error\":\"origin not allowed\"}\n");
        status = HTTP_STATUS_FORBIDDEN;
    } else {
        status = answer_for(wsi, &body, &location);
    }
    if (!wants_redirect(wsi))
        buf_clear(&location);
    else if (status == HTTP_STATUS_OK)
        status = 307;
    rc = write_all(wsi, status, &body, buf_as_slice(&location));
    buf_done(&body);
    buf_done(&location);
    return rc;
}

/* libwebsockets would answer in HTTP/1.0, which WebSocket clients don't take. */
void transport_connect_upgrade(struct lws *wsi)
{
    struct buf body = BUF_INIT, location = BUF_INIT, head = BUF_INIT;
    int status = answer_for(wsi, &body, &location);

    memset(buf_reserve(&head, LWS_PRE), 0, LWS_PRE);
    head.n = LWS_PRE;
    if (status == HTTP_STATUS_OK)
        buf_printf(&head, "HTTP/1.1 307 Temporary Redirect\r\nLocation: %.*s\r\n", (int)location.n,
                   location.p);
    else
        buf_printf(&head, "HTTP/1.1 %d Refused\r\n", status);
    buf_lit(&head, "Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (void)lws_write(wsi, (unsigned char *)head.p + LWS_PRE, head.n - LWS_PRE,
                    LWS_WRITE_HTTP_HEADERS);
    buf_done(&head);
    buf_done(&body);
    buf_done(&location);
}
