# SPDX-License-Identifier: Apache-2.0
"""bench latency: due time → client through Kafka (acks=all), worker, Redis and edge, beside a floor.

1,000 records/s over 100 channels to 1,000 clients, 10 a channel: 10,000 deliveries/s. The floor, a
bare librdkafka consumer, reads the same topic at the same time. CPU of worker, Redis and edge per
delivery is compared with that of a bare pipeline (bare_worker.c, a Redis of its own, bare_edge.c):
the same broker, load and clients, in pairs of runs; which goes first alternates. The oracle's
verdict must be clean, for both, or the run doesn't count.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import time

from figure import Figure
from measure import Talker, loadgen, tool

from harness.node import Nodes
from harness.redis import RedisServer

CHANNELS, CLIENTS, RATE, PARTITIONS = 100, 1000, 1000, 8
# 22 µs a delivery were allowed where a bare pipeline took 17: machines differ, the ratio does not.
TARGET = 22 / 17


@dataclasses.dataclass
class Pipeline:
    """What carries a topic to clients; pids: the processes whose CPU counts, by name."""

    name: str
    topic: str
    url: str
    pids: dict


@contextlib.contextmanager
def ours(directory, broker, topics, name="bench-latency"):
    """(the pipeline, its edge)"""
    redis = RedisServer(directory / "redis").start()
    nodes = Nodes(directory, broker, redis)
    try:
        topic = topics.create(name, partitions=PARTITIONS)
        table = {"": {"topic": topic}}
        worker = nodes.worker(namespaces=table)
        # one shard: the machine's cores are shared with Kafka, Redis, the worker and the clients
        edge = nodes.edge(namespaces=table, shards=1)
        pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
        yield Pipeline("ours", topic, edge.url, pids), edge
    finally:
        nodes.finish()
        redis.remove()


@contextlib.contextmanager
def bare(directory, broker, topics):
    redis = RedisServer(directory / "bare-redis").start()
    try:
        topic = topics.create("bench-latency-bare", partitions=PARTITIONS)
        argv = tool("bare_worker"), broker.bootstrap, topic, PARTITIONS, redis.url
        with Talker(*argv) as worker, Talker(tool("bare_edge"), redis.url, PARTITIONS) as edge:
            worker.hear()
            url = f"ws://127.0.0.1:{edge.hear().split()[1]}/"
            pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
            yield Pipeline("bare", topic, url, pids)
    finally:
        redis.remove()


@dataclasses.dataclass
class Run:
    """What one run says; latencies in ms, CPU in µs a delivery."""

    seen: dict
    floor: dict
    cpu: float
    parts: dict

    def over_floor(self, quantile):
        return self.seen[quantile] - self.floor[quantile]


def load(directory, broker, pipeline, seconds, warm_up):
    report = directory / "loadgen.json"
    settings = {
        "edges": pipeline.url,
        "kafka.bootstrap.servers": broker.bootstrap,
        "topic": pipeline.topic,
        "channels": CHANNELS,
        "clients": CLIENTS,
        "subscriptions": 1,
        "rate": RATE,
        "payload": 200,
        "warm_up": f"{warm_up}s",
        "duration": f"{seconds}s",
        "json": report,
        "dir": directory,
    } | {f"pids.{name}": pid for name, pid in pipeline.pids.items()}
    argv = [str(loadgen())]
    for name, value in settings.items():
        argv += ["--set", f"{name}={value}"]
    with Talker(tool("floor"), broker.bootstrap, pipeline.topic) as floor:
        floor.hear()
        load = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = []
        for line in load.stderr:
            said.append(line)
            if "event=ready" in line:
                time.sleep(warm_up)  # the window itself, not a wait for something
                floor.tell("reset")
        load.wait()
        if load.returncode != 0:
            told = load.stdout.read() + "".join(said)
            raise RuntimeError(f"{pipeline.name}: fanfare-loadgen: exit {load.returncode}\n{told}")
        load.stdout.close()
        load.stderr.close()
        floor.popen.stdin.close()
        figures = json.loads(floor.hear())
    told = json.loads(report.read_text())
    parts = {c["name"]: c["us_per_delivery"] for c in told["cpu"]}
    return Run(told["latency_ms"], figures, told["cpu_us_per_delivery"], parts)


def compare(directory, broker, both, pairs, seconds, warm_up):
    """Runs of each, pair by pair."""
    runs = [], []
    for i in range(pairs):
        for which in (0, 1) if i % 2 else (1, 0):
            runs[which].append(load(directory, broker, both[which], seconds, warm_up))
    return runs


def latency_text(runs):
    def at(which, quantile):
        return statistics.median(getattr(r, which)[quantile] for r in runs)

    return ", ".join(
        f"{which} p50 {at(which, 'p50'):.2f} p99 {at(which, 'p99'):.2f}" for which in ("seen", "floor")
    )


def cost_text(runs):
    parts = {k: statistics.median(r.parts[k] for r in runs) for k in runs[0].parts}
    split = ", ".join(f"{k} {v:.1f}" for k, v in parts.items())
    return f"{statistics.median(r.cpu for r in runs):.1f} ({split})"


def run(options, directory):
    pairs, seconds, warm_up = (3, 10, 2) if options.quick else (9, 10, 2)
    broker, topics = options.kafka()
    with ours(directory, broker, topics) as (mine, _), bare(directory, broker, topics) as least:
        own, bares = compare(directory, broker, (mine, least), pairs, seconds, warm_up)
    p50, p99 = ([r.over_floor(q) for r in own] for q in ("p50", "p99"))
    ratios = [o.cpu / b.cpu for o, b in zip(own, bares, strict=True)]
    cost = f"µs a delivery: ours {cost_text(own)}, bare {cost_text(bares)}"
    title = "CPU worker + Redis + edge / bare pipeline"
    return [
        Figure("latency", "p50", "p50 over the floor", p50, "ms", 1.0, note=latency_text(own)),
        Figure("latency", "p99", "p99 over the floor", p99, "ms", 5.0, note=f"bare: {latency_text(bares)}"),
        Figure("latency", "cpu", title, ratios, "×", TARGET, note=cost),
    ]
