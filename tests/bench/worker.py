# SPDX-License-Identifier: Apache-2.0
"""bench worker: a backlog of 800,000 records of 200 B in 16 partitions, from Kafka into Redis.

Figures: records for each second of the worker's CPU, and Redis' CPU a record. Each run begins with
an empty Redis and ends when every partition's last position is Kafka's end.
"""

import subprocess
import time

from confluent_kafka import Consumer, TopicPartition
from figure import Figure
from measure import cpu_seconds, tool

from harness.node import Nodes
from harness.redis import RedisServer

RECORDS, SIZE, PARTITIONS = 800_000, 200, 16
DRAIN_S = 60


def ends_of(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "bench-ends"})
    try:
        return [
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
            for p in range(PARTITIONS)
        ]
    finally:
        consumer.close()


def is_drained(client, topic, ends):
    log = client.hget(f"ff:topic:{topic}", "log")
    if not log:
        return False
    pipe = client.pipeline(transaction=False)
    for p in range(PARTITIONS):
        pipe.hget(f"ff:{{{log.decode()}:{p}}}:side", "last")
    return [int(x or 0) for x in pipe.execute()] == ends


def drain(nodes, redis, topic, ends, number):
    redis.flush()
    redis_before = cpu_seconds(redis.process.pid)
    worker = nodes.worker(
        start=False,
        namespaces={"": {"topic": topic}},
        group=f"bench-{number}",
        rebuild_records=4 * RECORDS,
        stream_bytes="1GiB",
    ).launch()
    client, deadline = redis.client(), time.monotonic() + DRAIN_S
    while not is_drained(client, topic, ends):
        if time.monotonic() > deadline or not worker.is_running():
            raise RuntimeError(f"not drained in {DRAIN_S} s:\n" + "\n".join(worker.lines()[-20:]))
        time.sleep(0.05)  # the polling interval; each poll costs Redis 16 small reads
    cost = cpu_seconds(worker.pid), cpu_seconds(redis.process.pid) - redis_before
    worker.stop()
    return cost


def run(options, directory):
    runs = 3 if options.quick else 7
    broker, topics = options.kafka()
    topic = topics.create("bench-worker", partitions=PARTITIONS)
    argv = [tool("backlog"), broker.bootstrap, topic, RECORDS, SIZE]
    subprocess.run([str(a) for a in argv], check=True)
    ends = ends_of(broker, topic)
    redis = RedisServer(directory / "redis").start()
    nodes = Nodes(directory, broker, redis)
    rates, redis_cost = [], []
    try:
        for i in range(runs):
            worker_cpu, redis_cpu = drain(nodes, redis, topic, ends, i)
            rates.append(RECORDS / worker_cpu / 1000)
            redis_cost.append(redis_cpu * 1e6 / RECORDS)
    finally:
        nodes.finish()
        redis.remove()
    return [
        Figure("worker", "rate", "thousand records a second of CPU", rates, "k/s", 300.0, at_least=True),
        Figure("worker", "redis", "Redis CPU a record", redis_cost, "µs", 4.0),
    ]
