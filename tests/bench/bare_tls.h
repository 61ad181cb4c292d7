/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_tls.h: the least a TLS 1.3 server can do by OpenSSL, for bench_bare: no tickets, no
 * resumption.
 *
 * @thread main
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ssl_st; /* SSL */

/* Before the first client; PEM files. Failure ends the program. */
void bare_tls_start(const char *certificate, const char *key);
/* A server's end on an accepted, non-blocking socket. */
struct ssl_st *bare_tls_new(int fd);
void bare_tls_free(struct ssl_st *ssl);
/* Bytes read, the handshake done on the way; 0: none now, -1: the connection is lost. */
int bare_tls_read(struct ssl_st *ssl, char *to, size_t n);
/* One record, encrypted and sent. false: it could not be sent at once and whole. */
bool bare_tls_write(struct ssl_st *ssl, const char *p, size_t n);
