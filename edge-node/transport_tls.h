/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls.h: what of the client port's TLS isn't libwebsockets'. @thread boot
 */
#pragma once

#include "common/base/base.h"

struct ssl_ctx_st; /* SSL_CTX */

/* Can these files be the client port's certificate and key? libwebsockets only says that something
 * is wrong. 0, or -EINVAL with why: `tls_key: /etc/fanfare/key.pem: …`. */
int transport_tls_check(const char *certificate, const char *key, char *why,
                        size_t why_size) _must_check_;

/* A shard's context, once libwebsockets has made it. A client that comes back may come to another
 * shard: all open each other's tickets. 0 or -EINVAL. */
int transport_tls_prepare(struct ssl_ctx_st *ctx) _must_check_;
