# SPDX-License-Identifier: Apache-2.0
"""bench scale: CPU of edges a delivery as clients grow from 1,000 to 64,000, each at the same rate.

Four fleets, of 1,000, 4,000, 16,000 and 64,000 clients, stand side by side; in each, four edges of one shard
share the clients, a channel has 100 of them, 25 at each edge, and a process counts for each edge (20,000
descriptors are all that one may have here). A round is one record of 128 B for every channel of a fleet, so
one for every client, and is delivered before the next is published; a run has as many rounds as make 64,000
deliveries. Only the number of clients differs, and what of them is still in the processor's caches.
Runs of all fleets alternate. Edges run on one CPU, everything else on the other.
"""

import contextlib
import statistics

from figure import Figure, Series
from measure import LOAD_CPU, SERVER_CPU, Talker, cpu_seconds, pin, tool
from servers import CHANNEL, Sink

from harness.node import Edge
from harness.redis import RedisServer

FLEETS = 1000, 4000, 16_000, 64_000
EDGES, SUBSCRIBERS, SIZE = 4, 100, 128
REACH = 1.3


class Fleet:
    """Edges on a Redis of their own, the feeder that publishes, and `clients` of them in all."""

    def __init__(self, directory, clients):
        self.clients, self.channels = clients, clients // SUBSCRIBERS
        with contextlib.ExitStack() as stack:
            redis = RedisServer(directory / "redis").start()
            stack.callback(redis.remove)
            pin(redis.process.pid, LOAD_CPU)
            argv = tool("feeder"), redis.url, "bench", f"{CHANNEL}*{self.channels}", SIZE
            self.feeder = stack.enter_context(Talker(*argv, cpu=LOAD_CPU))
            self.feeder.hear()
            config = {"redis_url": redis.url, "shards": 1, "namespaces": {"": {"topic": "bench"}}}
            self.edges, self.sinks = [], []
            for i in range(EDGES):
                edge = Edge(config, directory, name=f"edge-{i}").start(60)
                stack.callback(edge.stop)
                pin(edge.pid, SERVER_CPU)
                sink = Sink("fanfare", edge.address, clients // EDGES, CHANNEL, self.channels)
                stack.enter_context(sink)
                self.edges.append(edge)
                self.sinks.append(sink)
            self.close = stack.pop_all().close

    def _cpu(self):
        return sum(cpu_seconds(edge.pid) for edge in self.edges)

    def cost(self):
        """µs of the edges' CPU a delivery."""
        rounds, before = FLEETS[-1] // self.clients, self._cpu()
        for _ in range(rounds):
            self.feeder.ask(f"append {self.channels}")
            for sink in self.sinks:
                sink.expect(self.channels)
        return (self._cpu() - before) * 1e6 / (rounds * self.clients)


def run(options, directory):
    times = 5 if options.quick else 21
    with contextlib.ExitStack() as stack:
        fleets = []
        for clients in FLEETS:
            fleets.append(Fleet(directory / str(clients), clients))
            stack.callback(fleets[-1].close)
        costs = {fleet.clients: [] for fleet in fleets}
        for fleet in fleets:
            fleet.cost()
        for i in range(times):
            for fleet in fleets if i % 2 else fleets[::-1]:
                costs[fleet.clients].append(fleet.cost())
    seen = [(n, statistics.median(c)) for n, c in costs.items()]
    ratios = [most / least for least, most in zip(costs[FLEETS[0]], costs[FLEETS[-1]], strict=True)]
    note = "µs a delivery: " + ", ".join(f"{n} clients {cost:.2f}" for n, cost in seen)
    return [
        Figure("scale", "clients", "64,000 clients / 1,000, CPU a delivery", ratios, "×", REACH, note=note),
        Series(
            "scale",
            "clients",
            "Clients of four edges, each at the same rate",
            "µs of CPU a delivery",
            {"Fanfare": seen},
            x="clients",
            log_x=True,
        ),
    ]
