/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_read.c: see transport_read.h.
 */
#include "edge-node/transport_read.h"

#include <errno.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

ssize_t transport_read_plain(int fd, char *p, size_t n)
{
    ssize_t rc = recv(fd, p, n, 0);

    if (rc > 0)
        return rc;
    return rc < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

ssize_t transport_read_tls(struct ssl_st *ssl, char *p, size_t n, bool *wants_write)
{
    int rc;

    ERR_clear_error();
    rc = SSL_read(ssl, p, (int)n);
    if (rc > 0)
        return rc;
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_WRITE:
        *wants_write = true;
        return 0;
    case SSL_ERROR_WANT_READ:
        return 0;
    default:
        return -EPIPE;
    }
}
