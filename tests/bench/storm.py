# SPDX-License-Identifier: Apache-2.0
"""bench storm: clients that were all cut resume 60 s of missed records at once, 1 record/s a channel.

100 channels of one topic, 2,500, 5,000 and 10,000 clients, one edge: what they miss is in the edge's
memory (plog), in Redis only (an edge that just started), or in Kafka only (deep history, by way of the
worker). Each client must get its 60 records, each once and in order. While they come, 100 live clients
get a record a second each; their latency is compared with that before the storm.

Figures, each of a single run: the time until the last of 10,000 clients has all; Redis' CPU meanwhile; the
live clients' 99th percentile in it. Below the table, Redis' and the worker's CPU as the clients double,
and the 99th percentile before the storm. CPU is all of it, with what the live records and the beacon take:
a moment without a storm tells how much they take then, but not within one, where they come in fewer and
greater batches. Not in --quick: they depend on the machine.
"""

import threading
import time

from figure import Figure
from measure import LOAD_CPU, Talker, cpu_seconds, tool

from harness.node import Nodes
from harness.oracle import by_channel, read_topic
from harness.redis import RedisServer
from harness.util import wait_until

CHANNELS, MISSED, LIVE, PARTITIONS = 100, 60, 100, 4
CLIENTS = 2500, 5000, 10_000
STORM_MS, CALM_S = 60_000, 3
PAD = "x" * 180


class LiveRecords:
    """A record a second for each live channel, evenly spread, with the time it was made."""

    def __init__(self, topics, topic):
        self.producer, self.topic = topics.producer(), topic
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        due, i = time.monotonic(), 0
        while not self.stop.wait(max(0, due - time.monotonic())):
            value = f'{{"t":{time.monotonic_ns()}}}'
            self.producer.produce(self.topic, value, f"live{i % LIVE}")
            self.producer.poll(0)
            i += 1
            due += 1 / LIVE

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.producer.flush(10)


def cursors(broker, topic):
    """For each channel FROM:UPTO:COUNT of its newest MISSED records; FROM is that of the one before."""
    of = by_channel(read_topic(broker.bootstrap, topic))
    out = []
    for k in range(CHANNELS):
        found = [position for position, _ in of[f"ch{k}"]]
        out.append(f"{found[-MISSED - 1]}:{found[-1]}:{MISSED}")
    return " ".join(out)


def drop_segments(redis):
    client = redis.client()
    for pattern in ("ff:*seg:*", "ff:segs*"):
        names = list(client.scan_iter(pattern, count=1000))
        if names:
            client.delete(*names)


class Storms:
    """One source: a worker, and for each storm an edge as the source wants it."""

    def __init__(self, nodes, redis, broker, topics, source):
        self.nodes, self.redis, self.broker, self.topics, self.source = nodes, redis, broker, topics, source
        self.topic = topics.create(f"bench-storm-{source}", partitions=PARTITIONS)
        self.table = {"": {"topic": self.topic}}
        deep = {"stream_bytes": 20_000, "rebuild_records": 400} if source == "deep" else {}
        self.produce(1)  # the cursors
        if source == "deep":
            self.produce(MISSED)
            # The newest stay in the stream: what is missed lies before them.
            topics.produce(self.topic, [(f"other{i}", f'"{PAD}"') for i in range(2000)])
        self.worker = nodes.worker(namespaces=self.table, **deep)
        self.edge = self.start_edge()
        if source != "deep":
            with self.clients():  # they tail all partitions
                self.produce(MISSED)
                self.wait_carried()
        self.wait_carried()

    def produce(self, each):
        for i in range(each):
            self.topics.produce(self.topic, [(f"ch{k}", f'{{"i":{i},"p":"{PAD}"}}') for k in range(CHANNELS)])

    def wait_carried(self):
        wait_until(
            lambda: (
                self.worker.metrics().total("fanfare_worker_lag_records") == 0
                and self.worker.metrics().total("fanfare_worker_running_partitions") == PARTITIONS
            ),
            "the worker has appended all",
            30,
        )

    def start_edge(self):
        return self.nodes.edge(namespaces=self.table, shards=1)

    def clients(self, live=LIVE):
        talker = Talker(tool("storm"), self.edge.address, live, cpu=LOAD_CPU)
        talker.hear()
        return talker

    def storm(self, n, at):
        if self.source != "plog":
            self.edge.stop()
            drop_segments(self.redis)
            self.edge = self.start_edge()
        log = self.redis.client().hget(f"ff:topic:{self.topic}", "log").decode()
        pids = {"redis": self.redis.process.pid, "worker": self.worker.pid, "edge": self.edge.pid}
        with self.clients() as live, self.clients(0) as clients, LiveRecords(self.topics, self.topic):
            live.ask("live")
            before = spent(pids)
            time.sleep(CALM_S)  # what is measured: the live, without a storm
            calm = spent(pids, before)
            first = live.ask("live").split()
            before = spent(pids)
            done = clients.ask(f"storm {n} {log} {STORM_MS} {CHANNELS} {at}").split()
            cpu = spent(pids, before)
            within = live.ask("live").split()
        return Result(n, done, (first, within), (cpu, calm))


