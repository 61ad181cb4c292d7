# SPDX-License-Identifier: Apache-2.0
"""A topic that Kafka compacts under its readers, in a namespace with `history: latest`: whoever resumes gets
the latest record of its channel, in order, and nobody is told of a gap because of what compaction took."""

import json

import pytest
from crowd import KEYS, Crowd

from harness.oracle import read_topic
from harness.region import Region
from harness.util import wait_until

COMPACT = {
    "cleanup_policy": "compact",
    "segment_ms": 100,
    "max_compaction_lag_ms": 100,
    "min_cleanable_dirty_ratio": 0.001,
}


@pytest.fixture
def topic(topics, request):
    return topics.create(f"{request.node.name}-{id(request)}", partitions=4, **COMPACT)


def resumed(crowd):
    return sum(f.resumed > 0 for f in crowd.all)


def produce_until(storm, made, more):
    """At least 1,000 records more, until Kafka has less than half of all, and more() is true. How many were
    made. Clients are cut all the time."""
    begun = made

    def probe():
        nonlocal made
        for _ in range(5):
            batch = [(KEYS[i % 20], json.dumps({"n": made + i, "p": "x" * 200})) for i in range(100)]
            storm.topics.produce(storm.topic, batch)
            made += 100
        if made < begun + 1000 or not more():
            return False
        return len(read_topic(storm.kafka.bootstrap, storm.topic)) < made / 2

    wait_until(probe, "half of the records are compacted away", 60, every=0.5)
    return made


def judge(crowd, epoch, records, row):
    """All have the last record of their channel; what they got is of the log, each once and in order."""
    known = {(r.key.decode(), r.position): json.loads(r.value) for r in records}
    last = {r.key.decode(): r.position for r in records}
    row |= dict.fromkeys(("missing", "duplicate", "disorder", "wrong"), 0)
    for f in crowd.all:
        got = f.got.get(epoch, [])
        positions = [p["offset"] for p in got]
        row["missing"] += positions[-1] != last[f.channel]
        row["duplicate"] += len(positions) - len(set(positions))
        row["disorder"] += positions != sorted(positions)
        row["wrong"] += sum(p["data"] != known.get((f.channel, p["offset"]), p["data"]) for p in got)
    row |= {"clients": len(crowd.all), "records": len(records), "pause_s": None}
    row["told"] = sum(f.told for f in crowd.all)
    row["resumed"] = sum(f.resumed for f in crowd.all)
    assert not any(row[k] for k in ("missing", "duplicate", "disorder", "wrong", "told")), row


def test_compacted_topic(storm, ways, redis):
    storm.row["fault"] = "Kafka: a compacted topic, history: latest"
    storm.spaces = {"": {"topic": storm.topic, "history": "latest"}}
    region = Region(redis, storm.topic)
    worker = storm.worker(stream_bytes="64KiB")
    storm.edges(2)
    wait_until(region.log, "the topic has a log", 20)
    crowd = Crowd(ways, [e.url for e in storm.edge_nodes], KEYS, 120)
    try:
        wait_until(crowd.ready, "all are subscribed", 30)
        epoch = region.log()
        made = produce_until(storm, 0, lambda: resumed(crowd) > 40)
        worker.stop()  # the record at its last position may be gone when it is back
        made = produce_until(storm, made, lambda: True)
        worker.start(40)
        made = produce_until(storm, made, lambda: resumed(crowd) >= 110)
        ways.call(crowd._cutting.cancel)
        records = read_topic(storm.kafka.bootstrap, storm.topic)
        wait_until(lambda: crowd.caught_up(records), "everybody has the last record", 60)
        judge(crowd, epoch, records, storm.row)
        storm.row["records"] = made
    finally:
        crowd.end()
    assert region.log() == epoch
    assert worker.metrics().total("fanfare_worker_overlap_failures_total") == 0
