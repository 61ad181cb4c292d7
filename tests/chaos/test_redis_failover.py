# SPDX-License-Identifier: Apache-2.0
"""Failover of the region's Redis by Sentinel, and a primary that was cut off and goes on serving its edges.

Worker and edge are given one address, which must lead to the primary: here it is a proxy that the test turns.
Those that ask the Sentinels themselves: test_redis_sentinel.py.
"""

import signal
import time

import pytest

from harness.redis import RedisServer
from harness.region import Region
from harness.sentinel import Sentinels
from harness.util import wait_until


class Pair:
    """A primary, and a replica that hears of it through a proxy (`link`)."""

    def __init__(self, directory, ways):
        self.dir = directory
        self.primary = RedisServer(directory / "primary").start()
        self.link = ways.open(self.primary)
        self.replica = RedisServer(directory / "replica")
        self.replica.start()
        self.replica.client().replicaof("127.0.0.1", self.link.port)
        wait_until(self.linked, "the replica is in step", 20)
        self.sentinels = None

    def linked(self):
        return self.replica.client().info("replication").get("master_link_status") == "up"

    def watch(self):
        self.sentinels = Sentinels(self.dir, self.primary).start()

    def elected(self):
        return self.sentinels.agree_on(self.replica) and self.replica.client().role()[0] == b"master"

    def close(self):
        if self.sentinels:
            self.sentinels.remove()
        self.primary.remove()
        self.replica.remove()


@pytest.fixture
def pair(tmp_path, ways):
    it = Pair(tmp_path, ways)
    yield it
    it.close()


def tail_lost(storm, pair):
    """From now on the replica hears nothing; returns when it lacks records in every partition."""
    pair.link.silence()
    here, there = (Region(s, storm.topic) for s in (pair.primary, pair.replica))

    def lacks():
        return all(here.last(p) > there.last(p) + 20 for p in range(4))

    wait_until(lacks, "the replica lacks a tail", 20)


def test_failover_by_sentinel_loses_a_tail(storm, pair, ways):
    pair.watch()
    way = ways.open(pair.primary)
    worker, _ = storm.usual(redis=way)
    with storm.load("Redis: failover by Sentinel, the new primary lacks a tail"):
        tail_lost(storm, pair)
        assert pair.primary.kill() == -signal.SIGKILL
        began = time.monotonic()
        way.cut(stay_open=False)
        wait_until(pair.elected, "Sentinel made the replica the primary", 40)
        way.lead_to(pair.replica)
        way.cut(stay_open=True)
        storm.pause_max = time.monotonic() - began + 1  # detection, and a second
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(4000)


def test_old_primary_isolated(storm, pair, ways):
    """The worker goes to the new primary; both edges stay with the old one, where nothing comes any more, and
    are turned when they have noticed."""
    old_way, new_way = ways.open(pair.primary), ways.open(pair.primary)
    worker = storm.worker(redis=new_way)
    edges = storm.edges(2, redis=old_way)
    with storm.load("Redis: old primary isolated, still serves its edges"):
        tail_lost(storm, pair)
        pair.replica.client().replicaof("no", "one")
        new_way.lead_to(pair.replica)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        resumed = storm.resumed()
        for edge in edges:
            storm.wait_event(edge, "beacon_stale")
        wait_until(lambda: storm.resumed() > resumed + 100, "clients resume from what it has", 30)
        old_way.lead_to(pair.replica)
        storm.wait_more(4000)


def test_primary_cut_off_serves_its_edges(storm, pair, ways):
    """Split: worker and one edge go to the new primary, the other edge stays with the old one for a while;
    a second worker goes on writing there. It heals: the old primary is a replica and forgets what it had."""
    old_way, new_way = ways.open(pair.primary), ways.open(pair.primary)
    second = storm.worker(redis=old_way, group=f"{storm.topic}-old")
    worker = storm.worker(redis=new_way)
    storm.edge(redis=old_way)
    storm.edge(redis=new_way)
    with storm.load("Redis: two-sided split, a worker and an edge on either side, and heal"):
        tail_lost(storm, pair)
        pair.replica.client().replicaof("no", "one")
        new_way.lead_to(pair.replica)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(4000)
        assert pair.primary.client().role()[0] == pair.replica.client().role()[0] == b"master"
        second.wait_metric("fanfare_worker_running_partitions", 4, 30)
        pair.primary.client().replicaof("127.0.0.1", pair.replica.port)  # healed
        old_way.lead_to(pair.replica)
        second.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(4000)
    refused = sum(w.metrics().total("fanfare_worker_cas_refusals_total") for w in (worker, second))
    assert refused >= 1
