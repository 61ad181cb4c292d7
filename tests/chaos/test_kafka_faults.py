# SPDX-License-Identifier: Apache-2.0
"""Brokers of a cluster of three die; all of them are away for ten seconds; transactions leave holes."""

import json
import signal
import time

import pytest
from confluent_kafka import Producer
from storm import Storm

from harness.node import Nodes
from harness.topics import Topics
from harness.util import wait_until


@pytest.fixture
def storm3(trio, redis, tmp_path, request):
    """A Storm on three brokers; they are all there at its beginning."""
    trio.start()
    topics = Topics(trio.bootstrap)
    topic = topics.create(request.node.name.replace("[", "-").replace("]", ""), partitions=4)
    wait_until(lambda: trio.in_sync(topic) == 3, "three replicas of each partition", 30)
    nodes = Nodes(tmp_path / "nodes", trio, redis)
    it = Storm(nodes, topics, topic, trio, redis, tmp_path)
    yield it
    it.end()
    request.node.user_properties.append(("row", it.row))
    accidents = nodes.finish()
    assert not accidents, "\n".join(accidents)


def test_broker_killed(storm3, trio):
    worker, _ = storm3.usual()
    with storm3.load("Kafka: SIGKILL of one of three brokers", ready_timeout="60s"):
        victim = next(m for m in trio.members if m.number in trio.leaders(storm3.topic))
        assert victim.kill() == -signal.SIGKILL
        wait_until(
            lambda: not {-1, victim.number} & set(trio.leaders(storm3.topic)), "other leaders", 40
        )
        storm3.wait_more(3000, timeout=40)
        trio.start()
        storm3.wait_more(3000, timeout=40)
    assert worker.is_running()


def test_controller_killed(storm3, trio):
    storm3.usual()
    with storm3.load("Kafka: SIGKILL of the controller", ready_timeout="60s"):
        victim = trio.controller()
        assert victim.kill() == -signal.SIGKILL
        assert wait_until(trio.controller, "another controller", 40) is not victim
        storm3.wait_more(3000, timeout=40)
        trio.start()
        storm3.wait_more(3000, timeout=40)


def test_all_brokers_away(storm3, trio):
    _, edges = storm3.usual()
    with storm3.load("Kafka: all brokers down for 10 s; clients resume meanwhile", ready_timeout="60s"):
        for member in trio.members:
            assert member.kill() == -signal.SIGKILL
        began = time.monotonic()
        # Nothing new comes, but resuming from plog and Redis goes on.
        resumed = storm3.resumed()
        wait_until(lambda: storm3.resumed() >= resumed + 500, "clients resume without Kafka", 30)
        assert all(e.get("/health/ready")[0] == 200 for e in edges)
        wait_until(lambda: time.monotonic() - began >= 10, "the outage's length", 15)
        trio.start()
        storm3.wait_more(6000, timeout=60)


def test_transactions_aborted(storm):
    storm.usual()
    producer = Producer(
        {
            "bootstrap.servers": storm.kafka.bootstrap,
            "transactional.id": storm.topic,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    with storm.load("Kafka: transactions aborted and committed, control records"):
        for turn in range(20):
            producer.begin_transaction()
            for i in range(20):
                value = json.dumps({"turn": turn, "i": i})
                producer.produce(storm.topic, value, f"ch{i % 50}")
            producer.flush(30)
            if turn % 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        storm.wait_more(3000)
    assert storm.row["records"] > 200
