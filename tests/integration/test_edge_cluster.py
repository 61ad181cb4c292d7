# SPDX-License-Identifier: Apache-2.0
"""Edges that know each other by a real Consul: where clients are sent, how many are on each when edges come,
go and drain, and that each client gets its channel whole, wherever it is.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import time

import pytest
from websockets.exceptions import WebSocketException

from harness.client import FanClient
from harness.node import Edge, log_fields
from harness.util import WaitError, build_dir, scaled, wait_until

CHANNELS = 8
FEW = 16  # more than a share is no burden (RENDEZVOUS_FEW)


@pytest.fixture
def agent(consul):
    return consul()


@pytest.fixture
def cluster(edges, fake_log, agent):
    """cluster(n): that many edges, ready, that all see each other; named, if names are given."""

    def make(count, **config):
        new = [more(edges, agent, f"e{n}", **config) for n in range(count)]
        for edge in new:
            wait_seen(edge, {f"e{n}" for n in range(count)})
        return new

    return make


def more(edges, agent, name, **config):
    return edges(coordination="consul", consul_url=agent.url, node=name, **config)


def members(edge):
    status, body = edge.get("/cluster")
    assert status == 200
    return {m["node"]: m for m in json.loads(body)["members"] if m["role"] == "edge"}


def wait_seen(edge, names):
    """It sees these and no others, all ready."""

    def seen():
        found = members(edge)
        return found.keys() == names and all(m["state"] == "ready" for m in found.values())

    edge.wait_for(seen, f"it sees {sorted(names)}", 20)


def ask(edge, query=""):
    status, body = edge.get(f"/connect{query}", edge.address)
    return [e["node"] for e in json.loads(body)["endpoints"]] if status == 200 else []


def test_all_send_to_the_same(cluster):
    """A channel's clients come together, whichever edge they ask."""
    three = cluster(3)
    firsts = set()
    for channel in ("a", "b", "c", "d"):
        orders = [ask(edge, f"?channel={channel}") for edge in three]
        assert sorted(orders[0]) == ["e0", "e1", "e2"] and orders == [orders[0]] * 3
        firsts.add(orders[0][0])
    assert len({ask(three[0])[0] for _ in range(60)}) == 3  # without one: spread


def test_who_drains_or_dies_is_not_named(edges, cluster, agent):
    agent.settle()  # a death's time is measured
    one, two, three = cluster(3)
    assert two.get("/admin/drain", method="POST")[0] == 200
    began = time.monotonic()
    one.wait_for(lambda: "e1" not in ask(one), "it isn't named", 5)
    assert time.monotonic() - began < scaled(1)
    two.wait_for(lambda: "e1" not in ask(two) and ask(two), "it says where to go instead", 1)
    assert members(one)["e1"]["state"] == "draining"
    assert two.get("/admin/drain", method="DELETE")[0] == 200
    one.wait_for(lambda: "e1" in ask(one), "it is named again", 5)
    three.kill()
    began = time.monotonic()
    one.wait_for(lambda: "e2" not in ask(one), "it isn't named", 10)
    assert time.monotonic() - began < scaled(3)
    four = more(edges, agent, "e3")
    four.wait_for(lambda: four.get("/health/ready")[0] == 200, "ready", 10)
    began = time.monotonic()
    one.wait_for(lambda: "e3" in ask(one), "the new one is named", 10)
    assert time.monotonic() - began < scaled(2)


def test_another_region_is_behind(edges, fake_log, agent):
    here = [more(edges, agent, f"h{n}", region="eu") for n in range(2)]
    there = more(edges, agent, "t0", region="us")
    wait_seen(here[0], {"h0", "h1", "t0"})
    wait_seen(there, {"h0", "h1", "t0"})
    assert set(ask(here[0])[:2]) == {"h0", "h1"} and ask(here[0])[2] == "t0"
    assert ask(there)[0] == "t0"
    for edge in here:
        assert edge.get("/admin/drain", method="POST")[0] == 200
    here[0].wait_for(lambda: ask(here[0]) == ["t0"], "only the other region is left", 5)


def test_the_command(cluster):
    one, two = cluster(2)

    def run(*args):
        argv = [build_dir() / Edge.binary, "cluster", *args]
        return subprocess.run(argv, capture_output=True, text=True, timeout=scaled(20), check=False)

    said = run("--admin", one.admin)
    assert said.returncode == 0 and said.stdout.startswith("NODE")
    rows = {line.split()[0]: line.split() for line in said.stdout.splitlines()[1:]}
    assert rows.keys() == {"e0", "e1"} and rows["e1"][1:4] == ["edge", "local", "ready"]
    assert rows["e1"][-1] == f"ws://{two.address}"
    found = json.loads(run("--admin", two.admin, "--json").stdout)
    assert {m["node"]: m["self"] for m in found["members"]} == {"e0": False, "e1": True}
    assert run("--admin", f":{one.admin.rpartition(':')[2]}").stdout.startswith("NODE")
    assert one.get("/cluster", headers={"Accept": "text/plain"})[1].startswith("NODE")
    assert two.stop() == 0
    said = run("--admin", two.admin)
    assert said.returncode == 1 and "no answer" in said.stderr
    assert run("--bad").returncode == 2 and run("--admin", "nonsense").returncode == 2
    assert "fanfare-edge cluster" in run("--help").stdout


