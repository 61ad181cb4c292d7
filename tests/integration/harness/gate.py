# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in this process, between client and edge or a node and its Redis. It never looks at the bytes.

Connections are cut beneath both ends, newcomers are held off, the way leads elsewhere, goes slow or silent,
or loses packets.
Gate lives on an asyncio loop; Ways runs such a loop in a thread for tests that are plain functions. Gates
that share their wires are the ports of one link: what is slow or silent is so for all of them.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
import urllib.parse
import zlib

from .util import HERE, scaled

CHUNK = 65536
PIECES = 64  # of one connection under way in one direction, each at most a CHUNK
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


class Wire:
    """One direction of a way, for all its connections. A byte is under way for `delay` seconds, however many
    follow it; no more than `rate` bytes a second get on (0: any number)."""

    def __init__(self):
        self.delay, self.rate = 0.0, 0
        self.carried = 0  # bytes
        self.flow = asyncio.Event()  # cleared: nothing arrives
        self.flow.set()
        self._free = 0.0  # when the next byte may get on

    def piece(self):
        return self.rate // 10 or CHUNK

    async def get_on(self, size):
        """When it arrives, if the wire isn't silent then."""
        now = asyncio.get_running_loop().time()
        if self.rate:
            on = self._free = max(now, self._free) + size / self.rate
            await asyncio.sleep(on - now)
            now = on
        return now + self.delay

    async def arrive(self, due, size):
        wait = due - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)
        await self.flow.wait()
        self.carried += size


class Gate:
    """A way to a server that the test opens, shuts and turns elsewhere. target: whatever has a .port (and a
    .host, if it isn't here)."""

    def __init__(self, target, host=HERE, wires=None):
        self.lead_to(target)
        self.host = host  # where newcomers find it
        self.open = True
        self.taken = 0  # connections let through
        self.loss = 0.0  # share of the packets lost, each way
        self.there, self.back = wires or (Wire(), Wire())
        self._writers = set()

    def lead_to(self, target):
        self.target = (getattr(target, "host", HERE).address, target.port)

    async def start(self):
        self.server = await asyncio.start_server(self._serve, self.host.address, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"{self.host.address}:{self.port}"
        self.url = f"ws://{self.address}/connection/websocket"
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
            await self.there.flow.wait()
            if not self.open:
                return
            target, begun = await self._choose(reader)
            there = await asyncio.open_connection(*target)
            self._writers.add(there[1])
            there[1].write(begun)
            self._lose(writer, there[1])
            self.taken += 1
            ways = (reader, there[1], self.there), (there[0], writer, self.back)
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

    async def _pump(self, reader, writer, wire):
        line = asyncio.Queue(PIECES)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._take(reader, line, wire))
                both.create_task(self._give(line, writer, wire))
        except* OSError:
            pass
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _take(self, reader, line, wire):
        data = True
        while data:  # the last one is the end, which travels as all do
            data = await reader.read(wire.piece())
            await line.put((await wire.get_on(len(data)), data))

    async def _give(self, line, writer, wire):
        while True:
            due, data = await line.get()
            await wire.arrive(due, len(data))
            if not data:
                return
            writer.write(data)
            await writer.drain()

    def shape(self, delay, rate):
        for wire in (self.there, self.back):
            wire.delay, wire.rate = delay, rate

    def silence(self, silent=True, answers_only=False):
        """A network that swallows packets: connections stay, newcomers are accepted, nothing gets through
        any more. What was sent meanwhile arrives when it is over, as TCP's retransmissions would.
        answers_only: what goes to the server gets through."""
        for wire in (self.back,) if answers_only else (self.there, self.back):
            wire.flow.clear() if silent else wire.flow.set()

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
        self.port, self.host = gate.port, gate.host
        self.url = f"redis://{gate.address}"  # what a node is given as its Redis
        self.ws_url = gate.url

    @property
    def taken(self):
        return self.gate.taken

    def shape(self, delay=0.0, rate=0, loss=0.0):
        self._ways.call(self.gate.shape, delay, rate)
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

    def open(self, target, host=HERE, wires=None):
        async def make():
            return await Gate(target, host, wires).start()

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
