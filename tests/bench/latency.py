# SPDX-License-Identifier: Apache-2.0
"""bench latency: due time → client through Kafka (acks=all), worker, Redis and edge, beside a floor.

1,000 records/s over 100 channels to 1,000 clients, 10 a channel: 10,000 deliveries/s. The floor, a
bare librdkafka consumer, reads the same topic at the same time. The same runs give the CPU of worker,
Redis and edge per delivery; the oracle's verdict must be clean, or the run doesn't count.
"""

import json
import subprocess
import time

from measure import Figure, Talker, loadgen, tool

from harness.node import Nodes
from harness.redis import RedisServer

CHANNELS, CLIENTS, RATE, PARTITIONS = 100, 1000, 1000, 8


def load(directory, broker, topic, pids, edge, seconds, warm_up):
    """One run: (loadgen's report, the floor's figures)."""
    report = directory / "loadgen.json"
    settings = {
        "edges": edge.url,
        "kafka.bootstrap.servers": broker.bootstrap,
        "topic": topic,
        "channels": CHANNELS,
        "clients": CLIENTS,
        "subscriptions": 1,
        "rate": RATE,
        "payload": 200,
        "warm_up": f"{warm_up}s",
        "duration": f"{seconds}s",
        "json": report,
        "dir": directory,
    } | {f"pids.{name}": pid for name, pid in pids.items()}
    argv = [str(loadgen())]
    for name, value in settings.items():
        argv += ["--set", f"{name}={value}"]
    with Talker(tool("floor"), broker.bootstrap, topic) as floor:
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
            raise RuntimeError(f"fanfare-loadgen: exit {load.returncode}\n{told}")
        load.stdout.close()
        load.stderr.close()
        floor.popen.stdin.close()
        figures = json.loads(floor.hear())
    return json.loads(report.read_text()), figures


def run(options, directory):
    runs, seconds, warm_up = (3, 10, 2) if options.quick else (5, 30, 5)
    broker, topics = options.kafka()
    redis = RedisServer(directory / "redis").start()
    nodes = Nodes(directory, broker, redis)
    topic = topics.create("bench-latency", partitions=PARTITIONS)
    table = {"": {"topic": topic}}
    p50, p99, cpu, notes = [], [], [], []
    try:
        worker = nodes.worker(namespaces=table)
        # one shard: the machine's cores are shared with Kafka, Redis, the worker and the clients
        edge = nodes.edge(namespaces=table, shards=1)
        pids = {"worker": worker.pid, "redis": redis.process.pid, "edge": edge.pid}
        for _ in range(runs):
            report, floor = load(directory, broker, topic, pids, edge, seconds, warm_up)
            seen = report["latency_ms"]
            p50.append(seen["p50"] - floor["p50"])
            p99.append(seen["p99"] - floor["p99"])
            cpu.append(report["cpu_us_per_delivery"])
            notes.append((seen["p50"], seen["p99"], floor["p50"], floor["p99"]))
            parts = {c["name"]: c["us_per_delivery"] for c in report["cpu"]}
    finally:
        nodes.finish()
        redis.remove()
    best = notes[len(notes) // 2]
    seen = "p50 {:.2f} p99 {:.2f} ms, floor p50 {:.2f} p99 {:.2f} ms".format(*best)
    split = ", ".join(f"{k} {v:.1f}" for k, v in parts.items())
    return [
        Figure("latency", "p50 over the floor", p50, 1.0, "ms", note=seen),
        Figure("latency", "p99 over the floor", p99, 5.0, "ms"),
        Figure("latency", "CPU worker + Redis + edge, a delivery", cpu, 22.0, "µs", note=split),
    ]
