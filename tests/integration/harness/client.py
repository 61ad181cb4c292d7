# SPDX-License-Identifier: Apache-2.0
"""FanClient: the Centrifuge client protocol v2 in JSON, small enough to see every frame.

Unlike an SDK it never reconnects, retries or hides anything: a test sends exactly what it says and
sees exactly what came. One reader task sorts what arrives: replies by id, publications by channel,
other pushes into one list. pause() stops reading, so that the server sees a slow client.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import time
import urllib.parse
from collections import defaultdict

import websockets
from websockets.asyncio.client import connect as ws_connect

from .util import WaitError, scaled


class FanError(Exception):
    """The server answered a command with an error."""

    def __init__(self, error):
        self.code = error.get("code", 0)
        self.message = error.get("message", "")
        self.temporary = error.get("temporary", False)
        super().__init__(f"{self.code} {self.message}")


class FanClient:
    def __init__(self, ws, auto_pong=True):
        self.ws = ws
        self.auto_pong = auto_pong
        self.connected = {}  # the connect reply
        self.subs = {}  # channel: the subscribe reply
        self.pubs = defaultdict(list)  # channel: publications in the order they came
        self.pushes = []  # pushes that are not publications
        self.pings = 0
        self.frames = []  # (monotonic time, size) of each received frame
        self.closed = None  # (code, reason) once the server closed
        self._ids = itertools.count(1)
        self._waiting = {}
        self._changed = asyncio.Condition()
        self._reading = asyncio.Event()
        self._reading.set()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url, auto_pong=True, **options):
        """Only the WebSocket; no command is sent. options: websockets' own (ssl=…, subprotocols=…)."""
        settings = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": 4}
        ws = await ws_connect(url, open_timeout=scaled(10), **(settings | options))
        return cls(ws, auto_pong)

    @classmethod
    async def connect_slow(cls, url, **options):
        """As connect(), with a socket that takes little: the server soon sees a client that doesn't read."""
        where = urllib.parse.urlsplit(url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connect: it bounds the window
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (where.hostname, where.port))
        return await cls.connect(url, sock=sock, max_queue=1, **options)

    @classmethod
    async def connect(cls, url, token=None, data=None, subs=None, name="test", **options):
        """Opens and sends `connect`; the reply is in .connected."""
        self = await cls.open(url, **options)
        request = {"name": name}
        for key, value in (("token", token), ("data", data), ("subs", subs)):
            if value is not None:
                request[key] = value
        try:
            self.connected = await self.command({"connect": request})
        except BaseException:
            await self.close()
            raise
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    # What arrives.

    async def _read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self._reading.wait()
                await self._frame(await self.ws.recv())
        async with self._changed:
            self.closed = (self.ws.close_code, self.ws.close_reason)
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError(f"closed: {self.closed}"))
            self._changed.notify_all()

    async def _frame(self, frame):
        self.frames.append((time.monotonic(), len(frame)))
        for line in frame.split("\n") if isinstance(frame, str) else []:
            if line:
                await self._reply(json.loads(line))
        async with self._changed:
            self._changed.notify_all()

    async def _reply(self, reply):
        if not reply:
            self.pings += 1
            if self.auto_pong:
                await self.send_raw("{}")
        elif "id" in reply:
            # Filed here, not when the caller wakes: pushes may stand in the same frame.
            self._file_publications(reply)
            future = self._waiting.pop(reply["id"], None)
            if future and not future.done():
                future.set_result(reply)
        elif "pub" in reply.get("push", {}):
            self.pubs[reply["push"]["channel"]].append(reply["push"]["pub"])
        else:
            self.pushes.append(reply.get("push", reply))

    def _file_publications(self, reply):
        asked = self._waiting.get(reply["id"])
        channel = getattr(asked, "channel", None)
        if channel is not None and "subscribe" in reply:
            self.pubs[channel] += reply["subscribe"].get("publications", [])
        for name, sub in reply.get("connect", {}).get("subs", {}).items():
            self.pubs[name] += sub.get("publications", [])

    # What a test sends.

    async def send_raw(self, data):
        """str: a text frame, bytes: a binary one; nothing is checked."""
        await self.ws.send(data)

    async def batch(self, commands, timeout=10):
        """All commands in one frame; their replies in the order of the commands, errors included."""
        futures, lines = [], []
        for command in commands:
            command = {"id": next(self._ids), **command}
            future = asyncio.get_running_loop().create_future()
            future.channel = command.get("subscribe", {}).get("channel")
            self._waiting[command["id"]] = future
            futures.append(future)
            lines.append(json.dumps(command, separators=(",", ":")))
        await self.send_raw("\n".join(lines))
        try:
            async with asyncio.timeout(scaled(timeout)):
                return [await future for future in futures]
        except TimeoutError:
            raise WaitError(f"no reply within {scaled(timeout):g} s to {lines}") from None

    async def command(self, command, timeout=10):
        """One command; the result inside its reply. FanError if it answers an error."""
        reply = (await self.batch([command], timeout))[0]
        if "error" in reply:
            raise FanError(reply["error"])
        return reply.get(next(k for k in command if k != "id"), {})

    async def subscribe(self, channel, offset=None, epoch=None, **more):
        """Recovers when offset or epoch is given. The reply is kept in .subs too."""
        request = {"channel": channel, **more}
        if offset is not None or epoch is not None:
            request["recover"] = True
            request |= {k: v for k, v in (("offset", offset), ("epoch", epoch)) if v is not None}
        self.subs[channel] = await self.command({"subscribe": request})
        return self.subs[channel]

    async def unsubscribe(self, channel):
        self.subs.pop(channel, None)
        return await self.command({"unsubscribe": {"channel": channel}})

    async def history(self, channel, limit=None, since=None, reverse=None):
        """since: (offset, epoch)."""
        request = {"channel": channel}
        if limit is not None:
            request["limit"] = limit
        if since is not None:
            request["since"] = {"offset": since[0], "epoch": since[1]}
        if reverse is not None:
            request["reverse"] = reverse
        return await self.command({"history": request})

    # What a test waits for.

    async def wait(self, probe, what, timeout=10):
        """Until probe() is true; asked again after each frame."""
        try:
            async with asyncio.timeout(scaled(timeout)), self._changed:
                await self._changed.wait_for(lambda: probe() or self.closed)
        except TimeoutError:
            raise WaitError(f"not within {scaled(timeout):g} s: {what}") from None
        if not probe():
            raise WaitError(f"closed {self.closed} before: {what}")

    async def wait_pubs(self, channel, count, timeout=10):
        """At least that many publications of the channel since the beginning; returns them."""
        pubs = self.pubs[channel]

        def what():
            return f"{count} publications of {channel!r} ({len(pubs)} came)"

        try:
            await self.wait(lambda: len(pubs) >= count, "", timeout)
        except WaitError as e:
            raise WaitError(f"{e} {what()}") from None
        return pubs

    async def wait_push(self, kind, timeout=10):
        """The first push that is no publication and has that kind (unsubscribe, disconnect, …)."""
        await self.wait(lambda: any(kind in p for p in self.pushes), f"a {kind} push", timeout)
        return next(p for p in self.pushes if kind in p)

    async def wait_closed(self, timeout=10):
        """(code, reason) of the server's close."""
        await self.wait(lambda: self.closed, "the server closes", timeout)
        return self.closed

    def cursor(self, channel):
        """(position, epoch) this client would resume from."""
        sub = self.subs.get(channel) or self.connected.get("subs", {}).get(channel, {})
        last = self.pubs[channel][-1]["offset"] if self.pubs[channel] else sub.get("offset", 0)
        return max(last, sub.get("offset", 0)), sub.get("epoch", "")

    def pause(self):
        """Stops reading: the buffers between fill up, and the server sees a slow client."""
        self._reading.clear()

    def resume(self):
        self._reading.set()

    async def abort(self):
        """Drops the connection without a close frame, as a lost network does."""
        self.ws.transport.abort()
        await self._end()

    async def close(self):
        self.resume()
        await self.ws.close()
        await self._end()

    async def _end(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
