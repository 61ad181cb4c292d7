/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h: JSON Web Tokens (RFC 7519) signed with HS256 or RS256, checked by libjwt.
 *
 * A token's alg must be the key's own (an HS256 token signed with an RSA public key's text is the
 * classic forgery; `none` is never accepted). exp and nbf are checked against the wall clock with
 * the given leeway. Owns libjwt. @thread any (a struct token_keys is immutable)
 */
#pragma once

#include "common/base/base.h"

struct token_keys;

/* Either may be NULL or "". rsa_public_pem is PEM text. NULL with why filled (bad PEM, a secret
 * shorter than 32 bytes, neither given). */
struct token_keys *token_keys_new(const char *hmac_secret, const char *rsa_public_pem, char *why,
                                  size_t why_size);
void token_keys_free(struct token_keys *k);

struct token {
    char *sub;       /* user; "" if absent */
    int64_t exp;     /* seconds since 1970; 0 = never */
    char **channels; /* claim "channels": subscribed by the server at connect */
    size_t channel_count;
    char *
        *allow; /* claim "allow": channels the user may subscribe to; a trailing '*' is a prefix */
    size_t allow_count;
    char *channel; /* claim "channel" (a subscription token); "" if absent */
    char *info;    /* claim "info" as compact JSON; "" if absent */
};

/* 0 with *ret filled (token_done frees); -EBADMSG: not a token, or an alg that libjwt doesn't know;
 * -EACCES: signature, alg or nbf; -ETIME: expired; -E2BIG: over 8 KiB or more than 128 channels.
 * leeway in seconds. */
int token_check(const struct token_keys *k, struct slice text, int64_t leeway,
                struct token *ret) _must_check_;
void token_done(struct token *t);
