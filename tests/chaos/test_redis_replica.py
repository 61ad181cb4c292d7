# SPDX-License-Identifier: Apache-2.0
"""Edges that read streams from replicas: one that lags, is cut off, dies, is promoted. Half of the clients
are on an edge that reads from the master, so cursors that are ahead of a replica come all the time."""

import contextlib
import signal
import time

import pytest
import redis as redis_py

from harness.redis import RedisServer
from harness.region import Region
from harness.sentinel import RedisSet
from harness.util import wait_until

LEFT_AFTER = 3  # seconds: an edge leaves a replica that lags for longer
READS = "fanfare_edge_reads_replica"


@pytest.fixture
def region(tmp_path):
    it = RedisSet(tmp_path / "set", replicas=2)
    yield it.start()
    it.remove()


@pytest.fixture
def pair(tmp_path, ways):
    """(master, replica, the way by which it hears of the master)"""
    master = RedisServer(tmp_path / "master").start()
    way = ways.open(master)
    replica = RedisServer(tmp_path / "replica").start()
    replica.client().replicaof("127.0.0.1", way.port)
    wait_until(lambda: in_step(replica), "the replica is in step", 20)
    yield master, replica, way
    replica.remove()
    master.remove()


def in_step(replica):
    return replica.client().info("replication").get("master_link_status") == "up"


def reader(storm, server, url):
    """An edge that reads from a replica by now."""
    edge = storm.edge(redis=server, redis_replica_url=url)
    edge.wait_metric(READS, 1, 20)
    return edge


def reads(server):
    """How many edges' tails are connected there."""
    with contextlib.suppress(redis_py.RedisError):
        return sum(c["name"] == "fanfare-tail" for c in server.client().client_list())
    return 0


def serving(region):
    """The replicas that edges read."""
    master = region.master()
    return [s for s in region.servers if s is not master and reads(s)]


@pytest.mark.short
def test_replica_lags(storm, pair):
    master, replica, way = pair
    storm.worker(redis=master)
    storm.edge(redis=master)
    edge = reader(storm, master, replica.url)
    with storm.load("Redis: an edge reads a replica, which lags for a second, again and again"):
        wait_until(lambda: reads(replica), "it is read", 10)
        here, there = (Region(server, storm.topic) for server in (master, replica))

        def behind():
            return sum(here.last(p) - there.last(p) for p in range(4))

        for _ in range(3):
            began = time.monotonic()
            way.silence()
            wait_until(lambda: behind() > 300, "it lags by more than a second", 20)
            way.silence(False)
            wait_until(lambda: behind() < 50, "it has caught up", 20)
            lagged = time.monotonic() - began
            storm.wait_more(1000)
            if edge.event("replica_left"):  # right only if the machine stood still in the middle of it
                assert lagged >= LEFT_AFTER
                break


def test_replica_is_cut_from_its_master(storm, pair):
    """It goes on answering and brings nothing: the edge reads from the master, and comes back later."""
    master, replica, way = pair
    storm.worker(redis=master)
    storm.edge(redis=master)
    edge = reader(storm, master, replica.url)
    with storm.load("Redis: the replica that an edge reads is cut from its master"):
        storm.pause_max = 6
        way.silence()
        left = edge.wait_for(lambda: edge.event("replica_left"), "it is left", 20)
        assert "it lags behind the master" in left["why"]
        edge.wait_for(lambda: edge.metrics().total(READS) == 0, "the master is read", 10)
        storm.wait_more(2000)
        way.silence(False)
        edge.wait_metric(READS, 1, 40)
        storm.wait_more(2000)


def test_replica_killed(storm, region):
    storm.worker(redis=region)
    storm.edge(redis=region)
    edge = reader(storm, region, "sentinel")
    with storm.load("Redis: SIGKILL of the replica that an edge reads"):
        storm.pause_max = 3
        (dead,) = serving(region)
        assert dead.kill() == -signal.SIGKILL
        wait_until(lambda: serving(region) not in ([], [dead]), "another replica is read", 60)
        edge.wait_metric(READS, 1, 10)
        storm.wait_more(4000)


def test_replica_promoted(storm, region):
    """What the edges read becomes the master, or learns of another; where there is a choice they don't stay
    with the master."""
    storm.worker(redis=region)
    edges = [reader(storm, region, "sentinel") for _ in range(3)]
    old = region.master()
    with storm.load("Redis: SIGKILL of the master while edges read its replicas"):
        assert old.kill() == -signal.SIGKILL
        wait_until(lambda: region.elected(old), "another master", 40)
        storm.wait_more(4000)
        (left,) = (s for s in region.replicas() if s is not old)
        wait_until(lambda: reads(left) == len(edges), "all read the replica that is left", 60, every=0.1)
        assert reads(region.master()) == 0
        storm.wait_more(2000)
