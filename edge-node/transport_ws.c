/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_ws.c: see transport_ws.h. Each connection's user space is a struct ws_conn; `top` is
 * what the application made of it.
 *
 * Reading is ours from the upgrade on (docs/decisions/0004-pings.md): libwebsockets' own reading is
 * switched off, an ev_io of ours reads (through TLS where there is TLS), ws_frame.c puts messages
 * together. A write goes straight to the socket, or to OpenSSL; only what that doesn't take is
 * libwebsockets' to keep and to send (docs/decisions/0020-direct-writes.md), and so are the
 * upgrade, HTTP and the TLS handshake.
 *
 * Closing: the side that closes first sends its frame, then only a close frame is listened for; a
 * client that neither answers nor drains by CLOSE_WAIT_S is cut, at most a second late. What is
 * buffered is sent first.
 */
#include "edge-node/transport_ws.h"

#include <errno.h>
#include <sys/socket.h>

#include <libwebsockets.h>
#include <openssl/ssl.h>

#include "edge-node/edge_conf.h"
#include "edge-node/sends.h"
#include "edge-node/shard.h"
#include "edge-node/transport_http.h"
#include "edge-node/transport_read.h"
#include "edge-node/transport_tls.h"
#include "edge-node/ws_frame.h"

#define CLOSE_WAIT_S 5
#define READ_MAX     4096      /* bytes; a connection is read once in a round of the loop */
#define TX_MAX       (1 << 20) /* bytes that libwebsockets hands to OpenSSL at once */

/* The ops' `conn`. What a write touches comes first. */
struct ws_conn {
    struct lws *wsi;
    SSL *ssl; /* NULL: plain */
    int fd;
    bool is_choked; /* libwebsockets may hold bytes that go first; it tells when it has none */
    bool owes_pong, closing, read_wants_write;
    void *top; /* NULL: the application has been told of the end */
    struct ev_io in;
    struct ws_reader reader;
    struct buf pong; /* payload of the latest ping, while the client takes nothing */
};

static struct shard *shard_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* ---- down: the ops ---- */

static size_t frame(char *payload, size_t n, bool binary)
{
    return ws_put_head(payload, n, binary ? WS_BINARY : WS_TEXT);
}

/* True: the socket took all of it. Else *p and *n are what is left. */
static bool write_now(struct ws_conn *c, const char **p, size_t *n)
{
    ssize_t rc;

    if (c->ssl) /* all or nothing: what isn't taken is to be written again just as it is */
        return *n <= TX_MAX && SSL_write(c->ssl, *p, (int)*n) > 0;
    rc = send(c->fd, *p, *n, MSG_NOSIGNAL);
    if (rc > 0) {
        *p += rc;
        *n -= (size_t)rc;
    }
    return *n == 0;
}

/* What the socket didn't take, and what comes after it, is libwebsockets' to send. */
static int write_rest(struct ws_conn *c, const char *p, size_t n)
{
    /* not modified: the raw path copies what it must keep */
    if (lws_write(c->wsi, (unsigned char *)(uintptr_t)p, n, LWS_WRITE_HTTP) >= 0) {
        c->is_choked = lws_partial_buffered(c->wsi) != 0;
        return 0;
    }
    ev_feed_event(shard_of(c->wsi)->loop, &c->in, EV_CUSTOM); /* on_input() ends it */
    return -EPIPE;
}

static int write_framed(void *conn, const char *p, size_t n)
{
    struct ws_conn *c = conn;

    if (!c->is_choked && write_now(c, &p, &n))
        return 0;
    return write_rest(c, p, n);
}

static void send_all(struct sends *sends, struct transport_write *w, size_t n)
{
    const int32_t *sent;

    for (size_t i = 0; i < n; i++)
        sends_add(sends, ((const struct ws_conn *)w[i].conn)->fd, w[i].p, w[i].n);
    sent = sends_run(sends);
    for (size_t i = 0; i < n; i++) {
        size_t took = sent[i] > 0 ? (size_t)sent[i] : 0;
        w[i].rc = took == w[i].n ? 0 : write_rest(w[i].conn, w[i].p + took, w[i].n - took);
    }
}

