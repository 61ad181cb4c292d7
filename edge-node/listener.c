/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c: see listener.h.
 */
#include "edge-node/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/listen.h"

#define BACKLOG 4096

static int open_all(struct listen_at *at, int *fds, int n)
{
    int probe = listen_bind(at, false, 0), done = 0, rc = probe < 0 ? probe : 0;

    if (probe >= 0)
        close(probe);
    for (; rc == 0 && done < n; done++) {
        fds[done] = listen_bind(at, true, BACKLOG);
        rc = fds[done] < 0 ? fds[done] : 0;
    }
    while (rc && done-- > 0)
        if (fds[done] >= 0)
            close(fds[done]);
    return rc;
}

int listener_open(const char *address, int *fds, int n, int *ret_port, char *why, size_t why_size)
{
    size_t head = (size_t)snprintf(why, why_size, "listen: ");
    struct listen_at at;
    int rc = listen_resolve(address, &at, why + head, why_size - head);

    if (rc)
        return rc;
    rc = open_all(&at, fds, n);
    if (rc)
        snprintf(why + head, why_size - head, "%s: %s%s", address, strerror(-rc),
                 rc == -EADDRINUSE ? "; is another edge running there?" : "");
    else
        *ret_port = listen_port(&at);
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

void listener_refuse(int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Connection: close\r\nContent-Length: 0\r\n\r\n";

    (void)!send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
}

void listener_take_refused(int fd)
{
    char request[4096];

    (void)!recv(fd, request, sizeof(request), MSG_DONTWAIT);
    close(fd);
}
