/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c: see token.h; the only file that sees libjwt.
 *
 * Each configured key is tried, and a token counts only if the algorithm it was verified by is that
 * key's own: libjwt takes the algorithm from the token, which is its sender's to choose.
 */
#include "common/io/token.h"

#include <errno.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/runtime/json.h"

#define TOKEN_MAX_BYTES KIB(8)
#define CHANNELS_MAX    128
#define HMAC_MIN_BYTES  32 /* RFC 7518 3.2: at least the hash's size */

struct token_keys {
    char *hmac, *rsa; /* NULL: not configured */
};

static bool looks_like_pem(const char *text)
{
    const char *begin = strstr(text, "-----BEGIN PUBLIC KEY-----");

    return begin && strstr(begin, "-----END PUBLIC KEY-----");
}

struct token_keys *token_keys_new(const char *hmac_secret, const char *rsa_public_pem, char *why,
                                  size_t why_size)
{
    bool has_hmac = hmac_secret && hmac_secret[0], has_rsa = rsa_public_pem && rsa_public_pem[0];
    struct token_keys *k;

    if (!has_hmac && !has_rsa) {
        snprintf(why, why_size, "no key for tokens is configured");
        return NULL;
    }
    if (has_hmac && strlen(hmac_secret) < HMAC_MIN_BYTES) {
        snprintf(why, why_size, "token_hmac_secret has %zu bytes; HS256 needs at least %d",
                 strlen(hmac_secret), HMAC_MIN_BYTES);
        return NULL;
    }
    if (has_rsa && !looks_like_pem(rsa_public_pem)) {
        snprintf(why, why_size,
                 "token_rsa_public_key is no PEM public key "
                 "(\"-----BEGIN PUBLIC KEY-----\")");
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

static jwt_t *verify(const char *text, const char *key, jwt_alg_t alg)
{
    jwt_t *j = NULL;

    if (!key || jwt_decode(&j, text, (const unsigned char *)key, (int)strlen(key)) != 0)
        return NULL;
    if (jwt_get_alg(j) == alg)
        return j;
    jwt_free(j);
    return NULL;
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

/* A time claim: seconds, an integer or not (RFC 7519 NumericDate). 0 if absent. */
static int take_time(const struct json *claims, const char *name, int64_t *ret)
{
    const struct json *j = json_get(claims, name);
    double seconds;

    *ret = 0;
    if (!j)
        return 0;
    if (!json_number(j, &seconds) || !(seconds > 0 && seconds < 1e11))
        return -EBADMSG;
    *ret = (int64_t)seconds;
    return 0;
}

static int take_claims(const struct json *claims, int64_t leeway, struct token *t)
{
    int64_t now = clock_wall_ms() / 1000, nbf;
    const struct json *info = json_get(claims, "info");
    int rc;

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
    jwt_t *j;
    int rc;

    if (text.n > TOKEN_MAX_BYTES)
        return -E2BIG;
    if (!text.n || memchr(text.p, 0, text.n) || !memchr(text.p, '.', text.n))
        return -EBADMSG;
    copy = mem_strndup(text.p, text.n);
    j = verify(copy, k->hmac, JWT_ALG_HS256);
    if (!j)
        j = verify(copy, k->rsa, JWT_ALG_RS256);
    free(copy);
    if (!j)
        return -EACCES;
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
