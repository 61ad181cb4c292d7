# SPDX-License-Identifier: Apache-2.0
"""Clients for the rows that fanfare-loadgen's oracle can't judge: the log becomes another one under it.

A Follower behaves as an SDK does (subscribes again with its cursor when it is told to, reconnects with it),
and keeps all it got and was told, by epoch. All the time a tenth of them is cut every 400 ms, as in the load;
a twentieth goes back to its first cursor then. Crowd.judge() compares with what Kafka held, epoch by epoch.
"""

import asyncio
import contextlib
import json
import random
import time

from harness.client import FanClient, FanError
from harness.oracle import by_channel, compare, read_topic
from harness.util import scaled, wait_until

KEYS = [f"ch{i}" for i in range(20)]


class Follower:
    def __init__(self, urls, channel, number):
        self.urls, self.channel, self.number = urls, channel, number
        self.epoch, self.cursor = None, 0
        self.began = {}  # epoch: where this client's records begin
        self.got = {}  # epoch: publications
        self.told, self.resumed, self.connects = 0, 0, 0
        self.client = None
        self.task = None
        self.present = asyncio.Event()
        self.present.set()
        self.old = number % 20 == 7  # goes back to where it began

    def begin(self):
        self.task = asyncio.create_task(self._follow())

    async def _follow(self):
        while True:
            await self.present.wait()
            try:
                await self._connection()
            except (OSError, FanError, AssertionError):
                await asyncio.sleep(0.1)  # as an SDK's back-off
            finally:
                if self.client:
                    await self.client.close()

    async def _connection(self):
        url = self.urls[(self.number + self.connects) % len(self.urls)]
        self.connects += 1
        self.client = client = await FanClient.connect(url)
        client.dropped = False
        await self._subscribe(client)
        while True:
            await client.wait(lambda: client.pubs[self.channel] or client.pushes, "news", 600)
            if client.dropped:
                return  # nothing is taken any more: this loop would never wait again
            self._take(client)
            pushes, client.pushes = client.pushes, []
            if any(p.get("unsubscribe", {}).get("code", 0) >= 2500 for p in pushes):
                await self._subscribe(client)

    async def _subscribe(self, client):
        cursor = {} if self.epoch is None else {"offset": self.cursor, "epoch": self.epoch}
        while True:
            try:
                reply = await client.subscribe(self.channel, **cursor)
                break
            except FanError as e:
                if not e.temporary:
                    raise
                await asyncio.sleep(0.1)
        if reply.get("recovered") and reply["epoch"] == self.epoch:
            self.resumed += 1
        else:
            self.told += self.epoch is not None
            self.epoch, self.cursor = reply["epoch"], reply.get("offset", 0)
            self.began.setdefault(self.epoch, self.cursor)
        self._take(client)

    def _take(self, client):
        pubs = client.pubs[self.channel]
        if pubs and not client.dropped:
            self.got.setdefault(self.epoch, []).extend(pubs)
            self.cursor = pubs[-1]["offset"]
            pubs.clear()

    async def cut(self):
        if self.old and self.epoch:
            self.cursor = self.began[self.epoch]
            self.got[self.epoch] = []  # all of it must come again
        if self.client:
            self.client.dropped = True  # what it hasn't looked at yet comes again
            with contextlib.suppress(OSError):
                self.client.ws.transport.abort()

    async def leave(self):
        """Gone, with its cursor, until come_back()."""
        self.present.clear()
        await self.cut()

    def come_back(self):
        self.present.set()


class Crowd:
    def __init__(self, ways, urls, keys, clients=240, epoch=None):
        """epoch: they come with cursor 0 of that one, for all of it; without, for what is news."""
        self.ways, self.keys = ways, keys
        self.all = [Follower(urls, keys[i % len(keys)], i) for i in range(clients)]
        for f in self.all if epoch else ():
            f.epoch = epoch
            f.began[epoch] = 0
        self.took = None  # seconds until everybody was told
        self._on_all(lambda f: f.begin())
        self._cutting = self.ways.call(lambda: asyncio.create_task(self._cut_on()))

    async def _cut_on(self):
        while True:
            await asyncio.sleep(0.4)
            for f in random.sample(self.all, len(self.all) // 10):
                await f.cut()

    def _on_all(self, function):
        self.ways.call(lambda: [function(f) for f in self.all])

    def cut(self):
        """Every connection is dropped; they resume by their cursors."""

        async def all_of_them():
            await asyncio.gather(*(f.cut() for f in self.all))

        self.ways.run(all_of_them())

    def ready(self, epoch=None):
        """All are subscribed (in that epoch)."""
        return all(f.epoch if epoch is None else f.epoch == epoch for f in self.all)

    def caught_up(self, records):
        """Everybody has the last record of its channel."""
        last = {}
        for r in records:
            last[r.key.decode()] = r.position
        return all(f.cursor >= last.get(f.channel, 0) for f in self.all)

    def judge(self, logs, row, least=100):
        """logs: {epoch: records}, the last one is now. Fills the row; every epoch's records exactly once, in
        order; an ended epoch isn't asked of those who went through it again then. least: of the clients must
        have resumed."""
        self.ways.call(self._cutting.cancel)
        now, records = list(logs.items())[-1]
        wait_until(lambda: self.ready(now) and self.caught_up(records), "everybody has the last record", 60)
        counts = dict.fromkeys(("missing", "duplicate", "disorder", "wrong", "unknown"), 0)
        for epoch, records in logs.items():
            expected = by_channel(records)
            for f in self.all:
                if epoch not in f.began or (f.old and epoch != now):
                    continue
                got = {f.channel: f.got.get(epoch, [])}
                verdict = compare(expected, got, {f.channel: f.began[epoch]})
                for name in counts:
                    counts[name] += len(getattr(verdict, name))
        row |= counts
        row["clients"] = len(self.all)
        row["records"] = sum(len(r) for r in logs.values())
        row["told"] = sum(f.told for f in self.all)
        row["resumed"] = sum(f.resumed > 0 for f in self.all)
        row["pause_s"] = self.took
        assert not any(counts.values()), json.dumps(counts)
        assert row["resumed"] >= least

    async def _end(self):
        tasks = [self._cutting, *(f.task for f in self.all)]
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=scaled(10))
        assert len(done) == len(tasks)

    def end(self):
        self.ways.run(self._end())


def produce(storm, crowd, n, base=0):
    """n records, when everybody has them, as Kafka holds them."""
    made = [(KEYS[i % 20], json.dumps({"n": base + i})) for i in range(n)]
    placed = set(storm.topics.produce(storm.topic, made))
    records = read_topic(storm.kafka.bootstrap, storm.topic)
    records = [r for r in records if (r.partition, r.offset) in placed]
    assert len(records) == n
    wait_until(lambda: crowd.caught_up(records), "everybody has the last record", 60)
    return records


def another_log(storm, region, crowd, old, timeout=30):
    """All were told of the new log; its epoch."""
    began = time.monotonic()
    new = wait_until(lambda: region.log() not in (None, old) and region.log(), "a new log", timeout)
    wait_until(lambda: crowd.ready(new), "everybody was told", 30)
    crowd.took = time.monotonic() - began
    for f in crowd.all:
        f.resumed = 0
    return new


def told_once_and_resumed(crowd):
    assert [f.told for f in crowd.all] == [1] * len(crowd.all)
    crowd.cut()
    wait_until(lambda: all(f.resumed for f in crowd.all), "everybody resumed in the new log", 30)
