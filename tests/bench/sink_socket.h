/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_socket.h: where a bench's clients connect to, and how they begin.
 *
 * @thread main
 */
#pragma once

#include <netinet/in.h>

#include "common/base/base.h"

/* The lines of any upgrade, behind its first one; others and an empty one follow. */
#define SINK_HEADERS                                                            \
    " HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
/* Fanfare's, whole. */
#define SINK_UPGRADE "GET /connection/websocket" SINK_HEADERS "\r\n"

/* "HOST:PORT", HOST an IPv4 address. False: it isn't that. */
bool sink_address(const char *text, struct sockaddr_in *ret);
/* A non-blocking socket on its way to `to`: it is writable when it is there. Ends the program if
 * that can't be. */
int sink_connect(const struct sockaddr_in *to);
