# SPDX-License-Identifier: Apache-2.0
"""The registry is missing, can't be written, or two workers write it at once: a refusal, one identity."""

import json
import signal

import pytest

from harness.oracle import read_topic
from harness.region import Region
from harness.util import wait_until


def entries(storm, registry):
    logs = [json.loads(r.value) for r in read_topic(storm.kafka.bootstrap, registry)]
    return [e for e in logs if e["topic"] == storm.topic]


@pytest.mark.short
def test_two_workers_register_at_once(storm, redis):
    """It is missing: both create it, both want to be the first to name the log."""
    registry = f"{storm.topic}-registry"
    both = [storm.worker(start=False, registry_topic=registry, group=f"{storm.topic}-{i}") for i in (1, 2)]
    for worker in both:
        worker.launch()
    for worker in both:
        worker.wait_ready(60)
    storm.edges(2)
    with storm.load("registry: missing, then written by two workers at once"):
        for worker in both:
            worker.wait_metric("fanfare_worker_running_partitions", 4, 40)
        storm.wait_more(3000)
    first = entries(storm, registry)[0]
    assert Region(redis, storm.topic).log() == first["log"] and first["n"] == 1


def test_registry_cannot_be_written(storm, topics):
    storm.usual()
    registry = topics.create(f"{storm.topic}-registry", partitions=1, max_message_bytes=20)
    with storm.load("registry: can't be written"):
        other = storm.worker(start=False, registry_topic=registry, group=f"{storm.topic}-2")
        other.launch()
        other.expect_exit(1)
        assert other.wait(60) == 1
        assert registry in other.event("boot_failed")["why"]
        storm.wait_more(2000)
    assert not entries(storm, registry)


def test_registry_is_deleted_under_running_workers(storm, topics, redis):
    """Nobody needs it while nothing changes, and a worker that ends isn't held up by it."""
    registry = topics.create(f"{storm.topic}-registry", partitions=1)
    worker, _ = storm.usual(registry_topic=registry)
    log = Region(redis, storm.topic).log()
    with storm.load("registry: missing, deleted while workers run"):
        assert len(entries(storm, registry)) == 1
        topics.delete(registry)
        gone = topics.admin.list_topics
        wait_until(lambda: registry not in gone(timeout=10).topics, "deleted", 20)
        storm.wait_more(6000)
    assert Region(redis, storm.topic).log() == log
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
