# SPDX-License-Identifier: Apache-2.0
"""Frame integrity: clients that read through a 4 KiB window while they ping, plain (with io_uring, where
the kernel allows it, and without) and on TLS 1.3.

The edge writes frames it made itself, beside libwebsockets' own control frames and partial writes.
Whatever the pace: every byte that comes is part of a whole frame, every pong answers its ping, and
each channel's records come once and in order. The clients really lag, or the test fails.
"""

import asyncio
import json
import os
import random
import select
import socket
import ssl
import struct
import threading
import time

import pytest

from harness.certificate import make_certificate
from harness.util import scaled, wait_until

CHANNELS = ["a", "b", "c"]
RECORDS = 400  # each channel
PAD = "x" * 1500


class SlowClient:
    """A WebSocket by hand, on blocking sockets in a thread of its own. The test's thread pings meanwhile."""

    def __init__(self, edge, tls):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(scaled(20))
        self.sock.connect(("127.0.0.1", edge.port))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.data = b""
        self.pubs = {c: [] for c in CHANNELS}
        self.pongs, self.pings, self.sizes, self.error = [], 0, [], None
        self.records = []  # in each frame that has some
        self.go, self.last_said = threading.Event(), threading.Event()
        self.using = threading.Lock()  # OpenSSL bears one thread at a time on a connection
        self.sock.sendall(
            b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        while b"\r\n\r\n" not in self.data:
            self.more(512)
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def more(self, size):
        with self.using:
            there = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        assert there or select.select([self.sock], [], [], scaled(20))[0], "nothing comes"
        with self.using:
            data = self.sock.recv(size)
        assert data, "the edge closed"
        self.data += data

    def send(self, opcode, payload):
        mask = os.urandom(4)
        size = (
            bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        )
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.sock.sendall(bytes([0x80 | opcode]) + size + mask + body)

    def ping(self, last=False):
        with self.using:
            self.pings += 1
            self.send(9, b"ping %d" % self.pings)
            if last:
                self.last_said.set()

    def frame(self):
        """(opcode, payload) of the next frame, checked."""
        while len(self.data) < 2:
            self.more(700)
        first, length, at = self.data[0], self.data[1], 2
        assert first & 0xF0 == 0x80, f"not the start of a whole frame: {self.data[:40]!r}"
        assert first & 0x0F in (1, 9, 10), f"opcode {first & 15}: {self.data[:40]!r}"
        assert not length & 0x80, "a server must not mask"
        if length >= 126:
            wide = 2 if length == 126 else 8
            while len(self.data) < 2 + wide:
                self.more(700)
            length, at = int.from_bytes(self.data[2 : 2 + wide], "big"), 2 + wide
        while len(self.data) < at + length:
            self.more(700)
        payload, self.data = self.data[at : at + length], self.data[at + length :]
        self.sizes.append(length)
        return first & 0x0F, payload

    def take(self):
        opcode, payload = self.frame()
        if opcode == 10:
            self.pongs.append(payload)
            return
        pushes = payload.count(b'{"push":')
        if pushes:
            self.records.append(pushes)
        for line in payload.decode().split("\n"):
            reply = json.loads(line)
            if "push" in reply:
                push = reply["push"]
                self.pubs[push["channel"]].append(push["pub"]["data"]["n"])
            elif not reply:
                with self.using:
                    self.send(1, b"{}")

    def start(self):
        commands = [{"id": 1, "connect": {}}]
        commands += [{"id": 2 + i, "subscribe": {"channel": c}} for i, c in enumerate(CHANNELS)]
        self.send(1, "\n".join(map(json.dumps, commands)).encode())
        answered = 0
        while answered < len(commands):
            opcode, payload = self.frame()
            answered += payload.count(b'"id":')
        self.sizes.clear()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def done(self):
        return (
            self.last_said.is_set()
            and all(len(p) >= RECORDS for p in self.pubs.values())
            and self.pongs[-1:] == [b"ping %d" % self.pings]
        )

    def progress(self):
        pubs = {c: len(p) for c, p in self.pubs.items()}
        return f"{pubs}, {len(self.pongs)} pongs of {self.pings}, {len(self.sizes)} frames"

    def run(self):
        try:
            self.go.wait()
            while not self.done():
                self.take()
                if self.pings < 40 and len(self.sizes) % 3 == 0:
                    self.ping()
        except Exception as e:  # shown by the test
            self.error = e


class HaltingClient(SlowClient):
    """Reads all the time, a little or more, and stops now and then: it is live, chokes, and is live again."""

    def __init__(self, edge, tls, seed):
        self.dice = random.Random(seed)
        super().__init__(edge, tls)
        self.go.set()

    def more(self, size):
        if self.dice.random() < 0.05:
            time.sleep(self.dice.random() / 50)  # what is tested: bytes pile up meanwhile
        super().more(self.dice.choice((100, 700, 3000)))


def tls_of(tmp_path):
    """(settings of an edge with TLS, a context of its clients)"""
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2", "http/1.1"])
    return {"tls_certificate": str(certificate), "tls_key": str(key)}, context


async def all_read(clients):
    """Within a minute: Linux may round so small a window that a client gets 10 KiB/s for a while."""
    for client in clients:
        await asyncio.to_thread(client.ping, last=True)
    await asyncio.to_thread(
        wait_until,
        lambda: all(c.error or c.done() for c in clients),
        lambda: f"all are read: {[c.progress() for c in clients]}",
        60,
    )
    for client in clients:
        assert client.error is None, repr(client.error)
        assert client.pubs == {c: list(range(RECORDS)) for c in CHANNELS}
        # One that waits may give way to a newer one (RFC 6455, 5.5.3); each answers a ping, in order.
        numbers = [int(pong.removeprefix(b"ping ")) for pong in client.pongs]
        assert numbers == sorted(set(numbers)) and len(numbers) >= 10
        client.sock.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["plain", "sends", "tls"])
