# SPDX-License-Identifier: Apache-2.0
"""What a worker leaves is carried on by another at once, long before the group has given it to somebody."""

import signal

import pytest

from harness.region import Region, records, same_as_kafka, start, wait_total
from harness.util import wait_until

ADOPTED, ADOPTIONS = "fanfare_worker_adopted_partitions", "fanfare_worker_adoptions_total"
ASSIGNED, RUNNING = "fanfare_worker_assigned_partitions", "fanfare_worker_running_partitions"


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


@pytest.fixture
def two(nodes, topics, topic, region):
    """Two workers with two partitions each, and 200 records carried."""
    # The group notices nothing for a minute: whatever goes on meanwhile is adopted.
    both = [start(nodes, topic, kafka={"session.timeout.ms": 45000}) for _ in range(2)]
    for worker in both:
        worker.wait_metric(RUNNING, 2, 30)
    topics.produce(topic, records(200))
    wait_total(region, both[0], 200)
    # By then each has seen the other's row move.
    both[0].wait_for(lambda: has_owners(region), "each writes its own partitions' rows", 10)
    return both


def has_owners(region):
    return len(set(writers(region))) == 2 and not any(w[-1] == "+" for w in writers(region))


def writers(region):
    return [region.beacon(p)[1] for p in range(4)]


def test_a_killed_worker_s_partitions_are_adopted(kafka, topics, topic, two, region):
    one, other = two
    before = set(writers(region))
    assert one.kill() == -signal.SIGKILL
    topics.produce(topic, records(200, first=200))
    wait_total(region, other, 400, timeout=10)
    metrics = other.metrics()
    assert metrics.total(ADOPTED) == 2 and metrics.total(ASSIGNED) == 2
    assert metrics.total(ADOPTIONS) == 2
    assert {e["from"] for e in other.events("adopted")} < before
    marked = lambda: sorted(w[-1] == "+" for w in writers(region)) == [False, False, True, True]  # noqa: E731
    other.wait_for(marked, "the rows of two partitions say that they are adopted", 10)
    assert same_as_kafka(kafka, region) == 400


def test_an_adopted_partition_goes_back_to_its_owner(kafka, topics, topic, two, region):
    one, other = two
    one.sigstop()
    topics.produce(topic, records(200, first=200))
    wait_total(region, other, 400, timeout=10)
    assert other.metrics().total(ADOPTED) == 2
    one.sigcont()
    other.wait_for(lambda: other.metrics().total(ADOPTED) == 0, "it has given them back", 10)
    topics.produce(topic, records(200, first=400))
    wait_total(region, other, 600, timeout=10)
    assert one.metrics().total(RUNNING) == 2 and other.metrics().total(RUNNING) == 2
    assert {e["why"] for e in other.events("adoption_ended")} <= {"another_writes", "another_appends"}
    assert same_as_kafka(kafka, region) == 600


def test_a_worker_that_stops_is_followed_at_once(kafka, topics, topic, two, region):
    one, other = two
    assert one.stop() == 0
    topics.produce(topic, records(200, first=200))
    wait_total(region, other, 400, timeout=10)
    assert other.metrics().total(ADOPTIONS) == 2
    other.wait_metric(ASSIGNED, 4, 30)
    other.wait_for(lambda: other.metrics().total(ADOPTED) == 0, "they are its own", 10)
    topics.produce(topic, records(200, first=400))
    wait_total(region, other, 600, timeout=10)
    assert same_as_kafka(kafka, region) == 600


def test_a_full_redis_makes_nobody_look_dead(topics, topic, nodes, redis_server):
    """It answers readers and takes no rows: everybody's stand still, and nobody is dead."""
    server = redis_server(maxmemory="64mb")
    region = Region(server, topic)
    both = [start(nodes, topic, redis=server) for _ in range(2)]
    for worker in both:
        worker.wait_metric(RUNNING, 2, 30)
    for worker in both:
        worker.wait_for(lambda: region.r.hlen("ff:beacon") == 6, "all rows of the beacon", 10)
    settled = [w.metrics().total(ADOPTIONS) for w in both]
    region.r.config_set("maxmemory", 1)
    errors = lambda: region.r.info("stats")["total_error_replies"]  # noqa: E731
    before = errors()
    wait_until(lambda: errors() > before + 60, "rows refused for two seconds", 20)
    assert [w.metrics().total(ADOPTIONS) for w in both] == settled
    region.r.config_set("maxmemory", 64 << 20)
    assert both[0].stop() == 0
    both[1].wait_metric(ADOPTIONS, settled[1] + 2, 10)


def test_a_deleted_topic_is_let_go(topics, topic, two):
    """The group gives its partitions to nobody, so nobody's row ends the adoption."""
    one, other = two
    one.kill()
    other.wait_for(lambda: other.metrics().total(ADOPTED) == 2, "it has adopted", 10)
    topics.delete(topic)
    other.wait_for(lambda: other.metrics().total(ADOPTED) == 0, "it has let go", 30)
    assert "topic_missing" in [e["why"] for e in other.events("adoption_ended")]
