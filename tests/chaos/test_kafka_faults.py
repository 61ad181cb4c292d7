# SPDX-License-Identifier: Apache-2.0
"""Brokers of a cluster of three die; all of them are away for a minute; one that lacks a tail becomes the
leader; transactions leave holes."""

import json
import signal
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from crowd import KEYS, Crowd, another_log, produce, told_once_and_resumed
from storm import storm_on

from harness.oracle import read_topic
from harness.region import Region
from harness.util import wait_until


@pytest.fixture
def storm3(trio, redis, tmp_path, request):
    """A Storm on three brokers; they are all there at its beginning."""
    trio.start()
    with storm_on(trio, redis, tmp_path, request) as it:
        wait_until(lambda: trio.in_sync(it.topic) == 3, "three replicas of each partition", 30)
        yield it


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


OUTAGE = 60


@pytest.mark.timeout(300)
def test_all_brokers_away(storm3, trio):
    _, edges = storm3.usual()
    with storm3.load("Kafka: all brokers down for a minute; clients resume meanwhile", ready_timeout="60s"):
        for member in trio.members:
            assert member.kill() == -signal.SIGKILL
        began = time.monotonic()
        # Nothing new comes, but resuming from plog and Redis goes on.
        resumed = storm3.resumed()
        wait_until(lambda: storm3.resumed() >= resumed + 500, "clients resume without Kafka", 30)
        assert all(e.get("/health/ready")[0] == 200 for e in edges)
        wait_until(lambda: time.monotonic() - began >= OUTAGE, "the outage's length", OUTAGE + 5)
        assert storm3.resumed() >= resumed + 500
        trio.start()
        storm3.wait_more(6000, timeout=60)


def test_log_is_truncated(storm3, trio, ways, redis):
    """Unclean leader election: the last records that clients got are no more, and others take their place."""
    storm3.row["fault"] = "Kafka: log truncated by an unclean leader election"
    first, second = trio.members[0], trio.members[1]
    storm3.topic += "-two"
    storm3.spaces[""] = {"topic": storm3.topic}
    config = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    both = [[first.number, second.number]] * 4
    new = NewTopic(storm3.topic, 4, replica_assignment=both, config=config)
    storm3.topics.admin.create_topics([new])[storm3.topic].result(30)
    wait_until(lambda: trio.leaders(storm3.topic) == [first.number] * 4, "it leads", 30)
    storm3.usual()
    region = Region(redis, storm3.topic)
    wait_until(region.log, "the topic has a log", 20)
    crowd = Crowd(ways, [e.url for e in storm3.edge_nodes], KEYS)
    wait_until(crowd.ready, "all are subscribed", 30)
    old, before = region.log(), produce(storm3, crowd, 200)
    second.kill()
    wait_until(lambda: trio.in_sync(storm3.topic) == 1, "the other is out of step", 40)
    before += produce(storm3, crowd, 100, 500)
    first.kill()
    second.spawn()
    wait_until(lambda: trio.leaders(storm3.topic) == [second.number] * 4, "the other leads", 60)
    there = read_topic(trio.bootstrap, storm3.topic)
    assert len(there) == 200  # it did lose the tail
    storm3.topics.produce(storm3.topic, [(KEYS[i % 20], json.dumps({"new": i})) for i in range(60)])
    epoch = another_log(storm3, region, crowd, old, 60)
    told_once_and_resumed(crowd)
    produce(storm3, crowd, 100, 1000)
    crowd.judge({old: before, epoch: read_topic(trio.bootstrap, storm3.topic)}, storm3.row)
    crowd.end()


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
