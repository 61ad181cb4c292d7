#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""uws_server.py PORT: a broadcast server on uWebSockets, by way of socketify.

GET /sub/CHANNEL upgrades and subscribes; of a WebSocket at /pub each message's lines, `CHANNEL TEXT`,
are published, and it is answered. Python runs once a connection and once such a message; everything
else is uWebSockets' C++. socketify's own loop turns asyncio's and libuv's in alternation, and never
sleeps while it is busy; here libuv's runs alone, so that no CPU is counted that uWebSockets didn't need.
"""

import sys

from socketify import App, OpCode


def upgrade(res, req, context):
    def header(name):
        return req.get_header(name) or ""

    key, protocol = header("sec-websocket-key"), header("sec-websocket-protocol")
    res.upgrade(key, protocol, header("sec-websocket-extensions"), context, req.get_parameter(0))


def opened(ws):
    ws.subscribe(ws.get_user_data())


def publisher(app):
    def published(ws, message, _opcode):
        for line in message.split(b"\n"):
            channel, _, text = line.partition(b" ")
            app.publish(channel, text, OpCode.TEXT)
        ws.send("ok", OpCode.TEXT)

    return published


def main():
    app = App()
    limits = {"idle_timeout": 0, "max_payload_length": 1 << 24, "max_backpressure": 1 << 24}
    app.ws("/sub/:channel", limits | {"upgrade": upgrade, "open": opened})
    app.ws("/pub", limits | {"message": publisher(app)})
    app.listen({"host": "127.0.0.1", "port": int(sys.argv[1])})
    app.loop.uv_loop.run()


if __name__ == "__main__":
    main()
