# SPDX-License-Identifier: Apache-2.0
"""The log is not what it was: deleted and made again, more partitions, records deleted under it. Clients are
told, each of them, with the new epoch or the lost range; never silence, never a wrong "recovered"."""

import json
import time

import pytest
from crowd import KEYS, Crowd, another_log, produce, told_once_and_resumed

from harness.oracle import read_topic
from harness.region import Region
from harness.util import wait_until


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


@pytest.fixture
def crowd(storm, ways, region):
    storm.usual()
    wait_until(region.log, "the topic has a log", 20)
    it = Crowd(ways, [e.url for e in storm.edge_nodes], KEYS)
    wait_until(it.ready, "all are subscribed", 30)
    yield it
    it.end()


def replace(storm, n):
    """The topic is deleted and created anew, with n records."""
    storm.topics.delete(storm.topic)
    gone = storm.topics.admin.list_topics
    wait_until(lambda: storm.topic not in gone(timeout=10).topics, "deleted", 20)
    storm.topics.create(storm.topic, 4)
    storm.topics.produce(storm.topic, [(KEYS[i % 20], json.dumps({"new": i})) for i in range(n)])


def judge_both(storm, region, crowd, old, before):
    new = another_log(storm, region, crowd, old)
    told_once_and_resumed(crowd)
    produce(storm, crowd, 100, 1000)
    crowd.judge({old: before, new: read_topic(storm.kafka.bootstrap, storm.topic)}, storm.row)


def test_topic_created_anew_shorter(storm, crowd, region):
    storm.row["fault"] = "Kafka: topic deleted and created anew, shorter"
    old, before = region.log(), produce(storm, crowd, 200)
    replace(storm, 10)
    judge_both(storm, region, crowd, old, before)


def test_topic_created_anew_longer(storm, crowd, region):
    storm.row["fault"] = "Kafka: topic deleted and created anew, longer, while the worker is away"
    old, before = region.log(), produce(storm, crowd, 200)
    storm.workers[0].stop()
    replace(storm, 400)
    storm.workers[0].start(40)
    judge_both(storm, region, crowd, old, before)
    assert storm.workers[0].metrics().total("fanfare_worker_overlap_failures_total") >= 1


def replace_asleep(storm, n, least):
    """The worker sleeps for that moment, `least` seconds: no fetch meets a missing topic or an offset out
    of range."""
    storm.workers[0].sigstop()
    began = time.monotonic()
    replace(storm, n)
    wait_until(lambda: time.monotonic() - began >= least, "it slept long enough", 10)
    storm.workers[0].sigcont()


def test_topic_created_anew_longer_under_a_worker(storm, crowd, region):
    storm.row["fault"] = "Kafka: topic deleted and created anew, longer, under a worker that sleeps"
    old, before = region.log(), produce(storm, crowd, 200)
    replace_asleep(storm, 2000, 1.5)
    judge_both(storm, region, crowd, old, before)
    assert storm.workers[0].metrics().total("fanfare_worker_sleeps_total") >= 1


def test_topic_created_anew_unnoticed(storm, crowd, region):
    """So soon that the worker doesn't know it was away: it finds the other log by its anchor."""
    storm.row["fault"] = "Kafka: topic deleted and created anew, longer, and nobody noticed: told in seconds"
    old = region.log()
    produce(storm, crowd, 200)
    replace_asleep(storm, 2000, 0)
    new = another_log(storm, region, crowd, old, 15)
    told_once_and_resumed(crowd)
    produce(storm, crowd, 100, 1000)
    crowd.judge({new: read_topic(storm.kafka.bootstrap, storm.topic)}, storm.row)
    assert storm.workers[0].metrics().total("fanfare_worker_overlap_failures_total") >= 1


def test_partitions_added(storm, crowd, region):
    storm.row["fault"] = "Kafka: partitions added"
    old, before = region.log(), produce(storm, crowd, 200)
    storm.topics.grow(storm.topic, 6)
    new = another_log(storm, region, crowd, old)
    told_once_and_resumed(crowd)
    after = produce(storm, crowd, 100, 1000)
    crowd.judge({old: before, new: after}, storm.row)


def delete_all(storm, region, seen):
    """Kafka's records up to the end are deleted, some of which the region hasn't."""
    ends = {r.partition: r.offset for r in read_topic(storm.kafka.bootstrap, storm.topic)}
    for p, last in enumerate(seen):
        assert ends[p] > last
        storm.topics.delete_records(storm.topic, p, ends[p])


@pytest.mark.short
def test_retention_passes_a_worker(storm, region):
    """It is away meanwhile: the lost stretch is told, what follows is there."""
    worker, _ = storm.usual()
    with storm.load("Kafka: retention passes the worker, which is away", told=True):
        worker.kill()
        worker.expect_exit(-9)
        seen = [region.last(p) for p in range(4)]
        storm.produce(400)
        delete_all(storm, region, seen)
        worker.start(60)
        worker.wait_metric("fanfare_worker_gaps_total", 4, 40)
        storm.wait_more(2000)
    assert sum(e.metrics().total("fanfare_edge_holes_total") for e in storm.edge_nodes) >= 4


def test_records_deleted_under_a_worker(storm, region):
    """It sleeps for that moment, and fetches on from offsets that are no more."""
    worker, _ = storm.usual(kafka={"session.timeout.ms": 30000})
    with storm.load("Kafka: records deleted under a worker that reads them", told=True):
        worker.sigstop()
        seen = [region.last(p) for p in range(4)]
        storm.produce(4000)  # more than it may have fetched already
        delete_all(storm, region, seen)
        worker.sigcont()
        worker.wait_metric("fanfare_worker_gaps_total", 1, 40)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 40)
        storm.wait_more(2000)
