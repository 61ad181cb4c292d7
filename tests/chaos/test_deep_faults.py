# SPDX-License-Identifier: Apache-2.0
"""Deep history under faults: clients whose cursors lie far behind the streams, which hold the newest only.

What they miss is read from Kafka while a worker dies, Redis is emptied, or Kafka deletes it."""

import json

import pytest
from crowd import Crowd

from harness.oracle import by_channel, compare, read_topic
from harness.region import Region
from harness.util import wait_until

KEYS = [f"ch{i}" for i in range(20)]
RECORDS, CLIENTS = 40_000, 40
SEGMENTS = "fanfare_worker_deep_segments_total"
PAD = "x" * 300


class Past:
    """A region whose streams hold the newest only, and clients that come with cursor 0."""

    def __init__(self, storm, ways, redis, topic):
        self.storm, self.ways, self.region = storm, ways, Region(redis, topic)
        self.made, self.crowd = 0, None
        self.produce(RECORDS)
        self.records = read_topic(storm.kafka.bootstrap, storm.topic)
        self.workers = [storm.worker(stream_bytes=20_000, rebuild_records=1000) for _ in range(2)]
        storm.edges(2)
        wait_until(self.region.log, "the topic has a log", 20)
        wait_until(self.carried, "the streams", 30)

    def carried(self):
        running = sum(w.metrics().total("fanfare_worker_running_partitions") for w in self.workers)
        lag = sum(w.metrics().total("fanfare_worker_lag_records") for w in self.workers)
        return running == 4 and lag == 0

    def produce(self, n):
        made = [(KEYS[i % 20], json.dumps({"n": i, "p": PAD})) for i in range(self.made, self.made + n)]
        self.made += n
        self.storm.topics.produce(self.storm.topic, made)

    def come(self):
        urls = [e.url for e in self.storm.edge_nodes]
        self.crowd = Crowd(self.ways, urls, KEYS, CLIENTS, self.region.log())

    def segments(self):
        return sum(w.metrics().total(SEGMENTS) for w in self.workers if w.is_running())

    def wait_reading(self):
        """In the middle: some segments were published, and somebody lacks records."""
        wait_until(lambda: self.segments() >= 4, "segments of deep history", 30, every=0.01)
        assert not self.crowd.caught_up(self.records)

    def judge(self):
        self.crowd.judge({self.region.log(): self.records}, self.storm.row, least=CLIENTS)
        assert self.storm.row["told"] == 0


@pytest.fixture
def past(storm, ways, redis, topic):
    it = Past(storm, ways, redis, topic)
    yield it
    if it.crowd:
        it.crowd.end()


@pytest.mark.short
def test_worker_killed_in_a_deep_read(past, storm):
    storm.row["fault"] = "deep history: SIGKILL of the worker that reads"
    past.come()
    past.wait_reading()
    most = max(past.workers, key=lambda w: w.metrics().total(SEGMENTS))
    most.kill()
    past.judge()


def test_redis_emptied_in_a_deep_read(past, storm):
    storm.row["fault"] = "deep history: FLUSHALL in the middle of it"
    past.come()
    past.wait_reading()
    rebuilds = [w.metrics().total("fanfare_worker_rebuilds_total") for w in past.workers]
    past.region.r.flushall()
    past.judge()
    after = [w.metrics().total("fanfare_worker_rebuilds_total") for w in past.workers]
    assert sum(after) >= sum(rebuilds) + 4


def test_records_deleted_under_a_deep_read(past, storm):
    storm.row["fault"] = "deep history: Kafka deletes records of two partitions under it"
    before = past.records
    ends = {p: max(r.offset for r in before if r.partition == p) for p in range(4)}
    past.come()
    past.wait_reading()
    for partition in (0, 1):
        storm.topics.delete_records(storm.topic, partition, ends[partition] - 500)
    past.produce(40)
    left = read_topic(storm.kafka.bootstrap, storm.topic)
    records = before + [r for r in left if r.offset > ends[r.partition]]
    wait_until(lambda: past.crowd.caught_up(records), "everybody has the last record", 60)
    expected, where = by_channel(records), {r.key.decode(): r.partition for r in records}
    told = 0
    for f in past.crowd.all:
        verdict = compare(expected, {f.channel: f.got.get(f.epoch, [])}, {f.channel: 0})
        assert not (verdict.duplicate or verdict.disorder or verdict.wrong or verdict.unknown)
        assert not verdict.missing or f.told, f"{f.channel} lost {len(verdict.missing)} and wasn't told"
        assert where[f.channel] in (0, 1) or not f.told
        told += f.told
    storm.row |= dict.fromkeys(("missing", "duplicate", "disorder"), 0)
    storm.row |= {"clients": CLIENTS, "records": len(records), "told": told}
    storm.row |= {"resumed": sum(f.resumed > 0 for f in past.crowd.all), "pause_s": None}
