# SPDX-License-Identifier: Apache-2.0
"""A worker's way to Kafka, and nobody else's, stops answering: at its start, later, and while another region
goes on, whose clients then come here with cursors that are ahead.

The broker has a second listener, which it advertises at the address of a proxy.
"""

import pytest
from storm import storm_on

from harness.kafka import Broker
from harness.region import Region
from harness.util import free_port, wait_until

AGE = "fanfare_worker_kafka_age_ms"


class Target:
    def __init__(self, port):
        self.port = port


class TwoWays(Broker):
    """way: what leads to the second listener."""

    def __init__(self, directory, ways):
        super().__init__(directory)
        second = free_port()
        self.way = ways.open(Target(second))
        self.ways["WAY"] = (second, f"127.0.0.1:{self.way.port}")


@pytest.fixture
def broker(tmp_path, ways):
    it = TwoWays(tmp_path / "kafka", ways)
    try:
        yield it.start()
    finally:
        it.kill()


@pytest.fixture
def storm2(broker, redis, tmp_path, request):
    with storm_on(broker, redis, tmp_path, request) as it:
        yield it


@pytest.fixture
def by_way(broker):
    """A worker's settings: it goes the second way."""
    return {"kafka": {"bootstrap.servers": f"127.0.0.1:{broker.way.port}"}}


def test_kafka_never_answers_at_the_start(storm2, broker, by_way):
    storm2.usual()
    with storm2.load("Kafka: accepts connections and never answers, when a worker starts"):
        broker.way.silence()
        other = storm2.worker(start=False, **by_way)
        other.launch()
        other.expect_exit(1)
        assert other.wait(60) == 1
        assert "no answer from Kafka" in other.event("boot_failed")["why"]
        storm2.wait_more(2000)
        broker.way.silence(False)
        other.start(30)
        other.wait_metric("fanfare_worker_running_partitions", 2, 30)
        storm2.wait_more(2000)


def test_kafka_never_answers_in_the_middle(storm2, broker, by_way):
    """Of two workers the one that hears nothing loses its partitions to the other, and comes back."""
    one, two = storm2.worker(**by_way), storm2.worker()
    storm2.edges(2)
    for worker in (one, two):
        worker.wait_metric("fanfare_worker_running_partitions", 2, 30)
    with storm2.load("Kafka: accepts connections and never answers, in the middle"):
        broker.way.silence()
        broker.way.cut()  # it must connect anew
        two.wait_metric("fanfare_worker_running_partitions", 4, 40)
        storm2.wait_more(2000)
        broker.way.silence(False)
        one.wait_metric("fanfare_worker_running_partitions", 2, 60)
        storm2.wait_more(2000)


def test_client_is_ahead_of_its_region(storm2, broker, by_way, redis_server):
    """Two regions; the second one's worker hears nothing of Kafka for a while. The load's clients, cut, go
    to and fro: they come to the second with cursors that it has never heard of."""
    there = redis_server()
    storm2.worker()
    deaf = storm2.worker(redis=there, group="there", **by_way)
    storm2.edge()
    behind = storm2.edge(redis=there)
    here, late = Region(storm2.redis, storm2.topic), Region(there, storm2.topic)
    with storm2.load("client: resumes ahead of its region, which hears nothing of Kafka"):
        broker.way.silence()
        wait_until(lambda: all(here.last(p) > late.last(p) + 150 for p in range(4)), "it is behind", 30)
        storm2.wait_more(50, "fanfare_edge_recoveries_total", result="error")
        deaf.wait_metric(AGE, 3000, 20)
        broker.way.silence(False)
        wait_until(lambda: deaf.metrics().total(AGE) < 1500, "it hears of Kafka again", 30)
        storm2.wait_more(4000)
        behind.wait_metric("fanfare_edge_sessions", 60, 30)
