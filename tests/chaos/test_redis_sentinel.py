# SPDX-License-Identifier: Apache-2.0
"""A region whose Redis is found by Sentinels: three of them, a master, a replica; worker and edges are given
nothing but the Sentinels."""

import signal
import time

import pytest

from harness.sentinel import RedisSet
from harness.util import wait_until

RUNNING = "fanfare_worker_running_partitions"


@pytest.fixture
def region(tmp_path):
    it = RedisSet(tmp_path / "set")
    yield it.start()
    it.remove()


def at(server):
    return f"127.0.0.1:{server.port}"


def wait_at(worker, server):
    """The worker is connected there, and carries on."""
    worker.wait_for(lambda: worker.event("redis_up")["at"] == at(server), f"it is at {at(server)}", 40)
    worker.wait_metric(RUNNING, 4, 30)


@pytest.mark.short
def test_master_killed(storm, region):
    worker, _ = storm.usual(redis=region)
    old = region.master()
    with storm.load("Redis by Sentinels: SIGKILL of the master"):
        assert old.kill() == -signal.SIGKILL
        began = time.monotonic()
        wait_until(lambda: region.elected(old), "another master", 40)
        storm.pause_max = time.monotonic() - began + 1  # their detection and election, and a second
        wait_at(worker, region.master())
        storm.wait_more(4000)


def test_failover_asked_for(storm, region):
    """The old master lives on, as a replica, and has its turn again."""
    worker, _ = storm.usual(redis=region)
    with storm.load("Redis by Sentinels: SENTINEL FAILOVER, there and back"):
        for _ in range(2):
            old = region.master()

            def asked():
                return region.sentinels.ask(region.sentinels.ports[0], "FAILOVER")

            wait_until(asked, "the failover begins", 30, every=0.2)
            wait_until(lambda old=old: region.elected(old), "another master", 40)
            wait_at(worker, region.master())
            storm.wait_more(2000)
            wait_until(region.in_step, "the old one is a replica", 30)


def test_master_deposed_while_it_stands_still(storm, region):
    """Its connections stay: the worker leaves it because the Sentinels say so, and what it sent there goes
    when the old master wakes up and learns that it is a replica."""
    worker, edges = storm.usual(redis=region)
    old = region.master()
    with storm.load("Redis by Sentinels: the master stands still, is deposed, wakes up"):
        old.process.signal(signal.SIGSTOP)
        wait_until(lambda: region.elected(old), "another master", 40)
        wait_at(worker, region.master())
        for edge in edges:
            edge.wait_for(lambda e=edge: e.get("/health/ready")[0] == 200, "it is ready again", 30)
        old.process.signal(signal.SIGCONT)
        wait_until(lambda: old.client().role()[0] == b"slave", "it is a replica", 30)
        wait_until(region.in_step, "it is in step", 30)
        storm.wait_more(4000)
    says = [e["why"] for e in worker.events("redis_down")]
    assert any("the Sentinels say that another is the master" in why for why in says), says


def test_master_demoted_under_a_worker(storm, region):
    """Demoted behind the Sentinels' back, connections stay: it refuses writes, and the worker asks the
    Sentinels again, who need a while to agree on another."""
    worker, _ = storm.usual(redis=region)
    old = region.master()
    with storm.load("Redis by Sentinels: the master is demoted by hand"):
        (other,) = region.replicas()
        other.client().replicaof("no", "one")
        old.client().replicaof("127.0.0.1", other.port)
        worker.wait_for(lambda: any("replica" in e["why"] for e in worker.events("redis_down")), "left", 20)
        wait_until(lambda: region.master().client().role()[0] == b"master", "they agree", 60, every=0.1)
        wait_at(worker, region.master())
        storm.wait_more(4000)


def test_all_sentinels_gone(storm, region):
    worker, edges = storm.usual(redis=region)
    with storm.load("Redis by Sentinels: all Sentinels gone"):
        region_redis = region.master().client()
        region.sentinels.kill()
        for node in (worker, *edges):
            storm.wait_event(node, "sentinels_lost")
        storm.wait_more(2000)
        # Connections that break now lead to the master that was known.
        for kind in (b"normal", b"pubsub"):
            region_redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        worker.wait_for(lambda: len(worker.events("redis_up")) >= 2, "it connects again", 20)
        worker.wait_metric(RUNNING, 4, 30)
        storm.wait_more(2000)
        assert worker.metrics().total("fanfare_worker_sentinels_lost") == 1
        region.sentinels.start()
        for node in (worker, *edges):
            storm.wait_event(node, "sentinels_back")
