/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_read.h: what a client sent, from its socket or through its TLS. @thread shard
 */
#pragma once

#include <sys/types.h>

#include "common/base/base.h"

struct ssl_st; /* SSL */

/* Bytes; 0: none now; -EPIPE: the end. */
ssize_t transport_read_plain(int fd, char *p, size_t n);
/* The same; *wants_write is set if TLS has to write first: read again once that is possible. */
ssize_t transport_read_tls(struct ssl_st *ssl, char *p, size_t n, bool *wants_write);
