/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c: see token.h; the only file that sees libjwt, and OpenSSL for a look at the RSA key.
 *
 * libjwt takes the algorithm from the token, which is its sender's to choose. So the header's alg
 * is read first and names the one key the token may be verified by: what says HS256 is only ever
 * compared with the HMAC secret, never with the text of the RSA key.
 */
#include "common/io/token.h"

#include <errno.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "common/base/clock.h"
#include "common/runtime/json.h"

#define TOKEN_MAX_BYTES KIB(8)
#define CHANNELS_MAX    128
#define HMAC_MIN_BYTES  32   /* RFC 7518 3.2: at least the hash's size */
#define RSA_MIN_BITS    2048 /* RFC 7518 3.3 */

struct token_keys {
    char *hmac, *rsa; /* NULL: not configured */
};

/* What is wrong with the public key, or NULL. */
static const char *rsa_problem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    const char *problem = NULL;

    if (!key)
        problem = "is no PEM public key (\"-----BEGIN PUBLIC KEY-----\")";
    else if (EVP_PKEY_base_id(key) != EVP_PKEY_RSA)
        problem = "is not the key of RSA";
    else if (EVP_PKEY_bits(key) < RSA_MIN_BITS)
        problem = "has fewer than 2048 bits";
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return problem;
}

struct token_keys *token_keys_new(const char *hmac_secret, const char *rsa_public_pem, char *why,
                                  size_t why_size)
{
    bool has_hmac = hmac_secret && hmac_secret[0], has_rsa = rsa_public_pem && rsa_public_pem[0];
    const char *problem = has_rsa ? rsa_problem(rsa_public_pem) : NULL;
    struct token_keys *k;

    if (!has_hmac && !has_rsa) {
        snprintf(why, why_size, "no key for tokens is configured");
        return NULL;
    }
    if (has_hmac && strlen(hmac_secret) < HMAC_MIN_BYTES) {
        snprintf(why, why_size, "token_hmac_secret: has %zu bytes; HS256 needs at least %d",
                 strlen(hmac_secret), HMAC_MIN_BYTES);
        return NULL;
    }
    if (problem) {
        snprintf(why, why_size, "token_rsa_public_key: %s", problem);
        return NULL;
    }
    k = mem_zalloc(sizeof(*k));
    k->hmac = has_hmac ? mem_strdup(hmac_secret) : NULL;
    k->rsa = has_rsa ? mem_strdup(rsa_public_pem) : NULL;
    return k;
}

void token_keys_free(struct token_keys *k)
{
    if (!k)
        return;
    free(k->hmac);
    free(k->rsa);
    free(k);
}

/* Three parts of base64url, so that nothing behind this sees other bytes. */
static bool is_shaped(struct slice s)
{
    size_t dots = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (c == '.')
            dots++;
        else if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return dots == 2;
}

/* The alg an unverified token says it has; JWT_ALG_NONE for all that isn't ours. */
static int read_alg(const char *text, jwt_alg_t *ret)
{
    const char *alg;
    jwt_t *j = NULL;

    if (jwt_decode(&j, text, NULL, 0) != 0)
        return -EBADMSG;
    alg = jwt_get_header(j, "alg");
    *ret = JWT_ALG_NONE;
    if (alg && strcmp(alg, "HS256") == 0)
        *ret = JWT_ALG_HS256;
    else if (alg && strcmp(alg, "RS256") == 0)
        *ret = JWT_ALG_RS256;
    jwt_free(j);
    return 0;
}

static int verify(const struct token_keys *k, const char *text, jwt_t **ret)
{
    const char *key = NULL;
    jwt_alg_t alg;
    jwt_t *j = NULL;
    int rc = read_alg(text, &alg);

    if (rc)
        return rc;
    if (alg != JWT_ALG_NONE)
        key = alg == JWT_ALG_HS256 ? k->hmac : k->rsa;
    if (!key)
        return -EACCES;
    rc = jwt_decode(&j, text, (const unsigned char *)key, (int)strlen(key));
    ERR_clear_error(); /* the thread's error queue is TLS's too */
    if (rc)
        return -EACCES;
    if (jwt_get_alg(j) != alg) {
        jwt_free(j);
        return -EACCES;
    }
    *ret = j;
    return 0;
}