async def test_slow_readers_get_whole_frames_in_order(edges, fake_log, fan, tmp_path, how):
    settings, tls = tls_of(tmp_path) if how == "tls" else ({"io_uring": how == "plain"}, None)
    edge = edges(ping_interval="1s", pong_timeout="60s", **settings)
    slow = [SlowClient(edge, tls) for _ in range(4)]
    if tls:
        assert slow[0].sock.version() == "TLSv1.3"
        assert slow[0].sock.selected_alpn_protocol() == "http/1.1"
    for client in slow:
        client.start()
    fast = await fan(edge, **({"ssl": tls, "server_hostname": "localhost"} if tls else {}))
    for channel in CHANNELS:
        await fast.subscribe(channel)
    for first in range(0, RECORDS, 50):
        fake_log.append([(c, {"n": n, "pad": PAD}) for n in range(first, first + 50) for c in CHANNELS])
        for client in slow:
            await asyncio.to_thread(client.ping)  # it may wait for a record that is being read
        if first == RECORDS // 2:  # nobody reads yet: all must have fallen behind by now
            await asyncio.to_thread(edge.wait_metric, "fanfare_edge_lagging", 4)
            for client in slow:
                client.go.set()
    for channel in CHANNELS:
        await fast.wait_pubs(channel, RECORDS, timeout=40)
        assert [p["data"]["n"] for p in fast.pubs[channel]] == list(range(RECORDS))
    await all_read(slow)
    for client in slow:
        assert max(client.sizes) > 30000, "no coalesced frame: the test does not test what it is for"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["plain", "tls"])
async def test_halting_readers_get_whole_frames_in_order(edges, fake_log, how, tmp_path):
    """Blocks of a turn's records, of one channel and of several, go to who can take a part of them."""
    settings, tls = tls_of(tmp_path) if how == "tls" else ({}, None)
    edge = edges(ping_interval="1s", pong_timeout="60s", **settings)
    halting = [HaltingClient(edge, tls, seed) for seed in range(8)]
    for client in halting:
        client.start()
    dice, at = random.Random(how), 0
    while at < RECORDS:
        upto = min(RECORDS, at + dice.randint(1, 12))
        records = [(c, {"n": n, "pad": PAD}) for c in CHANNELS for n in range(at, upto)]
        await asyncio.to_thread(fake_log.append, records)
        for client in halting if at % 3 == 0 else ():
            await asyncio.to_thread(client.ping)  # it may wait for a record that is being read
        await asyncio.sleep(0.01)  # what is tested: records that come while they read
        at = upto
    await all_read(halting)
    metrics = edge.metrics()
    assert metrics.total("fanfare_edge_slow_total") >= 3 * len(halting)
    for client in halting:
        assert max(client.records) > 5, "no coalesced frame: the test does not test what it is for"


@pytest.mark.parametrize("size", [100, 125, 126, 127, 65400, 65535, 65536, 65537, 200000])
async def test_length_borders(edges, fake_log, fan, size):
    client = await fan(edges())
    await client.subscribe("a")
    # What stands around the value, so that the frame's payload has exactly `size` bytes.
    around = len('{"push":{"channel":"a","pub":{"data":"","offset":1}}}')
    text = "y" * (size - around)
    fake_log.append([("a", text)])
    (pub,) = await client.wait_pubs("a", 1)
    assert pub["data"] == text
    assert client.frames[-1][1] == size