static void write_many(struct transport_write *w, size_t n)
{
    const struct ws_conn *first = w[0].conn;
    struct sends *sends = n > 1 && !first->ssl ? shard_of(first->wsi)->sends : NULL;

    for (size_t i = 0; !sends && i < n; i++)
        w[i].rc = write_framed(w[i].conn, w[i].p, w[i].n);
    for (size_t i = 0; sends && i < n; i += SENDS_MAX)
        send_all(sends, w + i, n - i < SENDS_MAX ? n - i : SENDS_MAX);
}

static bool is_choked(const void *conn)
{
    return ((const struct ws_conn *)conn)->is_choked;
}

static void want_writable(void *conn)
{
    lws_callback_on_writable(((struct ws_conn *)conn)->wsi);
}

static void pause_reading(void *conn, bool on)
{
    struct ws_conn *c = conn;
    struct shard *sh = shard_of(c->wsi);

    if (on && !c->closing)
        ev_io_stop(sh->loop, &c->in);
    else
        ev_io_start(sh->loop, &c->in);
}

/* Control frames may go out behind whatever is buffered: lws_write() keeps the order. */
static void write_control(struct ws_conn *c, enum ws_opcode type, struct slice payload)
{
    char bytes[WS_HEAD_MAX + WS_CONTROL_MAX], *p = bytes + WS_HEAD_MAX;
    size_t head;

    memcpy(p, payload.p, payload.n);
    head = ws_put_head(p, payload.n, type);
    (void)write_framed(c, p - head, head + payload.n); /* if it fails, the client is gone */
}

/* Sends our close frame; from now on only the client's is awaited. */
static void say_close(struct ws_conn *c, int code, struct slice reason)
{
    char payload[WS_CONTROL_MAX] = {(char)(code >> 8), (char)code};
    size_t n = reason.n < sizeof(payload) - 2 ? reason.n : sizeof(payload) - 2;

    memcpy(payload + 2, reason.p, n);
    c->closing = c->reader.only_close = true;
    write_control(c, WS_CLOSE, (struct slice){payload, code == WS_CLOSE_NONE ? 0 : n + 2});
}

static void close_ws(void *conn, uint16_t code, const char *reason)
{
    struct ws_conn *c = conn;

    if (c->closing)
        return;
    say_close(c, code, slice_of(reason));
    pause_reading(c, false);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, CLOSE_WAIT_S);
}

static void prefetch(const void *conn)
{
    const struct ws_conn *c = conn;

    __builtin_prefetch(c);
    __builtin_prefetch(&c->read_wants_write);
}

const struct transport transport_ws = {
    .head_max = WS_HEAD_MAX,
    .frame = frame,
    .write = write_framed,
    .write_many = write_many,
    .is_choked = is_choked,
    .want_writable = want_writable,
    .pause_reading = pause_reading,
    .close = close_ws,
    .prefetch = prefetch,
};

/* ---- reading ---- */

static void tell_end(struct ws_conn *c)
{
    struct shard *sh = shard_of(c->wsi);
    void *top = c->top;

    ev_io_stop(sh->loop, &c->in); /* also what was fed */
    c->top = NULL;
    if (top)
        sh->app->on_close(top);
}

