#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""uws_server.py PORT: a broadcast server on uWebSockets, by way of socketify.

GET /sub/CHANNEL upgrades and subscribes; POST /pub publishes its body's lines, `CHANNEL TEXT` each.
Python runs once a connection and once a POST; everything else is uWebSockets' C++. socketify's own loop
turns asyncio's and libuv's in alternation, and never sleeps while it is busy; here libuv's runs alone,
so that no CPU is counted that uWebSockets didn't need.
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
    def published(res, _req):
        body = bytearray()

        def on_data(res, chunk, is_last):
            body.extend(chunk or b"")
            if is_last:
                for line in bytes(body).split(b"\n"):
                    channel, _, text = line.partition(b" ")
                    app.publish(channel, text, OpCode.TEXT)
                res.end("")

        res.on_data(on_data)

    return published


def main():
    app = App()
    behavior = {"upgrade": upgrade, "open": opened, "idle_timeout": 0, "max_backpressure": 1 << 24}
    app.ws("/sub/:channel", behavior)
    app.post("/pub", publisher(app))
    app.listen({"host": "127.0.0.1", "port": int(sys.argv[1])})
    app.loop.uv_loop.run()


if __name__ == "__main__":
    main()