def test_alone_it_says_that_it_knows_no_other(edges, cluster):
    """Or one edge of several looks as if it were the only one that lives."""
    off = "coordination is off: this edge knows itself only"
    alone = edges().get("/cluster?format=text")[1].splitlines()
    assert len(alone) == 3 and alone[2] == off
    assert off not in cluster(1)[0].get("/cluster?format=text")[1]


class Wanderer:
    """A client that asks where to connect, each time it has to, and resumes there: as an SDK does."""

    def __init__(self, all_edges, channel, log):
        self.edges, self.channel, self.cursor = all_edges, channel, (0, log)
        self.pubs, self.client, self.moves, self.codes = [], None, 0, []
        self.task = None

    def _ask(self):
        edge = random.choice([e for e in self.edges if e.is_running()])
        _, body = edge.get(f"/connect?channel={self.channel}", edge.address)
        return json.loads(body)["endpoints"][0]["endpoint"]

    async def join(self):
        url = await asyncio.to_thread(self._ask)
        client = await FanClient.connect(url)
        reply = await client.subscribe(self.channel, offset=self.cursor[0], epoch=self.cursor[1])
        assert reply["recovered"]
        self.client = client

    async def rejoin(self):
        self.moves += 1
        while True:
            await asyncio.sleep(random.uniform(0.5, 1) / 2)  # an SDK's pause
            with contextlib.suppress(OSError, LookupError, ValueError, WebSocketException, WaitError):
                return await self.join()

    async def live(self):
        while True:
            await self.client.wait(lambda: self.client.closed, "it ends", 600)
            self.codes.append(self.client.closed[0])
            self.pubs += self.client.pubs[self.channel]
            self.cursor = self.client.cursor(self.channel)
            self.client.pubs.clear()
            await self.rejoin()

    def all(self):
        return [p["data"] for p in self.pubs + self.client.pubs[self.channel]]


class Crowd:
    def __init__(self, log):
        self.log, self.counts, self.all = log, [0] * CHANNELS, []
        self.stop = asyncio.Event()

    async def join(self, edges, count):
        new = [Wanderer(edges, f"c{n % CHANNELS}", self.log.log) for n in range(count)]
        for at in range(0, count, 25):
            await asyncio.gather(*(w.join() for w in new[at : at + 25]))
        for w in new:
            w.task = asyncio.create_task(w.live())
        self.all += new

    async def produce(self):
        while not self.stop.is_set():
            self.log.append([(f"c{n}", c) for n, c in enumerate(self.counts)])
            self.counts = [c + 1 for c in self.counts]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 0.05)

    async def judge(self):
        self.stop.set()
        for w in self.all:
            n = self.counts[int(w.channel[1:])]
            async with asyncio.timeout(scaled(30)):
                while len(w.all()) < n:
                    await asyncio.sleep(0.05)
            assert w.all() == list(range(n)), f"{w.channel} after {w.moves} moves"

    async def end(self):
        for w in self.all:
            w.task.cancel()
            await w.client.close()


@pytest.fixture
async def crowd(fake_log):
    made = Crowd(fake_log)
    yield made
    made.stop.set()
    await made.end()


def clients(edges):
    return [int(e.metrics().total("fanfare_edge_connections")) for e in edges]


async def test_rolling_restart(cluster, crowd):
    """Each edge in turn: drained, ended, started again. No client misses, doubles or disorders a record."""
    three = await asyncio.to_thread(cluster, 3, connect_rate=50, balance=False)
    producing = asyncio.create_task(crowd.produce())
    await crowd.join(three, 120)
    for edge in three:
        assert await asyncio.to_thread(edge.stop) == 0
        await asyncio.to_thread(edge.start)
        for each in three:
            await asyncio.to_thread(wait_seen, each, {"e0", "e1", "e2"})
    await crowd.judge()
    await producing
    assert sum(w.moves for w in crowd.all) >= 120
    assert {c for w in crowd.all for c in w.codes} == {3001}


async def test_a_new_edge_gets_its_share(edges, cluster, crowd, agent):
    """The fullest sheds what it has too much, no faster than is good, and each record arrives."""
    one = (await asyncio.to_thread(cluster, 1, connect_rate=200))[0]
    producing = asyncio.create_task(crowd.produce())
    all_edges = [one]
    await crowd.join(all_edges, 120)
    assert clients([one]) == [120]
    all_edges.append(await asyncio.to_thread(more, edges, agent, "e1", connect_rate=200))

    def is_even():
        have = clients(all_edges)
        return sum(have) == 120 and max(have) <= 1.25 * 60 + FEW and have

    await asyncio.to_thread(wait_until, is_even, lambda: f"even: {clients(all_edges)}", 40)
    await crowd.judge()
    await producing
    moved = sum(w.moves for w in crowd.all)
    have = clients(all_edges)
    assert moved - have[1] <= 120 * 0.05 and {c for w in crowd.all for c in w.codes} == {3011}
    assert one.metrics().total("fanfare_edge_moved_total", why="balance") == moved


