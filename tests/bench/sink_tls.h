/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_tls.h: TLS 1.3 by OpenSSL for a bench's clients, on non-blocking sockets.
 *
 * Certificates aren't checked: what is measured is the server. A failure ends the program.
 *
 * @thread main
 */
#pragma once

#include <sys/types.h>

#include "common/base/base.h"

struct ssl_st; /* SSL */

/* A client's end of a handshake on a connected socket; nothing is sent yet. */
struct ssl_st *sink_tls_new(int fd);
void sink_tls_free(struct ssl_st *ssl); /* NULL is fine; says nothing to the server */
/* From now on clients bring the first ticket that one of them was given. */
void sink_tls_resume(void);
bool sink_tls_is_resumed(const struct ssl_st *ssl);
/* Goes on with the handshake; true: it is done, false: call again when the socket is readable. */
bool sink_tls_shake(struct ssl_st *ssl);
/* As recv(): bytes, or 0 when there are none now. Call it until then: the library reads ahead. */
size_t sink_tls_read(struct ssl_st *ssl, void *to, size_t n);
/* Sends all of it, which must fit into the socket's buffer. */
void sink_tls_write(struct ssl_st *ssl, struct slice data);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
void sink_tls_print(const struct ssl_st *ssl, char *to, size_t n);
