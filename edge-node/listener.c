/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c: see listener.h.
 */
#include "edge-node/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int resolve(const char *address, struct addrinfo **ret, char *why, size_t why_size)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    const char *colon = strrchr(address, ':');
    _cleanup_free_ char *host = NULL;
    int rc;

    if (!colon) {
        snprintf(why, why_size, "listen: \"%s\" has no port; expected host:port", address);
        return -EINVAL;
    }
    host = mem_strndup(address, (size_t)(colon - address));
    if (host[0] == '[' && host[strlen(host) - 1] == ']') { /* [::1]:8000 */
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    if (!host[0])
        hints.ai_family = AF_INET;
    rc = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, ret);
    if (rc) {
        snprintf(why, why_size, "listen: \"%s\": %s", address, gai_strerror(rc));
        return -EINVAL;
    }
    return 0;
}

static int open_one(const struct addrinfo *ai, bool reuse_port)
{
    int one = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {0};
    socklen_t n = sizeof(at);

    if (getsockname(fd, &at.any, &n) != 0)
        return 0;
    return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

static void set_port(struct addrinfo *ai, int port)
{
    if (ai->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port = htons((uint16_t)port);
}

int listener_open(const char *address, int *fds, int n, int *ret_port, char *why, size_t why_size)
{
    struct addrinfo *ai;
    int rc = resolve(address, &ai, why, why_size), done = 0;
    int probe;

    if (rc)
        return rc;
    probe = open_one(ai, false);
    rc = probe < 0 ? probe : 0;
    if (probe >= 0) {
        *ret_port = port_of(probe);
        set_port(ai, *ret_port);
        close(probe);
    }
    for (; rc == 0 && done < n; done++) {
        fds[done] = open_one(ai, true);
        if (fds[done] < 0)
            rc = fds[done];
        else if (listen(fds[done], BACKLOG) != 0)
            rc = -errno;
    }
    if (rc) {
        snprintf(why, why_size, "listen: %s: %s%s", address, strerror(-rc),
                 rc == -EADDRINUSE ? "; is another edge running there?" : "");
        while (done-- > 0)
            if (fds[done] >= 0)
                close(fds[done]);
    }
    freeaddrinfo(ai);
    return rc;
}

int listener_accept(int fd, size_t write_max)
{
    int one = 1, low = (int)write_max;
    int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (c < 0)
        return errno == EINTR || errno == ECONNABORTED ? -EINTR : -errno;
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* the kernel's share of a slow client: it takes no more than this unsent */
    setsockopt(c, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
    return c;
}