/* c is freed when this returns, or, if it has still to be sent something, a little later. */
static void end(struct ws_conn *c)
{
    tell_end(c);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void on_ping(struct ws_conn *c, struct slice payload)
{
    if (!c->is_choked) {
        c->owes_pong = false; /* an older one would come behind this one */
        write_control(c, WS_PONG, payload);
        return;
    }
    /* RFC 6455 5.5.3 allows to answer only the latest: what a client makes us hold is bounded */
    buf_clear(&c->pong);
    buf_slice(&c->pong, payload);
    c->owes_pong = true;
    lws_callback_on_writable(c->wsi);
}

static void break_off(struct ws_conn *c, int code)
{
    struct shard *sh = shard_of(c->wsi);

    if (code == WS_CLOSE_TOO_BIG) {
        sh->app->on_too_big(c->top);
    } else {
        sh->app->on_peer_close(c->top);
        close_ws(c, (uint16_t)code, "");
    }
    c->reader.only_close = true;
}

/* False: the connection has ended. */
static bool take(struct ws_conn *c, struct ws_input in)
{
    struct shard *sh = shard_of(c->wsi);
    struct ws_event e;

    for (;;) {
        int rc = ws_reader_next(&c->reader, &in, (size_t)sh->conf->frame_max, &e);
        if (rc == 0)
            return true;
        if (rc < 0) {
            break_off(c, -rc);
        } else if (e.type == WS_PING) {
            on_ping(c, e.payload);
        } else if (e.type == WS_CLOSE) {
            if (!c->closing) {
                sh->app->on_peer_close(c->top); /* nothing may be written behind a close frame */
                say_close(c, ws_close_code(e.payload), SLICE(""));
            }
            end(c);
            return false;
        } else if (e.type != WS_PONG) {
            sh->app->on_message(c->top, e.payload, e.type == WS_BINARY);
        }
    }
}

static ssize_t read_some(struct ws_conn *c, char *p, size_t n)
{
    ssize_t rc;

    if (!c->ssl)
        return transport_read_plain(c->fd, p, n);
    rc = transport_read_tls(c->ssl, p, n, &c->read_wants_write);
    if (c->read_wants_write)
        lws_callback_on_writable(c->wsi);
    return rc;
}

static void on_input(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct ws_conn *c = container_of(w, struct ws_conn, in);
    char bytes[READ_MAX];
    ssize_t n;

    (void)loop;
    shard_touch(shard_of(c->wsi));
    if (events & EV_CUSTOM) { /* it can't be written to */
        end(c);
        return;
    }
    do { /* with TLS a whole record, at most 16 KiB: the socket does not tell of its rest */
        n = read_some(c, bytes, sizeof(bytes));
        if (n < 0)
            end(c);
        else if (n > 0 && !take(c, (struct ws_input){bytes, (size_t)n}))
            n = -EPIPE;
    } while (n > 0 && c->ssl && SSL_pending(c->ssl));
}

/* ---- up: libwebsockets' callbacks ---- */

static void established(struct lws *wsi, struct ws_conn *c)
{
    struct shard *sh = shard_of(wsi);
    char url[URL_MAX];

    lws_rx_flow_control(wsi, 0); /* it reads no more */
    c->wsi = wsi;
    c->ssl = lws_is_ssl(wsi) ? lws_get_ssl(wsi) : NULL;
    c->fd = lws_get_socket_fd(wsi);
    c->is_choked = lws_partial_buffered(wsi) != 0;
    ev_io_init(&c->in, on_input, c->fd, EV_READ);
    ev_io_start(sh->loop, &c->in);
    if (c->ssl) /* what came in one record with the upgrade's last bytes */
        ev_feed_event(sh->loop, &c->in, EV_READ);
    shard_touch(sh);
    c->top = sh->app->on_open(sh, c, transport_http_argument(wsi, "channel=", url));
}

static int writeable(struct lws *wsi, struct ws_conn *c)
{
    struct shard *sh = shard_of(wsi);

    c->is_choked = lws_partial_buffered(wsi) != 0;
    if (c->read_wants_write) {
        c->read_wants_write = false;
        ev_feed_event(sh->loop, &c->in, EV_READ);
    }
    if (c->owes_pong && !c->closing) {
        c->owes_pong = false;
        write_control(c, WS_PONG, buf_as_slice(&c->pong));
        buf_done(&c->pong);
    }
    if (c->top && !c->closing) {
        shard_touch(sh);
        sh->app->on_writable(c->top);
    }
    return 0;
}

static void closed(struct lws *wsi, struct ws_conn *c)
{
    if (!c->wsi) /* its upgrade was refused: it never was a connection */
        return;
    shard_touch(shard_of(wsi));
    tell_end(c);
    ws_reader_done(&c->reader);
    buf_done(&c->pong);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct ws_conn *c = user;

    switch (reason) {
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        return transport_http_begin(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return transport_http_upgrade(wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return transport_http_filter(wsi);
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT: it would stay for ever */
        return -1;
    case LWS_CALLBACK_ESTABLISHED:
        established(wsi, c);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writeable(wsi, c);
    case LWS_CALLBACK_CLOSED:
        closed(wsi, c);
        return 0;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return transport_tls_prepare(user);
    case LWS_CALLBACK_HTTP:
        return transport_http_request(wsi);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

/* rx_buffer_size is allocated for each connection, and not used: we read. tx_packet_size: a whole
 * turn's write at once. */
const struct lws_protocols *transport_ws_protocols(void)
{
    static const struct lws_protocols list[] = {
        {"fanfare", on_event, sizeof(struct ws_conn), 1, 0, NULL, TX_MAX},
        {NULL, NULL, 0, 0, 0, NULL, 0},
    };
    return list;
}