async def test_clients_that_come_back_are_left_alone(edges, cluster, fan, agent):
    """A client with a fixed address: the edge sees that it is of no use, and says so."""
    one = (await asyncio.to_thread(cluster, 1, connect_rate=500))[0]
    crowd = [await fan(one) for _ in range(60)]
    await asyncio.to_thread(more, edges, agent, "e1", connect_rate=500)

    async def stubborn(client):
        while True:
            await client.wait_closed(600)
            client = await fan(one)

    tasks = [asyncio.create_task(stubborn(c)) for c in crowd]
    await asyncio.to_thread(one.wait_event, "balance_futile", 40)
    assert one.metrics().total("fanfare_edge_moved_total", why="balance") <= 2 * 60
    for task in tasks:
        task.cancel()


async def test_without_consul_it_goes_on(cluster, crowd, agent):
    """Consul dies: the last view stays, clients are still sent to all, and drains work."""
    one, two = await asyncio.to_thread(cluster, 2, balance=False)
    producing = asyncio.create_task(crowd.produce())
    await crowd.join([one, two], 40)
    agent.kill()
    await asyncio.to_thread(one.wait_event, "coordination_lost", 20)
    assert sorted(ask(one)) == ["e0", "e1"]
    status, table = one.get("/cluster?format=text")
    assert status == 200 and "coordination lost" in table
    await crowd.join([one, two], 10)
    await crowd.judge()
    await producing


# ---- one drains at a time ----


async def end(edge):
    """(seconds, {event: [(when, fields)]}) of its end."""
    began = time.monotonic()
    assert await asyncio.to_thread(edge.stop, 40) == 0
    said = {}
    for line in edge.lines():
        fields = log_fields(line)
        said.setdefault(fields.get("event"), []).append((line.split()[0], fields))
    return time.monotonic() - began, said


async def test_all_restarted_at_once(cluster, crowd):
    """There is always one that takes clients: nobody asks for long, nobody misses a record."""
    both = await asyncio.to_thread(cluster, 2, connect_rate=100, balance=False, drain_time="20s")
    producing = asyncio.create_task(crowd.produce())
    await crowd.join(both, 120)
    await crowd.all[0].client.wait_pubs(crowd.all[0].channel, 100)  # longer than a new node gets no lock

    async def restart(edge):
        _, said = await end(edge)
        await asyncio.to_thread(edge.start)
        return said

    said = await asyncio.gather(*(restart(e) for e in both))
    await crowd.judge()
    await producing
    first, second = sorted(said, key=lambda s: s["draining"][0][0])
    assert first["stopped"][0][0] < second["draining"][0][0] and second["drained"]
    assert "drain_waits" not in first and "drain_cut" not in second
    assert second["drain_waits"][0][1]["holder"] == first["stopped"][0][1]["node"]


@pytest.fixture
def behind(edges, fake_log, fan, agent):
    """await behind(…): an edge with a client, and one that drains before it, for most of a minute."""

    def has_it():
        with contextlib.suppress(AssertionError):  # 404
            return agent.call("GET", "/v1/kv/fanfare/local/drain")[0].get("Session")

    async def make(*others):
        slow_ones = {"connect_rate": 1, "balance": False}
        new = [await asyncio.to_thread(more, edges, agent, f"e{n}", **slow_ones, **conf)
               for n, conf in enumerate(others)]  # fmt: skip
        slow = await asyncio.to_thread(more, edges, agent, "slow", **slow_ones, drain_time="60s")
        for edge in [*new, *[slow] * 50]:
            await fan(edge)
        assert slow.get("/admin/drain", method="POST")[0] == 200
        await asyncio.to_thread(wait_until, has_it, "it has the lock", 15)
        return slow, *new

    return make


async def test_a_wait_is_bounded(behind):
    """Half of drain_time, and then no more than the rest. Other regions' edges don't count."""
    slow, one, away = await behind({"drain_time": "4s"}, {"drain_time": "20s", "region": "elsewhere"})
    (took, said), (took_away, _) = await asyncio.gather(end(one), end(away))
    assert said["drain_waits"][0][1]["holder"] == "slow"
    assert said["draining"][0][1]["waited_ms"] == "2000"
    assert took < 4 + 2 + scaled(1) and took_away < 5
    assert not slow.events("drained")


async def test_a_wait_ends_with_consul(behind, agent):
    _, one = await behind({"drain_time": "60s"})
    ending = asyncio.create_task(end(one))
    await asyncio.to_thread(one.wait_event, "drain_waits", 15)
    assert one.get("/health/ready")[0] == 200
    assert one.metrics().total("fanfare_edge_draining") == 0
    agent.kill()
    took, said = await ending
    assert took < 15 and said["coordination_lost"][0][0] <= said["draining"][0][0]
