/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls.c: see transport_tls.h. The check loads both files as libwebsockets will, and
 * throws them away again. Owns the process' ticket keys: those that OpenSSL made for the first
 * context.
 */
#include "edge-node/transport_tls.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* Nobody is there to be asked for it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the library's signature */
static int no_passphrase(char *dst, int size, int writing, void *arg)
{
    (void)dst, (void)size, (void)writing, (void)arg;
    return 0;
}

/* What is wrong with the certificate, and then with the key; NULL: nothing. */
static const char *chain_problem(SSL_CTX *ctx, const char *file)
{
    if (access(file, R_OK) != 0)
        return strerror(errno);
    return SSL_CTX_use_certificate_chain_file(ctx, file) == 1 ? NULL : "is no PEM certificate";
}

static const char *key_problem(SSL_CTX *ctx, const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    const char *problem = NULL;

    if (access(file, R_OK) != 0)
        problem = strerror(errno);
    else if (!key)
        problem = "is no PEM private key without a passphrase";
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        problem = "isn't the certificate's key";
    EVP_PKEY_free(key);
    BIO_free(bio);
    return problem;
}

int transport_tls_check(const char *certificate, const char *key, char *why, size_t why_size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    const char *name = "tls_certificate", *file = certificate;
    const char *problem = ctx ? chain_problem(ctx, certificate) : "OpenSSL can't start";

    if (!problem) {
        name = "tls_key";
        file = key;
        problem = key_problem(ctx, key);
    }
    if (problem)
        snprintf(why, why_size, "%s: %s: %s", name, file, problem);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return problem ? -EINVAL : 0;
}

int transport_tls_prepare(SSL_CTX *ctx)
{
    static unsigned char keys[256];
    static long size; /* 0: there are none yet */

    if (!size) {
        long n = SSL_CTX_get_tlsext_ticket_keys(ctx, NULL, 0);
        if (n <= 0 || n > (long)sizeof(keys) || !SSL_CTX_get_tlsext_ticket_keys(ctx, keys, n))
            return -EINVAL;
        size = n;
    }
    return SSL_CTX_set_tlsext_ticket_keys(ctx, keys, size) ? 0 : -EINVAL;
}