class Result:
    def __init__(self, n, done, live, cpu):
        _, arrived, pubs, ms, self.refused, told, wrong = done
        self.n, self.seconds = n, int(ms) / 1000
        self.cpu, calm = cpu
        self.calm = {k: v * self.seconds / CALM_S for k, v in calm.items()}  # in as long a time
        before, within = live
        self.before, self.within = (int(x[3]) / 1000 for x in live)
        self.text = (
            f"{n} clients: {arrived} have all in {ms} ms, {pubs} publications, refused {self.refused}, "
            f"told {told}, wrong {wrong}; CPU s (without a storm): "
            + ", ".join(f"{k} {v:.3f} ({self.calm[k]:.3f})" for k, v in self.cpu.items())
            + f"; live p50/p99/max ms before {text(before)}, within {text(within)}"
        )
        if int(arrived) != n or int(told) or int(wrong):
            raise RuntimeError(f"not all got all: {self.text}")


def spent(pids, before=None):
    return {k: cpu_seconds(p) - (before[k] if before else 0) for k, p in pids.items()}


def text(live):
    return "/".join(f"{int(x) / 1000:.1f}" for x in live[2:5])


def figures(source, results):
    last = results[-1]
    cpu = ", ".join(f"{r.n}: {r.cpu['redis'] * 1000:.0f}/{r.cpu['worker'] * 1000:.0f}" for r in results)
    without = f"{last.calm['redis'] * 1000:.0f}/{last.calm['worker'] * 1000:.0f}"
    note = f"Redis/worker ms {cpu}; in as long a time without a storm {without}"
    name = f"from {source}:"
    redis_ms, redis_name = last.cpu["redis"] * 1000, f"{name} Redis CPU while {last.n} clients come"
    before = f"before the storm {last.before:.1f} ms"
    return [
        Figure("storm", f"{source}-time", f"{name} {last.n} clients have all", [last.seconds], "s", 10),
        Figure("storm", f"{source}-redis", redis_name, [redis_ms], "ms", 100, note=note),
        Figure("storm", f"{source}-live", f"{name} live p99", [last.within], "ms", 250, note=before),
    ]


def run(options, directory):
    broker, topics = options.kafka()
    found = []
    for source in ("plog", "redis", "deep"):
        redis = RedisServer(directory / f"redis-{source}").start()
        nodes = Nodes(directory / source, broker, redis)
        try:
            storms = Storms(nodes, redis, broker, topics, source)
            at = cursors(broker, storms.topic)
            results = []
            for n in CLIENTS:
                results.append(storms.storm(n, at))
                print(f"storm     from {source}: {results[-1].text}", flush=True)
            found += figures(source, results)
        finally:
            nodes.finish()
            redis.remove()
    return found
