/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_ws.c: see session_ws.h. The sessions are the hub's. @thread shard
 */
#include "edge-node/session_ws.h"

#include "edge-node/place.h"
#include "edge-node/proto.h"
#include "edge-node/session.h"
#include "edge-node/shard.h"

static void *open_session(struct shard *sh, void *conn, struct slice channel)
{
    struct session *s = session_open(&sh->hub, conn, &transport_ws, &proto_json);

    if (shard_ordered(sh) >= SHARD_REFUSES)
        session_close(s, DISCONNECT_SHUTDOWN);
    place_ask(s, channel);
    return s;
}

static void on_message(void *s, struct slice message, bool binary)
{
    (void)binary; /* what is in it counts */
    session_on_message(s, message);
}

static void on_too_big(void *s)
{
    session_close(s, DISCONNECT_TOO_BIG);
}

static void on_writable(void *s)
{
    session_on_writable(s);
}

static void on_peer_close(void *s)
{
    session_peer_closes(s);
}

static void on_close(void *s)
{
    session_on_close(s);
}

const struct ws_app session_ws = {
    .path = "/connection/websocket",
    .on_open = open_session,
    .on_message = on_message,
    .on_too_big = on_too_big,
    .on_writable = on_writable,
    .on_peer_close = on_peer_close,
    .on_close = on_close,
};
