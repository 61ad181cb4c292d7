/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.c: see listen.h. No state.
 */
#include "common/io/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOST_MAX 256

/* getaddrinfo() takes "" for 0, and cuts what is too big. */
static bool is_port(const char *text)
{
    size_t n = strlen(text);

    return n >= 1 && n <= 5 && strspn(text, "0123456789") == n && strtol(text, NULL, 10) <= 65535;
}

static int split(const char *address, char host[HOST_MAX], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t n;

    if (!colon)
        return -EINVAL;
    n = (size_t)(colon - address);
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    } else if (memchr(address, ':', n)) {
        return -EINVAL; /* "::1:80": an IPv6 address needs its brackets */
    }
    if (n >= HOST_MAX || !is_port(colon + 1))
        return -EINVAL;
    memcpy(host, address, n);
    host[n] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static int refuse(const char *address, const char *text, char *why, size_t why_size)
{
    snprintf(why, why_size, "\"%s\": %s", address, text);
    return -EINVAL;
}

int listen_check(const char *address, char *why, size_t why_size)
{
    char host[HOST_MAX];
    const char *port;

    return split(address, host, &port) ? refuse(address, "expected host:port", why, why_size) : 0;
}

int listen_resolve(const char *address, struct listen_at *ret, char *why, size_t why_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *ai;
    char host[HOST_MAX];
    const char *port;
    int rc;

    if (split(address, host, &port))
        return refuse(address, "expected host:port", why, why_size);
    hints.ai_family = host[0] ? AF_UNSPEC : AF_INET;
    rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &ai);
    if (rc)
        return refuse(address, gai_strerror(rc), why, why_size);
    *ret = (struct listen_at){.size = ai->ai_addrlen};
    memcpy(&ret->addr, ai->ai_addr, ai->ai_addrlen);
    freeaddrinfo(ai);
    return 0;
}

int listen_bind(struct listen_at *at, bool shared, int backlog)
{
    struct sockaddr *addr = (struct sockaddr *)&at->addr;
    int one = 1, err;
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, addr, at->size) == 0 && (!backlog || listen(fd, backlog) == 0) &&
        getsockname(fd, addr, &at->size) == 0)
        return fd;
    err = errno;
    close(fd);
    return -err;
}

int listen_port(const struct listen_at *at)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memcpy(&v4, &at->addr, sizeof(v4));
    memcpy(&v6, &at->addr, sizeof(v6));
    return ntohs(at->addr.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}
