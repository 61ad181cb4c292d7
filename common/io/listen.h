/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h: "host:port" as an address to listen on, the same for every port that we open.
 *
 * ":9100" is every IPv4 address, "[::]:9100" IPv6 too; an IPv6 address has its brackets; port 0 is
 * any free one. @thread any (a host name is resolved by getaddrinfo, which may block: boot)
 */
#pragma once

#include <sys/socket.h>

#include "common/base/base.h"

struct listen_at {
    struct sockaddr_storage addr;
    socklen_t size;
};

/* Is it written as it must be? Nothing is resolved. 0, or -EINVAL with why:
 * `"::1:80": expected host:port`. */
int listen_check(const char *address, char *why, size_t why_size) _must_check_;
int listen_resolve(const char *address, struct listen_at *ret, char *why,
                   size_t why_size) _must_check_;
/* A non-blocking socket that is bound, and listens if backlog > 0; or -errno. shared: others may
 * bind there too, if all say so (SO_REUSEPORT). Port 0 becomes the one that was taken. */
int listen_bind(struct listen_at *at, bool shared, int backlog) _must_check_;
int listen_port(const struct listen_at *at);
