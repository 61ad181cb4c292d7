# SPDX-License-Identifier: Apache-2.0
"""What a worker says of itself when Kafka, or another worker, goes away beneath it."""

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
