/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_ws.c: see transport_ws.h. Each connection's user space is a struct ws_conn; the session
 * in it is the hub's.
 *
 * Closing: the code is kept, and sent from the next writable callback (libwebsockets takes a close
 * reason only there); a client that does not drain by CLOSE_WAIT_S is cut.
 */
#include "edge-node/transport_ws.h"

#include <errno.h>

#include <libwebsockets.h>

#include "common/runtime/conf.h"

#include "edge-node/edge_conf.h"
#include "edge-node/edge_metric.h"
#include "edge-node/session.h"
#include "edge-node/shard.h"
#include "edge-node/transport_http.h"

#define CLOSE_WAIT_S 5
#define READ_MAX     4096 /* bytes that one connection is read in one round of the loop */

struct ws_conn {
    struct ev_io in; /* our reading: libwebsockets' own is off */
    struct lws *wsi;
    const struct ws_app *app;
    void *top; /* the application's */
    SSL *ssl;  /* NULL: plain */
    struct ws_reader reader;
    struct buf pong;          /* payload of the latest ping, while the client takes nothing */
    const char *close_reason; /* static */
    uint16_t close_code;      /* of the frame that is to be sent */
    bool owes_pong, owes_close, closing, paused, deaf;
};

static struct ws_conn *conn_of(void *wsi)
{
    return lws_wsi_user(wsi);
}

static struct shard *shard_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* ---- down: the ops ---- */

static size_t frame(char *payload, size_t n, bool binary)
{
    return ws_put_head(payload, n, binary ? WS_BINARY : WS_TEXT);
}

static int write_framed(void *wsi, const char *p, size_t n)
{
    /* not modified: the raw path copies what it must keep */
    unsigned char *bytes = (unsigned char *)(uintptr_t)p;

    if (lws_write(wsi, bytes, n, LWS_WRITE_HTTP) >= 0)
        return 0;
    broken(conn_of(wsi));
    return -EPIPE;
}

static bool is_choked(const void *wsi)
{
    return lws_partial_buffered((struct lws *)(uintptr_t)wsi) != 0;
}

static void want_writable(void *wsi)
{
    lws_callback_on_writable(wsi);
}

static void pause_reading(void *wsi, bool on)
{
    lws_rx_flow_control(wsi, on ? 0 : 1);
}

static void close_ws(void *wsi, uint16_t code, const char *reason)
{
    struct ws_conn *c = conn_of(wsi);

    c->closing = true;
    c->close_code = code;
    c->close_reason = reason;
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, CLOSE_WAIT_S);
    lws_callback_on_writable(wsi);
}

static void prefetch(const void *wsi)
{
    const char *p = wsi;

    for (size_t i = 0; i < 5; i++) /* struct lws is 840 bytes; its hot lines are the first ones */
        __builtin_prefetch(p + 64 * i);
}

const struct transport transport_ws = {
    .name = "websocket",
    .head_max = 10,
    .frame = frame,
    .write = write_framed,
    .is_choked = is_choked,
    .want_writable = want_writable,
    .pause_reading = pause_reading,
    .close = close_ws,
    .prefetch = prefetch,
};

/* ---- up: libwebsockets' callbacks ---- */

static bool origin_is_allowed(struct lws *wsi, const struct conf_strings *allowed)
{
    char origin[256];
    int n = lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN);

    if (!allowed->n || n == 0) /* programs other than browsers send none */
        return true;
    for (size_t i = 0; n > 0 && i < allowed->n; i++)
        if (!strcmp(origin, allowed->v[i]))
            return true;
    return false;
}

static bool has_argument(struct lws *wsi, const char *name, const char *value)
{
    char text[64];
    const char *p = lws_get_urlarg_by_name(wsi, name, text, sizeof(text));

    return p && !strcmp(*p == '=' ? p + 1 : p, value);
}

/* Before the upgrade: refuse with a status that says why. */
static int filter(struct lws *wsi)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));
    char path[128];

    if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0 ||
        strcmp(path, WS_PATH) != 0) {
        lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, "WebSocket clients connect to " WS_PATH);
        return -1;
    }
    if (has_argument(wsi, "format=", "protobuf") || has_argument(wsi, "cf_protocol=", "protobuf")) {
        lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST, "this edge speaks JSON");
        return -1;
    }
    if (!origin_is_allowed(wsi, &sh->conf->origins)) {
        lws_return_http_status(wsi, HTTP_STATUS_FORBIDDEN, "origin not allowed");
        return -1;
    }
    return 0;
}

static void established(struct lws *wsi, struct ws_conn *c)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));

    shard_touch(sh);
    c->s = session_open(&sh->hub, wsi, &transport_ws, &proto_json);
    if (sh->hub.draining)
        session_close(c->s, DISCONNECT_SHUTDOWN);
}

static void too_big(struct ws_conn *c)
{
    buf_done(&c->message);
    session_close(c->s, DISCONNECT_TOO_BIG);
}

static void receive(struct lws *wsi, struct ws_conn *c, const char *p, size_t n)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));
    bool whole = lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi);

    if (!c->s || c->closing)
        return;
    shard_touch(sh);
    if (c->message.n + n > (size_t)sh->conf->frame_max) {
        too_big(c);
        return;
    }
    if (whole && !c->message.n) {
        session_on_message(c->s, (struct slice){p ? p : "", n});
        return;
    }
    buf_add(&c->message, p, n);
    if (whole) {
        struct buf message = c->message;
        c->message = BUF_INIT;
        session_on_message(c->s, buf_as_slice(&message));
        buf_done(&message);
    }
}

static int writeable(struct lws *wsi, struct ws_conn *c)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));

    if (c->closing) {
        lws_close_reason(wsi, c->close_code, (unsigned char *)(uintptr_t)c->close_reason,
                         strlen(c->close_reason));
        return -1;
    }
    if (c->s) {
        shard_touch(sh);
        session_on_writable(c->s);
    }
    return 0;
}

static void closed(struct lws *wsi, struct ws_conn *c)
{
    struct shard *sh = lws_context_user(lws_get_context(wsi));

    shard_touch(sh);
    if (c->s)
        session_on_close(c->s);
    c->s = NULL;
    buf_done(&c->message);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct ws_conn *c = user;

    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return filter(wsi);
    case LWS_CALLBACK_ESTABLISHED:
        established(wsi, c);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        receive(wsi, c, in, len);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writeable(wsi, c);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (c->s && !c->closing)
            session_peer_closes(c->s); /* nothing may be written behind a close frame */
        c->closing = true;
        return 0;
    case LWS_CALLBACK_CLOSED:
        closed(wsi, c);
        return 0;
    case LWS_CALLBACK_HTTP:
        return transport_http_request(wsi, in);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

/* rx_buffer_size is allocated for each connection; larger reads come in pieces. tx_packet_size: a
 * whole turn's write at once. */
const struct lws_protocols *transport_ws_protocols(void)
{
    static const struct lws_protocols list[] = {
        {"fanfare", on_event, sizeof(struct ws_conn), 512, 0, NULL, 1 << 20},
        {NULL, NULL, 0, 0, 0, NULL, 0},
    };
    return list;
}
