# SPDX-License-Identifier: Apache-2.0
"""bench scale: CPU of edges a delivery as clients grow from 1,000 to 64,000.

Four fleets, of 1,000, 4,000, 16,000 and 64,000 clients, stand side by side; in each, four edges of one shard
share the clients, a channel has 100 of them, 25 at each edge, and a process counts for each edge (20,000
descriptors are all that one may have here). Records have 128 B.

Paced, every channel has a record a second, evenly spread: each client gets the same, in any fleet, and all
that an edge does in between counts. (That, and waking up for a record, is shared by the more deliveries
the more clients there are, so a delivery becomes cheaper.) Flat out, a round is one record for every
channel of a fleet, so one for every client, and is delivered before the next is published; a run has as
many rounds as make 64,000 deliveries. There the fewer clients are served more often, and the kernel's
sockets stay in the processor's caches: the same fleets of four bare servers, which have nothing of their
own for a client, show what that is worth. What an edge grows beyond it is judged, what both grow is shown.
(By perf, 97 % of an edge's CPU time is the kernel's in both fleets; our own code is 0.14 µs of a delivery
to 1,000 clients, 0.19 to 64,000.)

Runs of all fleets alternate; those of 4,000 and 16,000 clients take part in every third turn. Servers run on
one CPU, everything else on the other.
"""

import contextlib
import statistics
import time

from figure import Figure, Series
from measure import LOAD_CPU, SERVER_CPU, Talker, cpu_seconds, pin, tool
from servers import CHANNEL, Bare, Sink

from harness.node import Edge
from harness.redis import RedisServer

FLEETS = 1000, 4000, 16_000, 64_000
SERVERS, SUBSCRIBERS, SIZE = 4, 100, 128
REACH = 1.3
SELDOM = 3  # fleets between the least and the most take part in every third turn


class Fleet:
    """`clients` of several servers. publish(records): to each channel, round and round."""

    def __init__(self, name, clients, stack):
        self.name, self.clients, self.channels = name, clients, clients // SUBSCRIBERS
        self.stack, self.pids, self.sinks = stack, [], []

    def add(self, dialect, server):
        each = self.clients // SERVERS
        sink = Sink(dialect, server.address, each, CHANNEL, self.channels)
        self.sinks.append(self.stack.enter_context(sink))
        self.pids.append(server.pid)

    def _cpu(self):
        return sum(cpu_seconds(pid) for pid in self.pids)

    def cost(self):
        """µs of the servers' CPU a delivery."""
        rounds, before = FLEETS[-1] // self.clients, self._cpu()
        for _ in range(rounds):
            self.publish(self.channels)
            for sink in self.sinks:
                sink.expect(self.channels)
        return (self._cpu() - before) * 1e6 / (rounds * self.clients)

    def cost_paced(self, seconds):
        """The same with a record a second for each channel."""
        records, before, due = round(self.channels * seconds), self._cpu(), time.monotonic()
        for _ in range(records):
            time.sleep(max(0, due - time.monotonic()))
            self.publish(1)
            due += 1 / self.channels
        for sink in self.sinks:
            sink.expect(records)
        return (self._cpu() - before) * 1e6 / (records * SUBSCRIBERS)


class Edges(Fleet):
    """On a Redis of their own."""

    def __init__(self, clients, stack, directory):
        super().__init__("Fanfare", clients, stack)
        redis = RedisServer(directory / "redis").start()
        stack.callback(redis.remove)
        pin(redis.process.pid, LOAD_CPU)
        argv = tool("feeder"), redis.url, "bench", f"{CHANNEL}*{self.channels}", SIZE
        self.feeder = stack.enter_context(Talker(*argv, cpu=LOAD_CPU))
        self.feeder.hear()
        config = {"redis_url": redis.url, "shards": 1, "namespaces": {"": {"topic": "bench"}}}
        for i in range(SERVERS):
            edge = Edge(config, directory, name=f"edge-{i}").start(60)
            stack.callback(edge.stop)
            pin(edge.pid, SERVER_CPU)
            self.add("fanfare", edge)

    def publish(self, records):
        self.feeder.ask(f"append {records}")


class Bares(Fleet):
    def __init__(self, clients, stack):
        super().__init__("bare", clients, stack)
        self.servers = [Bare(SIZE, self.channels) for _ in range(SERVERS)]
        for server in self.servers:
            stack.callback(server.close)
            self.add("bare", server)

    def publish(self, records):
        for server in self.servers:
            server.publish(records)


def grown(of_each):
    """of_each: {clients: costs} of one kind of server."""
    least, *_, most = of_each.values()
    return [m / n for n, m in zip(least, most, strict=True)]


def growth(key, title, of_each, reach=None):
    ratios = grown(of_each)
    seen = (f"{n} clients {statistics.median(costs):.2f}" for n, costs in of_each.items())
    note = "µs a delivery: " + ", ".join(seen)
    return Figure("scale", key, f"{title}, 64,000 clients / 1,000", ratios, "×", reach, note=note)


def run(options, directory):
    times, seconds = (5, 1) if options.quick else (15, 2)
    paced = {FLEETS[0]: [], FLEETS[-1]: []}
    with contextlib.ExitStack() as stack:
        edges = [Edges(n, stack, directory / str(n)) for n in FLEETS]
        fleets = edges + [Bares(n, stack) for n in FLEETS]
        costs = {fleet.name: {n: [] for n in FLEETS} for fleet in fleets}
        for fleet in fleets:
            fleet.cost()
        for i in range(times):
            for fleet in (edges[0], edges[-1]) if i % 2 else (edges[-1], edges[0]):
                paced[fleet.clients].append(fleet.cost_paced(seconds))
            for fleet in fleets if i % 2 else fleets[::-1]:
                if fleet.clients in paced or i % SELDOM == 0:
                    costs[fleet.name][fleet.clients].append(fleet.cost())
    lines = {name: [(n, statistics.median(c)) for n, c in of.items()] for name, of in costs.items()}
    title = "Clients of four servers, flat out"
    beyond = [e / b for e, b in zip(grown(costs["Fanfare"]), grown(costs["bare"]), strict=True)]
    return [
        growth("paced", "edges, a record a second each", paced, REACH),
        Figure("scale", "beyond", "flat out, edges' growth / bare servers'", beyond, "×", REACH),
        growth("clients", "edges, flat out", costs["Fanfare"]),
        growth("bare", "bare servers, flat out", costs["bare"]),
        Series("scale", "clients", title, "µs of CPU a delivery", lines, x="clients", log_x=True),
    ]
