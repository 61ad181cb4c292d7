# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in this process, between client and edge or a node and its Redis. It never looks at the bytes.

Connections are cut beneath both ends, newcomers are held off, the way leads elsewhere, goes slow or silent,
or loses packets.
Gate lives on an asyncio loop; Ways runs such a loop in a thread for tests that are plain functions.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
import urllib.parse
import zlib

from .util import scaled

CHUNK = 65536
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO = 26, 27, 55  # linux/asm-generic/socket.h
MEMINFO_DROPS = 8  # linux/sock_diag.h
BPF_RANDOM = 2**32 - 0x1000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM


def lose(sock, share):
    """The kernel drops this share of the packets that arrive for a TCP socket; the peer sends them again."""
    if not share:
        with contextlib.suppress(OSError):  # there is none
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        return
    rows = [
        (0x20, 0, 0, BPF_RANDOM),  # A = random
        (0x35, 1, 0, int(share * 2**32)),  # A >= share: skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 2**32 - 1),  # take
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    program = struct.pack("HL", len(rows), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


class Gate:
    """A way to a server that the test opens, shuts and turns elsewhere. target: whatever has a .port."""

    def __init__(self, target):
        self.lead_to(target)
        self.open = True
        self.taken = 0  # connections let through
        self.delay = 0.0  # seconds that each piece is held back, each way
        self.rate = 0  # bytes per second of each connection, each way; 0 = no limit
        self.loss = 0.0  # share of the packets lost, each way
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()
        self._writers = set()

    def lead_to(self, target):
        self.target = ("127.0.0.1", target.port)

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/connection/websocket"
        return self

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        with contextlib.suppress(asyncio.CancelledError):  # the test's end
            await self._lead(reader, writer)

    async def _choose(self, reader):
        """Where a newcomer is led, and what was read of it for that."""
        return self.target, b""

    async def _lead(self, reader, writer):
        try:
            await self._there.wait()
            if not self.open:
                return
            target, begun = await self._choose(reader)
            there = await asyncio.open_connection(*target)
            self._writers.add(there[1])
            there[1].write(begun)
            self._lose(writer, there[1])
            self.taken += 1
            ways = (reader, there[1], self._there), (there[0], writer, self._back)
            await asyncio.gather(*(self._pump(*way) for way in ways))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    def _lose(self, *writers):
        for writer in writers:
            lose(writer.get_extra_info("socket"), self.loss)

    def set_loss(self, share):
        self.loss = share
        self._lose(*self._writers)

    def lost(self):
        """Packets lost by the connections that are there now."""
        lost = 0
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
            lost += struct.unpack("9I", info)[MEMINFO_DROPS]
        return lost

    async def _pump(self, reader, writer, flow):
        try:
            while data := await reader.read(self.rate // 10 or CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
                await flow.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    def silence(self, silent=True, answers_only=False):
        """A network that swallows packets: connections stay, newcomers are accepted, nothing gets through
        any more. What was sent meanwhile arrives when it is over, as TCP's retransmissions would.
        answers_only: what goes to the server gets through."""
        for flow in (self._back,) if answers_only else (self._there, self._back):
            flow.clear() if silent else flow.set()

    def cut(self, stay_open=True):
        """Every connection is gone at once, without a close frame."""
        self.open = stay_open
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self):
        self.server.close()
        self.cut(stay_open=False)


class Balancer(Gate):
    """Leads to one of several edges by the hash of the URL's `place`, as a balancer would; without one, to
    the first. It looks at the request's head and at nothing else."""

    def __init__(self, edges):
        super().__init__(edges[0])
        self.edges = edges
        self.asked = []  # the place in each URL, None without one

    def index_of(self, place):
        return zlib.crc32(place.encode()) % len(self.edges)

    async def _choose(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        url = urllib.parse.urlsplit(head.split(b" ", 2)[1].decode())
        place = urllib.parse.parse_qs(url.query).get("place", [None])[0]
        self.asked.append(place)
        edge = self.edges[self.index_of(place) if place else 0]
        return ("127.0.0.1", edge.port), head


class Way:
    """A Gate whose loop runs in another thread: the same calls, from a test without a loop."""

    def __init__(self, ways, gate):
        self._ways, self.gate = ways, gate
        self.port = gate.port
        self.url = f"redis://127.0.0.1:{gate.port}"  # what a node is given as its Redis
        self.ws_url = gate.url

    @property
    def taken(self):
        return self.gate.taken

    def shape(self, delay=0.0, rate=0, loss=0.0):
        self.gate.delay, self.gate.rate = delay, rate
        self._ways.call(self.gate.set_loss, loss)

    def lost(self):
        return self._ways.call(self.gate.lost)

    def lead_to(self, target, cut=True):
        self._ways.call(self.gate.lead_to, target)
        if cut:
            self.cut()

    def cut(self, stay_open=True):
        self._ways.call(self.gate.cut, stay_open)

    def silence(self, silent=True):
        self._ways.call(self.gate.silence, silent)


class Ways:
    """An asyncio loop in a thread: gates and protocol clients for tests that are plain functions."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._opened = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine, timeout=30):
        """What the coroutine returns; it runs on the thread's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(scaled(timeout))

    def call(self, function, *args):
        async def now():
            return function(*args)

        return self.run(now())

    def open(self, target):
        async def make():
            return await Gate(target).start()

        self._opened.append(self.run(make()))
        return Way(self, self._opened[-1])

    def close(self):
        for gate in self._opened:
            self.call(gate.silence, False)
            self.run(gate.stop())
        self.run(self._cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(scaled(10))
        self.loop.close()

    async def _cancel(self):
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
