# SPDX-License-Identifier: Apache-2.0
"""Kafka → worker → Redis → edge → clients, ours and the bare one, under one load from fanfare-loadgen.

The bare pipeline (bare_worker.c, a Redis of its own, bare_edge.c) has the design's steps and nothing
else: Kafka's records, a compare-and-set append, XREAD, a send() for each subscriber. No group, checks,
beacon, index, resume, pings; JSON goes out as it came. Both streams are bounded to about as many entries.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import time

from histogram import Histogram
from measure import Talker, loadgen, tool

from harness.node import Nodes
from harness.redis import RedisServer

PARTITIONS = 8
STREAM_ENTRIES, STREAM_BYTES = 20_000, "5MiB"  # the same bound, for records of 200 B
WARM_UP_S = 1


@dataclasses.dataclass(frozen=True)
class Shape:
    """A load: records/s, spread over the channels; each client subscribes to one.

    linger_ms: of the producer, whose own default is 5
    """

    key: str
    rate: int
    channels: int
    clients: int
    linger_ms: int = 0

    @property
    def text(self):
        return f"{self.rate:,} rec/s × {self.clients // self.channels}"


@dataclasses.dataclass
class Pipeline:
    """What carries a topic to clients; pids: the processes whose CPU counts, by name."""

    name: str
    topic: str
    url: str
    pids: dict


@contextlib.contextmanager
def ours(directory, broker, topics, name="bench-latency", **worker_config):
    """(the pipeline, its edge)"""
    redis = RedisServer(directory / "redis").start()
    nodes = Nodes(directory, broker, redis)
    try:
        topic = topics.create(name, partitions=PARTITIONS)
        table = {"": {"topic": topic}}
        worker = nodes.worker(namespaces=table, **worker_config)
        # one shard: the machine's cores are shared with Kafka, Redis, the worker and the clients
        edge = nodes.edge(namespaces=table, shards=1)
        pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
        yield Pipeline("ours", topic, edge.url, pids), edge
    finally:
        nodes.finish()
        redis.remove()


@contextlib.contextmanager
def bare(directory, broker, topics, name="bench-latency-bare"):
    redis = RedisServer(directory / "bare-redis").start()
    try:
        topic = topics.create(name, partitions=PARTITIONS)
        argv = tool("bare_worker"), broker.bootstrap, topic, PARTITIONS, redis.url, STREAM_ENTRIES
        with Talker(*argv) as worker, Talker(tool("bare_edge"), redis.url, PARTITIONS) as edge:
            worker.hear()
            url = f"ws://127.0.0.1:{edge.hear().split()[1]}/"
            pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
            yield Pipeline("bare", topic, url, pids)
    finally:
        redis.remove()


@dataclasses.dataclass
class Run:
    """What one run says; CPU in µs a delivery."""

    seen: Histogram
    floor: Histogram
    cpu: float
    parts: dict
    late: float  # share of the records that left over 1 ms after they were due


def _watch(load, floor):
    """Until the load ends; the floor forgets the warm-up. What was said on stderr."""
    said = []
    for line in load.stderr:
        said.append(line)
        if "event=ready" in line:
            floor.hear()  # it is as quick to begin as the clients are
            time.sleep(WARM_UP_S)  # the window itself, not a wait for something
            floor.tell("reset")
    load.wait()
    return "".join(said)


def load(directory, broker, pipeline, shape, seconds):
    """A Run; raises if not every record came to every subscriber, once and in order."""
    report = directory / "loadgen.json"
    settings = {
        "edges": pipeline.url,
        "kafka.bootstrap.servers": broker.bootstrap,
        "kafka.linger.ms": shape.linger_ms,
        "topic": pipeline.topic,
        "channels": shape.channels,
        "clients": shape.clients,
        "connect_rate": 4000,
        "subscriptions": 1,
        "rate": shape.rate,
        "payload": 200,
        "warm_up": f"{WARM_UP_S}s",
        "duration": f"{round(1000 * seconds)}ms",
        "json": report,
        "buckets": "true",
        "read_later": "true",
        "dir": directory,
    } | {f"pids.{name}": pid for name, pid in pipeline.pids.items()}
    argv = [str(loadgen())]
    for name, value in settings.items():
        argv += ["--set", f"{name}={value}"]
    with Talker(tool("floor"), broker.bootstrap, pipeline.topic) as floor:
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            said = _watch(process, floor)
        if process.returncode != 0:
            raise RuntimeError(f"{pipeline.name}: fanfare-loadgen: exit {process.returncode}\n{said}")
        floor.popen.stdin.close()
        least = Histogram(json.loads(floor.hear()))
    told = json.loads(report.read_text())
    parts = {c["name"]: c["us_per_delivery"] for c in told["cpu"]}
    seen = Histogram(told["latency_buckets"])
    late = told["producer"]["late"] / max(1, told["producer"]["sent"])
    return Run(seen, least, told["cpu_us_per_delivery"], parts, late)


def compare(directory, broker, both, shape, pairs, seconds):
    """Runs of each, pair by pair; which goes first alternates."""
    runs = [], []
    for i in range(pairs):
        for which in (0, 1) if i % 2 else (1, 0):
            runs[which].append(load(directory, broker, both[which], shape, seconds))
    return runs


def split(runs):
    """CPU by process: the median of the runs."""
    return {k: statistics.median(r.parts[k] for r in runs) for k in runs[0].parts}
