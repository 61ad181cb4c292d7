# SPDX-License-Identifier: Apache-2.0
"""bench worker: a backlog of 800,000 records of 200 B in 16 partitions, from Kafka into Redis.

Each run begins with an empty Redis and ends when every partition's last position is Kafka's end; the
worker's CPU is that of its whole life, start and joining its group included, with beacon and
last-position index. The bare worker (`bare_worker.c`: no group, no checks, no index, nothing read from
the records) drains the same backlog into another Redis, in pairs of runs; which one goes first
alternates. Neither Redis has to trim.
"""

import contextlib
import statistics
import subprocess
import time

from confluent_kafka import Consumer, TopicPartition
from figure import Figure, Series
from measure import Talker, cpu_seconds, tool

from harness.node import Nodes
from harness.redis import RedisServer

RECORDS, SIZE, PARTITIONS = 800_000, 200, 16
DRAIN_S = 60


def ends_of(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "bench-ends"})
    try:
        return [
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS)
        ]
    finally:
        consumer.close()


class Drain:
    """One way to drain the backlog, with a Redis of its own; cost() is what a run took."""

    def __init__(self, directory, broker, topic, ends):
        self.directory, self.broker, self.topic, self.ends = directory, broker, topic, ends
        self.redis = RedisServer(directory / "redis").start()
        self.runs = 0

    def close(self):
        self.redis.remove()

    def cost(self):
        """CPU seconds: (worker, Redis)"""
        self.runs += 1
        self.redis.flush()
        before = cpu_seconds(self.redis.process.pid)
        with self.worker() as worker:
            deadline = time.monotonic() + DRAIN_S
            while self.positions() != self.ends:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{type(self).__name__}: not drained in {DRAIN_S} s")
                time.sleep(0.05)  # the polling interval; each poll costs Redis 16 small reads
            return cpu_seconds(worker.pid), cpu_seconds(self.redis.process.pid) - before

    def read(self, command, keys):
        pipe = self.redis.client().pipeline(transaction=False)
        for key in keys:
            getattr(pipe, command)(*key)
        return pipe.execute()


class Ours(Drain):
    def __init__(self, *args):
        super().__init__(*args)
        self.nodes = Nodes(self.directory, self.broker, self.redis)

    def close(self):
        self.nodes.finish()
        super().close()

    @contextlib.contextmanager
    def worker(self):
        worker = self.nodes.worker(
            start=False,
            namespaces={"": {"topic": self.topic}},
            group=f"bench-{self.runs}",
            rebuild_records=4 * RECORDS,
            stream_bytes="1GiB",
        ).launch()
        try:
            yield worker
        finally:
            worker.stop()

    def positions(self):
        log = self.redis.client().hget(f"ff:topic:{self.topic}", "log")
        if not log:
            return None
        keys = [(f"ff:{{{log.decode()}:{p}}}:side", "last") for p in range(PARTITIONS)]
        return [int(x or 0) for x in self.read("hget", keys)]


class Bare(Drain):
    def worker(self):
        argv = self.broker.bootstrap, self.topic, PARTITIONS, self.redis.url, 4 * RECORDS
        return Talker(tool("bare_worker"), *argv)

    def positions(self):
        ids = self.read("hget", [(f"bare-last:{p}", "id") for p in range(PARTITIONS)])
        return [int((x or b"1-0").partition(b"-")[2]) for x in ids]


def run(options, directory):
    pairs = 3 if options.quick else 15
    broker, topics = options.kafka()
    topic = topics.create("bench-worker", partitions=PARTITIONS)
    argv = [tool("backlog"), broker.bootstrap, topic, RECORDS, SIZE]
    subprocess.run([str(a) for a in argv], check=True)
    ends = ends_of(broker, topic)
    costs = [], []
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(contextlib.closing(kind(directory / kind.__name__, broker, topic, ends)))
            for kind in (Ours, Bare)
        ]
        for i in range(pairs):
            for which in (0, 1) if i % 2 else (1, 0):
                costs[which].append(both[which].cost())

    def each(which, part):
        return [c[part] * 1e6 / RECORDS for c in costs[which]]  # µs a record

    def ratios(part):
        return [o / b for o, b in zip(each(0, part), each(1, part), strict=True)]

    def text(part):
        ours, bare = (statistics.median(each(which, part)) for which in (0, 1))
        return f"µs a record: ours {ours:.2f}, bare {bare:.2f}"

    rates = [1000 / us for us in each(0, 0)]
    split = {
        name: {p: statistics.median(each(which, i)) for i, p in enumerate(("worker", "Redis"))}
        for which, name in enumerate(("Fanfare", "bare worker"))
    }
    name = "thousand records a second of CPU"
    return [
        Figure("worker", "rate", name, rates, "k/s", 800.0, at_least=True),
        Figure("worker", "redis", "Redis CPU / bare worker's", ratios(1), "×", 1.3, note=text(1)),
        Figure("worker", "redis-append", "Redis' CPU a record", each(0, 1), "µs"),
        Figure("worker", "cpu", "worker CPU / bare worker's", ratios(0), "×", note=text(0)),
        Series("worker", "cpu", "CPU of a drain", "µs a record", split),
    ]