/* ---- claims ---- */

static int take_list(const struct json *claims, const char *name, char ***ret, size_t *ret_n)
{
    const struct json *list = json_get(claims, name);
    size_t n = json_size(list);
    struct slice s;

    if (!list || json_kind(list) == JSON_T_NULL)
        return 0;
    if (json_kind(list) != JSON_T_ARRAY)
        return -EBADMSG;
    if (n > CHANNELS_MAX)
        return -E2BIG;
    *ret = mem_zalloc(sizeof(**ret) * (n + 1));
    for (size_t i = 0; i < n; i++) {
        if (!json_text(json_at(list, i), &s))
            return -EBADMSG;
        (*ret)[(*ret_n)++] = mem_strndup(s.p, s.n);
    }
    return 0;
}

static int take_string(const struct json *claims, const char *name, char **ret)
{
    const struct json *j = json_get(claims, name);
    struct slice s = {"", 0};

    if (j && json_kind(j) != JSON_T_NULL && !json_text(j, &s))
        return -EBADMSG;
    *ret = mem_strndup(s.p, s.n);
    return 0;
}

/* A time claim: seconds, an integer or not (RFC 7519 NumericDate). 0 if absent, so what is not
 * after 1970 becomes its first second: an exp of 0 has passed and doesn't mean never. */
static int take_time(const struct json *claims, const char *name, int64_t *ret)
{
    const struct json *j = json_get(claims, name);
    double seconds;

    *ret = 0;
    if (!j)
        return 0;
    if (!json_number(j, &seconds) || !(seconds > -1e11 && seconds < 1e11))
        return -EBADMSG;
    *ret = seconds < 1 ? 1 : (int64_t)seconds;
    return 0;
}

static int take_claims(const struct json *claims, int64_t leeway, struct token *t)
{
    int64_t now = clock_wall_ms() / 1000, nbf;
    const struct json *info = json_get(claims, "info");
    int rc;

    if (json_kind(claims) != JSON_T_OBJECT)
        return -EBADMSG;
    if ((rc = take_string(claims, "sub", &t->sub)) ||
        (rc = take_string(claims, "channel", &t->channel)))
        return rc;
    if ((rc = take_list(claims, "channels", &t->channels, &t->channel_count)) ||
        (rc = take_list(claims, "allow", &t->allow, &t->allow_count)))
        return rc;
    if ((rc = take_time(claims, "exp", &t->exp)) || (rc = take_time(claims, "nbf", &nbf)))
        return rc;
    t->info = info ? json_print(info) : mem_strdup("");
    if (nbf && nbf > now + leeway)
        return -EACCES;
    return t->exp && t->exp + leeway <= now ? -ETIME : 0;
}

int token_check(const struct token_keys *k, struct slice text, int64_t leeway, struct token *ret)
{
    struct json_error err;
    struct token t = {0};
    struct json *claims;
    char *copy, *grants;
    jwt_t *j = NULL;
    int rc;

    if (text.n > TOKEN_MAX_BYTES)
        return -E2BIG;
    if (!is_shaped(text))
        return -EBADMSG;
    copy = mem_strndup(text.p, text.n);
    rc = verify(k, copy, &j);
    free(copy);
    if (rc)
        return rc;
    grants = jwt_get_grants_json(j, NULL);
    jwt_free(j);
    if (!grants)
        return -EBADMSG;
    claims = json_parse(slice_of(grants), &err);
    free(grants); /* jwt_free_str() is newer than 1.10; the allocator is the default one */
    rc = claims ? take_claims(claims, leeway, &t) : -EBADMSG;
    json_free(claims);
    if (rc)
        token_done(&t);
    else
        *ret = t;
    return rc;
}

static void list_free(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

void token_done(struct token *t)
{
    free(t->sub);
    free(t->channel);
    free(t->info);
    list_free(t->channels, t->channel_count);
    list_free(t->allow, t->allow_count);
    *t = (struct token){0};
}
