# SPDX-License-Identifier: Apache-2.0
"""What a worker says of itself when Kafka, or another worker, goes away beneath it."""

import time

import pytest

from harness.kafka import Broker
from harness.topics import Topics


@pytest.fixture
def own_kafka(tmp_path):
    """A broker that the test may kill."""
    broker = Broker(tmp_path / "own-kafka")
    try:
        yield broker.start()
    finally:
        broker.kill()


def joined(worker):
    return worker.metrics().total("fanfare_worker_group_joined")


def test_a_lost_group_is_seen(own_kafka, nodes):
    topic = Topics(own_kafka.bootstrap).create("lost", partitions=1)
    worker = nodes.worker(
        namespaces={"q": {"topic": topic}}, kafka={"bootstrap.servers": own_kafka.bootstrap}
    )
    assert joined(worker) == 1
    own_kafka.kill()
    worker.wait_for(lambda: joined(worker) == 0, "out of the group", 20)
    status, body = worker.get("/health/ready")
    assert status == 503 and "consumer group: not joined" in body
    own_kafka.start()
    worker.wait_for(lambda: joined(worker) == 1, "in the group again", 40)
    worker.wait_for(lambda: worker.get("/health/ready")[0] == 200, "ready again", 10)


def test_rows_of_dead_workers_are_swept(nodes, topic, redis):
    """A minute of real time: a row is left over only when its counter stood still for that long."""
    r = redis.client()

    def workers():
        return {f for f in r.hkeys("ff:beacon") if f.startswith(b"w:")}

    first = nodes.worker(namespaces={"q": {"topic": topic}})
    first.wait_for(workers, "the first one's row", 10)
    (dead,) = workers()
    first.kill()
    second = nodes.worker(namespaces={"q": {"topic": topic}})
    second.wait_metric("fanfare_worker_running_partitions", 4, 30)
    second.wait_for(lambda: r.hlen("ff:beacon") == 6, "its own row and those of four partitions", 10)
    living = set(r.hkeys("ff:beacon")) - {dead}
    began = time.monotonic()
    r.hset("ff:beacon", mapping={"p:leftOver:0": "1 x live 1 2 2 0", "z:unknown": "1", "w:slow": "1 0"})
    second.wait_for(lambda: time.monotonic() - began > 45, "three quarters of a minute", 60)
    r.hset("ff:beacon", "w:slow", "2 0")
    second.wait_for(lambda: dead not in workers(), "the dead one's row is gone", 60)
    assert time.monotonic() - began > 50
    second.wait_for(lambda: not r.hexists("ff:beacon", "p:leftOver:0"), "the partition's too", 20)
    assert set(r.hkeys("ff:beacon")) == living | {b"z:unknown", b"w:slow"}
