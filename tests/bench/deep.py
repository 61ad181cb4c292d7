# SPDX-License-Identifier: Apache-2.0
"""bench deep: clients that resume from the log's beginning, which only Kafka has: 600,000 records of 200 B.

One worker, one edge, a client on each of 4 and of 40 channels with cursor 0, over 1 and over 4
partitions. The worker's streams hold a few hundred records, so each position is read from Kafka, left
in Redis as a segment, taken by the edge and looked at there. 1,000 channels share the topic: most
records are nobody's.

Figures, with a value for each of the four shapes: positions a second until the last client has all; CPU a
position of worker, Redis and edge. Beside them a bare librdkafka consumer reads the same topic right after.
Its CPU is what to compare with; its rate isn't steady, as librdkafka 2.0 may sleep for up to a second when a
queue has run full. Not in --quick: they depend on the machine.
"""

import statistics
import subprocess

from figure import Figure
from measure import LOAD_CPU, Talker, cpu_seconds, tool
from storm import drop_segments

from harness.node import Nodes
from harness.redis import RedisServer
from harness.util import wait_until

RECORDS, SIZE, CHANNELS = 600_000, 200, 1000
WAIT_MS = 60_000


def read_bare(broker, topic):
    """(wall s, CPU s)"""
    argv = [tool("bare_reader"), broker.bootstrap, topic, RECORDS]
    done = subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True)
    _, _, wall, cpu = done.stdout.split()
    return int(wall) / 1000, int(cpu) / 1000


def positions(worker):
    return worker.metrics().total("fanfare_worker_deep_positions_total")


class Resumed:
    """So many clients have read the log from its beginning."""

    def __init__(self, nodes, redis, worker, topic, clients, broker):
        drop_segments(redis)
        edge = nodes.edge(namespaces={"": {"topic": topic}}, shards=1)
        log = redis.client().hget(f"ff:topic:{topic}", "log").decode()
        pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
        each = RECORDS // CHANNELS
        read = positions(worker)
        with Talker(tool("storm"), edge.address, 0, "k", cpu=LOAD_CPU) as talker:
            talker.hear()
            before = {k: cpu_seconds(p) for k, p in pids.items()}
            at = " ".join(f"0:0:{each}" for _ in range(clients))
            done = talker.ask(f"storm {clients} {log} {WAIT_MS} {clients} {at}").split()
            self.cpu = {k: cpu_seconds(p) - before[k] for k, p in pids.items()}
        edge.stop()
        arrived, _, ms, _, told, wrong = (int(x) for x in done[1:])
        if arrived != clients or told or wrong:
            raise RuntimeError(f"not all got all: {done}")
        self.seconds = ms / 1000
        self.read = positions(worker) - read  # channels may leave a partition out
        self.rate = self.read / self.seconds / 1000
        self.bare = read_bare(broker, topic)

    def cost(self, name):
        return self.cpu[name] * 1e6 / self.read

    def text(self):
        cpu = ", ".join(f"{k} {self.cost(k):.2f}" for k in self.cpu)
        wall, used = self.bare
        return (
            f"{self.rate:.0f} k/s (bare {RECORDS / wall / 1000:.0f}); "
            f"CPU µs a position: {cpu} (bare {used * 1e6 / RECORDS:.2f})"
        )


def is_carried(worker, partitions):
    m = worker.metrics()
    return (
        m.total("fanfare_worker_lag_records") == 0
        and m.total("fanfare_worker_running_partitions") == partitions
    )


def run(options, directory):
    broker, topics = options.kafka()
    results = []
    for partitions in 1, 4:
        topic = topics.create(f"bench-deep-{partitions}", partitions=partitions)
        argv = [tool("backlog"), broker.bootstrap, topic, RECORDS, SIZE]
        subprocess.run([str(a) for a in argv], check=True)
        redis = RedisServer(directory / f"redis-{partitions}").start()
        nodes = Nodes(directory / str(partitions), broker, redis)
        try:
            worker = nodes.worker(
                namespaces={"": {"topic": topic}},
                stream_bytes=50_000,
                rebuild_records=400,
                history_bytes="256MiB",
            )
            wait_until(lambda w=worker, n=partitions: is_carried(w, n), "the streams", 30)
            for clients in 4, 40:
                results.append(Resumed(nodes, redis, worker, topic, clients, broker))
                which = f"{partitions} partitions, {clients} clients"
                print(f"deep      {which}: {results[-1].text()}", flush=True)
        finally:
            nodes.finish()
            redis.remove()

    def cost(name):
        return [r.cost(name) for r in results]

    bare = statistics.median(r.bare[1] * 1e6 / RECORDS for r in results)
    bare_rate = statistics.median(RECORDS / r.bare[0] / 1000 for r in results)
    rates, note = [r.rate for r in results], f"bare reader {bare:.2f} µs"
    beside = f"bare reader {bare_rate:.0f} k/s"
    title = "thousand positions a second"
    return [
        Figure("deep", "rate", title, rates, "k/s", 300, at_least=True, note=beside),
        Figure("deep", "worker", "worker CPU a position", cost("worker"), "µs", 2, note=note),
        Figure("deep", "redis", "Redis CPU a position", cost("redis"), "µs", 2),
        Figure("deep", "edge", "edge CPU a position", cost("edge"), "µs", 2),
    ]
