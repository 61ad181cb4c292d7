/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_ws.h: the edge's application above the WebSocket: one session a connection. @thread shard
 */
#pragma once

#include "edge-node/transport_ws.h"

extern const struct ws_app session_ws;
