/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.h: what a way to a client can do; transport_ws.c is the first.
 *
 * Calls down go through the ops, events come up through session_on_*(). All on the shard's thread.
 */
#pragma once

#include "common/base/base.h"

struct session;

struct transport_write {
    void *conn;
    const char *p;
    size_t n;
    int rc; /* as write() returns it */
};

struct transport {
    size_t head_max; /* most bytes of framing before a batch of messages */

    /* Puts the framing of a batch of n payload bytes right before `payload` (head_max bytes are
     * free there); returns its length. */
    size_t (*frame)(char *payload, size_t n, bool binary);

    /* Hands framed bytes to the socket. What it doesn't take at once is copied and owned by the
     * transport, in order; then is_choked() is true until it is drained. 0, or -EPIPE: the
     * connection is broken and on its way to session_on_close. */
    int (*write)(void *conn, const char *p, size_t n);
    /* The same for many connections of one shard, none of them twice, choked or closed. */
    void (*write_many)(struct transport_write *w, size_t n);
    bool (*is_choked)(const void *conn);
    void (*want_writable)(void *conn); /* session_on_writable() when drained */
    void (*pause_reading)(void *conn, bool on);
    void (*close)(void *conn, uint16_t code, const char *reason);
    void (*prefetch)(const void *conn); /* of what write() will touch */
};
