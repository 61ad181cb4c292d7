/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_tls.c: see bare_tls.h. Owns one SSL_CTX, for the process' whole life.
 */
#include "tests/bench/bare_tls.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *ctx;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "bench_bare: %s: %s\n", what,
                  ERR_reason_error_string(ERR_peek_last_error()));
    exit(1);
}

void bare_tls_start(const char *certificate, const char *key)
{
    ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
        die("TLS");
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        die(certificate);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        die(key);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
}

SSL *bare_tls_new(int fd)
{
    SSL *ssl = SSL_new(ctx);
    if (!ssl || !SSL_set_fd(ssl, fd))
        die("a client");
    SSL_set_accept_state(ssl);
    return ssl;
}

void bare_tls_free(SSL *ssl)
{
    SSL_free(ssl);
}

int bare_tls_read(SSL *ssl, char *to, size_t n)
{
    int r = SSL_read(ssl, to, (int)n);
    if (r > 0)
        return r;
    int why = SSL_get_error(ssl, r);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool bare_tls_write(SSL *ssl, const char *p, size_t n)
{
    if (SSL_write(ssl, p, (int)n) == (int)n)
        return true;
    ERR_clear_error();
    return false;
}
