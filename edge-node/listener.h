/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h: one SO_REUSEPORT socket per shard; what it accepts is handed to libwebsockets.
 *
 * The kernel spreads connections over the sockets. @thread boot to open, shard to accept
 */
#pragma once

#include "common/base/base.h"

/* Opens n sockets on "host:port" into fds. A port that somebody else has, another edge included, is
 * an error: the first bind is done without SO_REUSEPORT. 0 with *ret_port; or -errno with why. */
int listener_open(const char *address, int *fds, int n, int *ret_port, char *why,
                  size_t why_size) _must_check_;

/* Accepts one connection, non-blocking, with the socket options a client gets. The descriptor, or
 * -EAGAIN; -EINTR: the next one, please; -EMFILE and the like: no room now. */
int listener_accept(int fd, size_t write_max);
/* A connection that there is no room for: answers HTTP 503. The other function closes it, a
 * moment later: with a request unread that would be a reset, which overtakes the answer. */
void listener_refuse(int fd);
void listener_take_refused(int fd);
