/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_fixture.h: makes JSON Web Tokens with OpenSSL alone, so that libjwt is not tested by
 * itself. @thread any
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/base/buf.h"

static inline void add_base64url(struct buf *out, const void *p, size_t n)
{
    size_t from = out->n;

    buf_base64(out, (struct slice){p, n});
    while (out->n > from && out->p[out->n - 1] == '=')
        out->n--;
    for (size_t i = from; i < out->n; i++)
        if (out->p[i] == '+' || out->p[i] == '/')
            out->p[i] = out->p[i] == '+' ? '-' : '_';
}

/* How a token is signed: by key (RSA) or by secret (HMAC), or not at all. */
struct signer {
    EVP_PKEY *key;
    const char *secret;
    const EVP_MD *(*hash)(void);
};

static inline size_t sign(const struct signer *s, const struct buf *text, unsigned char *dst,
                          size_t size)
{
    EVP_MD_CTX *ctx;
    unsigned int n = 0;

    if (s->secret) {
        assert_non_null(HMAC(s->hash(), s->secret, (int)strlen(s->secret),
                             (const unsigned char *)text->p, text->n, dst, &n));
        return n;
    }
    if (!s->key)
        return 0;
    ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, s->hash(), NULL, s->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, dst, &size, (const unsigned char *)text->p, text->n), 1);
    EVP_MD_CTX_free(ctx);
    return size;
}

static inline struct buf make(const char *header, const char *claims, const struct signer *s)
{
    unsigned char signature[1024];
    struct buf b = BUF_INIT;
    size_t n;

    add_base64url(&b, header, strlen(header));
    buf_byte(&b, '.');
    add_base64url(&b, claims, strlen(claims));
    n = sign(s, &b, signature, sizeof(signature));
    buf_byte(&b, '.');
    if (n)
        add_base64url(&b, signature, n);
    return b;
}

static inline char *pem_of(EVP_PKEY *key, bool private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p, *text;
    long n;

    if (private)
        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    else
        assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    n = BIO_get_mem_data(bio, &p);
    text = mem_strndup(p, (size_t)n);
    BIO_free(bio);
    return text;
}
