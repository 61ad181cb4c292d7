# SPDX-License-Identifier: Apache-2.0
"""What the edges didn't see happen to the stream: it is whole when they come back, or they notice the hole.

These rows are schedules rather than luck: the edges' way to Redis is cut while the fault is made, so that
what they read later is all they ever get. Each is the row of a mutant (docs/testing.md) or more.
"""

import contextlib

import pytest
from confluent_kafka import Consumer, TopicPartition

from harness.region import Region
from harness.util import scaled, wait_until

NO_DEEP_HISTORY = "1"  # bytes: nothing fits; the stream itself must have it all


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


class Curtain:
    """The edges' common way to Redis, and what a partition's stream was at some time."""

    def __init__(self, storm, ways, region):
        self.storm, self.region = storm, region
        self.way = ways.open(storm.redis)

    @contextlib.contextmanager
    def down(self):
        edges = self.storm.edge_nodes
        self.way.cut(stay_open=False)
        for edge in edges:
            self.storm.wait_event(edge, "redis_down")
        yield
        self.way.cut(stay_open=True)
        for edge in edges:
            edge.wait_metric("fanfare_edge_redis_up", 1, 20)

    def picture(self, partition):
        """Taken at one moment: stream and side hash."""
        key = self.region.key(partition)
        pipe = self.region.r.pipeline(transaction=True)
        stream, side = pipe.dump(key).dump(key + ":side").execute()
        return {key: stream, key + ":side": side}

    def put_back(self, picture):
        pipe = self.region.r.pipeline(transaction=True)
        for key, value in picture.items():
            pipe.restore(key, 0, value, replace=True)
        pipe.execute()


@pytest.fixture
def curtain(storm, ways, region):
    return Curtain(storm, ways, region)


def committed(storm, partition):
    """The position that the workers' group has committed."""
    asked = Consumer({"bootstrap.servers": storm.kafka.bootstrap, "group.id": storm.topic})
    with contextlib.closing(asked):
        (at,) = asked.committed([TopicPartition(storm.topic, partition)], timeout=scaled(10))
        return at.offset


def test_redis_goes_back_unseen(storm, curtain, region):
    worker = storm.worker(history_bytes=NO_DEEP_HISTORY)
    storm.edges(2, redis=curtain.way)
    with storm.load("Redis: one stream goes back under load, unseen by the edges"):
        with curtain.down():
            picture, was = curtain.picture(1), region.last(1)
            # Whoever began at the group's commit would miss what lies before it, now.
            wait_until(lambda: committed(storm, 1) > was + 20, "more is carried and committed", 30)
            until = region.last(1)
            curtain.put_back(picture)
            wait_until(lambda: region.last(1) > until, "it goes on", 20)
        storm.wait_more(2000)
    assert worker.metrics().total("fanfare_worker_cas_refusals_total") >= 1


def test_redis_goes_back_unseen_while_idle(storm, curtain, region):
    worker = storm.worker()
    storm.edges(2, redis=curtain.way)
    with storm.load("Redis: one stream goes back while idle, unseen by the edges", rate=0) as load:
        load.wait_carried(worker)
        with curtain.down():
            picture = curtain.picture(1)
            end = max(o + 1 for p, o in load.produce(300) if p == 1)
            wait_until(lambda: region.last(1) == end, "all is carried: idle", 30)
            curtain.put_back(picture)
            assert region.last(1) < end or worker.event("stream_moved")
    assert worker.metrics().total("fanfare_worker_stream_moved_total") >= 1


def test_edges_cut_for_longer_than_the_stream(storm, curtain, region):
    """What the stream no longer has when they are back, Kafka has."""
    storm.worker(stream_bytes="200KiB")  # for each partition, about two seconds of the load
    storm.edges(2, redis=curtain.way)
    with storm.load("edges: cut from Redis for longer than the stream keeps", rate=400):
        with curtain.down():
            was = [region.last(p) for p in range(4)]

            def trimmed():
                first = [region.r.xrange(region.key(p), count=1)[0][0] for p in range(4)]
                return all(int(f.decode()[2:]) > w + 50 for f, w in zip(first, was, strict=True))

            wait_until(trimmed, "every stream begins behind what the edges have", 30)
        storm.wait_more(4000)
    assert sum(e.metrics().total("fanfare_edge_holes_total") for e in storm.edge_nodes) >= 8
