/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_tls.c: see sink_tls.h. Owns one SSL_CTX and one session, for the process' whole life.
 */
#include "tests/bench/sink_tls.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *ctx;
static SSL_SESSION *session; /* the first that a server gave */
static bool resuming;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "bench_sink: TLS: %s: %s\n", what,
                  ERR_reason_error_string(ERR_peek_last_error()));
    exit(1);
}

static int on_session(SSL *ssl, SSL_SESSION *new)
{
    (void)ssl;
    if (session)
        return 0;
    session = new;
    return 1;
}

static void start(void)
{
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
        die("the library can't start");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_read_ahead(ctx, 1);
    /* Thousands of clients: their buffers, 32 KiB each, would be most of the memory. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}

SSL *sink_tls_new(int fd)
{
    if (!ctx)
        start();
    SSL *ssl = SSL_new(ctx);
    if (!ssl || !SSL_set_fd(ssl, fd))
        die("a client can't start");
    SSL_set_connect_state(ssl);
    if (resuming) { /* a copy: the library uses a session once */
        SSL_SESSION *own = SSL_SESSION_dup(session);
        if (!own || SSL_set_session(ssl, own) != 1)
            die("a session");
        SSL_SESSION_free(own);
    }
    return ssl;
}

void sink_tls_free(SSL *ssl)
{
    if (ssl) /* else the library takes its session for a bad one */
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
}

void sink_tls_resume(void)
{
    if (!session)
        die("no ticket has come");
    resuming = true;
}

bool sink_tls_is_resumed(const SSL *ssl)
{
    return SSL_session_reused(ssl);
}

bool sink_tls_shake(SSL *ssl)
{
    int r = SSL_do_handshake(ssl);
    if (r == 1)
        return true;
    if (SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ)
        die("handshake");
    return false;
}

size_t sink_tls_read(SSL *ssl, void *to, size_t n)
{
    size_t got = 0;
    int r = SSL_read_ex(ssl, to, n, &got);
    if (r == 1)
        return got;
    if (SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ)
        die("a connection was lost");
    return 0;
}

void sink_tls_write(SSL *ssl, struct slice data)
{
    size_t put = 0;
    if (SSL_write_ex(ssl, data.p, data.n, &put) != 1 || put != data.n)
        die("send");
}

void sink_tls_print(const SSL *ssl, char *to, size_t n)
{
    (void)snprintf(to, n, "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
}
