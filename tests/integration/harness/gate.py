# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between client and edge, in this process: connections are cut beneath the client, newcomers are
held off, the way leads to another edge. It never looks at the bytes."""

import asyncio
import contextlib


class Gate:
    """A way to an edge that the test opens, shuts and turns elsewhere."""

    def __init__(self, edge):
        self.lead_to(edge)
        self.open = True
        self.taken = 0  # connections let through
        self._writers = set()

    def lead_to(self, edge):
        self.target = ("127.0.0.1", edge.port)

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/connection/websocket"
        return self

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        with contextlib.suppress(asyncio.CancelledError):  # the test's end
            await self._lead(reader, writer)

    async def _lead(self, reader, writer):
        try:
            if not self.open:
                return
            there = await asyncio.open_connection(*self.target)
            self._writers.add(there[1])
            self.taken += 1
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    def cut(self, stay_open=True):
        """Every connection is gone at once, without a close frame."""
        self.open = stay_open
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self):
        self.server.close()
        self.cut(stay_open=False)
