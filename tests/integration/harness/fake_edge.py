# SPDX-License-Identifier: Apache-2.0
"""A stand-in for worker and edge, to test the load generator and its oracle: a WebSocket server of the
client protocol that reads Kafka itself, in Python, exactly once and in order, unless told to sin.

sins: a dict {"drop" | "duplicate" | "swap" | "corrupt" | "gap": n}: the sin is done once, at the n-th
record of the channel `sin_channel`, to every client of it.
"""

import asyncio
import contextlib
import json
import threading

import websockets.asyncio.server
from confluent_kafka import Consumer, KafkaException, TopicPartition

from .util import wait_until

EPOCH = "fakeLog1"


class FakeEdge:
    def __init__(self, bootstrap, topic, partitions, prefix="", sins=None, sin_channel="ch0"):
        self.topic, self.partitions, self.prefix = topic, partitions, prefix
        self.sins, self.sin_channel = sins or {}, prefix + sin_channel
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "fake-edge"})
        self.log = {}  # channel: [(position, push text)]
        self.live = {}  # channel: sessions
        self.sessions = set()
        self.port = None
        self.recovered = 0
        self._stop = False

    # -- life: a thread with its own loop, so that a test can wait for loadgen meanwhile

    def __enter__(self):
        started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main(started)))
        self.thread.start()
        assert started.wait(30)
        return self

    def __exit__(self, *_):
        self._stop = True
        self.thread.join(30)
        self.consumer.close()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    async def _main(self, started):
        ends = [TopicPartition(self.topic, p, self._end(p)) for p in range(self.partitions)]
        self.consumer.assign(ends)
        async with websockets.asyncio.server.serve(self._session, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            while not self._stop:
                await self._pump()

    def _end(self, partition):
        def probe():  # a topic just made may have no leader yet
            with contextlib.suppress(KafkaException):
                at = TopicPartition(self.topic, partition)
                return (self.consumer.get_watermark_offsets(at, 10)[1],)
            return None

        return wait_until(probe, "the topic has its leaders", 20)[0]

    # -- records

    async def _pump(self):
        messages = await asyncio.to_thread(self.consumer.consume, 100, 0.05)
        for m in messages:
            if not m.error():
                await self._record(self.prefix + m.key().decode(), m.offset() + 1, m.value().decode())

    async def _record(self, channel, position, value):
        log = self.log.setdefault(channel, [])
        n = len(log)
        log.append((position, value))
        items = [(position, value)]
        if channel == self.sin_channel:
            if self.sins.get("drop") == n or self.sins.get("swap") == n:
                items = []
            elif self.sins.get("swap", -2) + 1 == n:
                items.append(log[n - 1])
            elif self.sins.get("duplicate") == n:
                items *= 2
            elif self.sins.get("corrupt") == n:
                items = [(position, value.replace("}", " }"))]
            elif self.sins.get("gap") == n:
                items = [None]
        for session in list(self.live.get(channel, ())):
            for item in items:
                await self._push(session, channel, item)

    async def _push(self, session, channel, item):
        if item is None:
            self.live[channel].discard(session)
            text = '{"push":{"channel":%s,"unsubscribe":{"code":2500,"reason":"x"}}}'
            text %= json.dumps(channel)
        else:
            text = '{"push":{"channel":%s,"pub":{"data":%s,"offset":%d}}}'
            text %= (json.dumps(channel), item[1], item[0])
        with contextlib.suppress(websockets.ConnectionClosed):
            await session.send(text)

    # -- sessions

    async def _session(self, session):
        self.sessions.add(session)
        try:
            async for frame in session:
                replies = [self._command(session, json.loads(x)) for x in frame.split("\n")]
                text = "\n".join(r for r in replies if r)
                if text:
                    await session.send(text)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.sessions.discard(session)
            for sessions in self.live.values():
                sessions.discard(session)

    def _command(self, session, c):
        if "connect" in c:
            return _dumps({"id": c["id"], "connect": {"client": "x", "ping": 25, "pong": True}})
        if "subscribe" in c:
            return _dumps({"id": c["id"], "subscribe": self._subscribe(session, c["subscribe"])})
        return None

    def _subscribe(self, session, sub):
        channel = sub["channel"]
        log = self.log.get(channel, [])
        top = log[-1][0] if log else 0
        self.live.setdefault(channel, set()).add(session)
        reply = {"recoverable": True, "epoch": EPOCH, "offset": top}
        if sub.get("recover"):
            reply["was_recovering"] = True
            reply["recovered"] = "gap" not in self.sins
            if reply["recovered"]:
                self.recovered += 1
                reply["offset"] = sub["offset"]
                later = [(p, v) for p, v in log if p > sub["offset"]]
                # Values go in as they are: json.dumps would print them anew.
                reply["publications"] = [{"data": _Raw(v), "offset": p} for p, v in later]
        return reply


class _Raw(str):
    __slots__ = ()


def _dumps(value):
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dumps, value)) + "]"
    return json.dumps(value)
