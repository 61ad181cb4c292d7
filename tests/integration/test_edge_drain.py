# SPDX-License-Identifier: Apache-2.0
"""An edge sends its clients away: by SIGTERM or POST /admin/drain, in waves of a planned rate, each with its
cursor; what they get from two edges together is what the log holds.
"""

import asyncio
import contextlib
import time

from harness.client import FanClient
from harness.stream import FakeLog
from harness.util import scaled

CHANNELS = 8


class Mover:
    """A client that comes back elsewhere with its cursor when it is told to go, as SDKs do."""

    def __init__(self, channel, first, second):
        self.channel, self.first, self.second = channel, first, second
        self.got = []
        self.told = None  # (code, when)

    async def start(self):
        self.client = await FanClient.connect(self.first.url)
        await self.client.subscribe(self.channel)

    async def follow(self):
        await self.client.wait_closed(timeout=60)
        self.told = self.client.closed[0], time.monotonic()
        self.got = self.client.pubs[self.channel]
        offset, epoch = self.client.cursor(self.channel)
        self.client = await FanClient.connect(self.second.url)
        reply = await self.client.subscribe(self.channel, offset=offset, epoch=epoch)
        assert reply["recovered"]

    def all(self):
        return [p["data"] for p in self.got + self.client.pubs[self.channel]]


async def produce(log, counts, stop):
    """A record to a channel every 5 ms, until told to stop."""
    while not stop.is_set():
        for n in range(CHANNELS):
            log.append([(f"c{n}", counts[n])])
            counts[n] += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.02)


def most_in_a_second(times):
    times = sorted(times)
    return max(sum(t <= u < t + 1 for u in times) for t in times)


async def test_waves_with_cursors(edges, fake_log):
    first, second = edges(drain_time="30s", connect_rate=100), edges()
    movers = [Mover(f"c{n % CHANNELS}", first, second) for n in range(300)]
    for at in range(0, 300, 50):
        await asyncio.gather(*(m.start() for m in movers[at : at + 50]))
    counts, stop = [0] * CHANNELS, asyncio.Event()
    producing = asyncio.create_task(produce(fake_log, counts, stop))
    await asyncio.gather(*(m.client.wait_pubs(m.channel, 5) for m in movers))
    began = time.monotonic()
    following = [asyncio.create_task(m.follow()) for m in movers]
    code = await asyncio.to_thread(first.stop, 40)
    took = time.monotonic() - began
    await asyncio.gather(*following)
    stop.set()
    await producing
    for m in movers:
        n = counts[int(m.channel[1:])]
        await m.client.wait(lambda m=m, n=n: len(m.all()) >= n, f"{n} records of {m.channel}", 30)
        assert m.all() == list(range(n))
        assert m.told[0] == 3001
        await m.client.close()
    assert code == 0
    assert 2 < took < 2.9 * 1.5 + scaled(2)
    assert most_in_a_second([m.told[1] for m in movers]) <= 150


async def test_time_is_kept(edges, fake_log, fan):
    """A rate that is too low for drain_time is raised, and spread over it."""
    edge = edges(drain_time="2s", connect_rate=1)
    clients = [await fan(edge) for _ in range(100)]
    began = time.monotonic()
    ending = asyncio.create_task(asyncio.to_thread(edge.stop))
    times = []

    async def wait(client):
        assert (await client.wait_closed())[0] == 3001
        times.append(time.monotonic() - began)

    await asyncio.gather(*(wait(c) for c in clients))
    assert await ending == 0
    assert max(times) < 2 + scaled(1)
    assert 30 <= sum(t < 1 for t in times) <= 75


async def test_by_admin_and_back(edges, fake_log, fan):
    edge = edges(connect_rate=20)
    await asyncio.to_thread(edge.wait_for, lambda: edge.get("/health/ready")[0] == 200, "ready", 10)
    clients = [await fan(edge) for _ in range(40)]
    assert edge.get("/admin/drain", method="POST")[0] == 200
    await clients[0].wait_closed()
    for port in (None, edge.address):
        assert edge.get("/health/ready", port) == (503, "draining\n")
    assert edge.upgrade() == 503
    assert edge.metrics().total("fanfare_edge_draining") == 1
    assert edge.metrics().total("fanfare_edge_drain_rate") == 20
    assert edge.get("/admin/drain", method="DELETE")[0] == 200
    assert edge.get("/health/ready", edge.address)[0] == 200
    stayed = [c for c in clients if not c.closed]
    assert len(stayed) > 10
    await (await fan(edge)).subscribe("a")
    fake_log.append([("a", 1)])
    assert edge.metrics().total("fanfare_edge_draining") == 0

    assert edge.get("/admin/drain", method="POST")[0] == 200
    for client in stayed:
        assert (await client.wait_closed(20))[0] == 3001
    await asyncio.to_thread(edge.wait_event, "drained")
    assert edge.is_running() and edge.upgrade() == 503
    assert edge.metrics().total("fanfare_edge_moved_total") == 41
    assert await asyncio.to_thread(edge.stop) == 0


async def test_delay(edges, fake_log, fan):
    """Balancers see it before anybody is sent away; who comes meanwhile is taken, and moves with the rest."""
    edge = edges(drain_delay="1500ms")
    client = await fan(edge)
    ending = asyncio.create_task(asyncio.to_thread(edge.stop))
    await asyncio.to_thread(edge.wait_event, "draining")
    began = time.monotonic()
    await asyncio.to_thread(
        edge.wait_for, lambda: edge.get("/health/ready", edge.address)[0] == 503, "503", 5
    )
    assert edge.get("/admin/drain", method="DELETE")[0] == 409
    late = await fan(edge)
    assert not client.closed
    for c in (client, late):
        assert (await c.wait_closed())[0] == 3001
    assert time.monotonic() - began > 1.2
    assert await ending == 0


async def test_who_doesn_t_go_is_cut(edges, fake_log, fan):
    """A client that is told to go and does nothing holds the edge up for the 5 s of its close frame only."""
    edge = edges(drain_time="30s")
    client = await fan(edge)
    began = time.monotonic()
    assert edge.stop(25) == 0  # this thread waits: nothing reads what the client gets
    assert 5 < time.monotonic() - began < 7 + scaled(2)
    assert (await client.wait_closed())[0] == 3001


def test_not_from_web_pages(edges, redis):
    with FakeLog(redis, "t"):
        edge = edges()
        evil = {"Origin": "https://evil.example"}
        assert edge.get("/admin/drain", method="POST", headers=evil)[0] == 403
        assert edge.get("/admin/drain")[0] == 404
        assert edge.get("/admin/drain", edge.address, method="POST")[0] != 200
        assert edge.metrics().total("fanfare_edge_draining") == 0
