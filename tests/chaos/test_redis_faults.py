# SPDX-License-Identifier: Apache-2.0
"""The region's Redis dies, forgets, is full, refuses or stands still: a pause, and nothing is lost."""

import signal
import time

import pytest

from harness.region import Region
from harness.util import wait_until

ATTACHES = "fanfare_worker_attaches_total"
REBUILDS = "fanfare_worker_rebuilds_total"
SHA_COUNT = "number_of_cached_scripts"


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


def wait_over(storm, worker):
    """The region carries on: partitions run, Redis answers both, and clients get records again."""
    worker.wait_metric("fanfare_worker_running_partitions", 4, 40)
    edges = [e for e in storm.edge_nodes if e.is_running()]
    wait_until(lambda: all(e.get("/health/ready")[0] == 200 for e in edges), "the edges are ready again", 40)
    storm.wait_more(2000)


@pytest.mark.short
def test_redis_restarts_empty(storm, redis_server):
    server = redis_server()
    worker, _ = storm.usual(redis=server)
    with storm.load("Redis: SIGKILL and restart, nothing kept"):
        assert server.kill() == -signal.SIGKILL
        storm.wait_event(worker, "redis_down")
        server.start()
        worker.wait_metric(REBUILDS, 4, 40)
        wait_over(storm, worker)


def test_redis_restarts_with_its_data(storm, redis_server):
    server = redis_server(appendonly="yes", appendfsync="everysec")
    worker, _ = storm.usual(redis=server)
    with storm.load("Redis: SIGKILL and restart with its append-only file"):
        before = worker.metrics().total(REBUILDS)
        assert server.kill() == -signal.SIGKILL
        wait_until(lambda: storm.total("fanfare_edge_redis_downs_total") >= 2, "both edges lost it", 20)
        server.start()
        wait_over(storm, worker)
        assert worker.metrics().total(REBUILDS) == before


def test_redis_is_loading(storm, redis_server):
    server = redis_server(appendonly="yes", appendfsync="everysec")
    pipe = server.client().pipeline(transaction=False)
    for i in range(4000):
        pipe.set(f"other:{i}", "x")
    pipe.execute()
    worker, edges = storm.usual(redis=server)
    with storm.load("Redis: restart, answers LOADING for seconds"):
        assert server.kill() == -signal.SIGKILL
        server.settings["key-load-delay"] = 500  # microseconds
        server.start()
        nodes = [worker, *edges]
        wait_until(lambda: any("LOADING" in line for n in nodes for line in n.lines()), "they heard it", 10)
        wait_over(storm, worker)


@pytest.mark.short
def test_redis_flushall(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: FLUSHALL"):
        before = worker.metrics().total(REBUILDS)
        region.r.flushall()
        worker.wait_metric(REBUILDS, before + 4, 30)
        wait_over(storm, worker)


def test_redis_loses_one_stream(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: DEL of one stream"):
        before = worker.metrics().total(REBUILDS)
        assert region.r.delete(region.key(1)) == 1
        worker.wait_metric(REBUILDS, before + 1, 30)
        wait_over(storm, worker)


def test_redis_loses_a_side_hash(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: DEL of a stream's side hash"):
        assert region.r.delete(region.key(1) + ":side") == 1
        wait_until(lambda: region.r.exists(region.key(1) + ":side"), "it is restored", 20)
        wait_over(storm, worker)


def test_redis_loses_the_topic_hash(storm, region):
    worker, edges = storm.usual()
    with storm.load("Redis: DEL of the topic hash and the beacon"):
        assert region.r.delete(f"ff:topic:{storm.topic}", "ff:beacon") == 2
        wait_until(region.log, "the topic hash is back", 20)
        wait_over(storm, worker)


def test_redis_evicts(storm, redis_server):
    server = redis_server()
    worker, _ = storm.usual(redis=server)
    r = server.client()
    with storm.load("Redis: eviction (allkeys-random at the bound)"):
        r.config_set("maxmemory-policy", "allkeys-random")
        r.config_set("maxmemory", r.info("memory")["used_memory"] - 300_000)
        wait_until(lambda: r.info("stats")["evicted_keys"] >= 2, "keys were evicted", 20)
        r.config_set("maxmemory", 0)
        r.config_set("maxmemory-policy", "noeviction")
        wait_over(storm, worker)


def test_redis_is_full(storm, redis_server):
    server = redis_server()
    worker, _ = storm.usual(redis=server)
    r = server.client()
    with storm.load("Redis: out of memory", rate=400):
        r.config_set("maxmemory", r.info("memory")["used_memory"] + 200_000)
        worker.wait_metric("fanfare_worker_oom_total", 3, 30)
        storm.wait_more(6000)
    assert worker.event("redis_full")


def test_redis_is_read_only(storm, redis_server):
    server = redis_server()
    worker, _ = storm.usual(redis=server)
    r = server.client()
    with storm.load("Redis: READONLY (a replica for a while)"):
        r.replicaof("127.0.0.1", 1)
        assert r.role()[0] == b"slave"
        wait_until(lambda: any("READONLY" in line for line in worker.lines()), "it was refused", 20)
        storm.wait_event(worker, "redis_down")  # it may be another server's turn at that address
        r.replicaof("no", "one")
        wait_over(storm, worker)


def test_redis_forgets_the_scripts(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: SCRIPT FLUSH"):
        assert region.r.info("memory")[SHA_COUNT] >= 3
        region.r.script_flush()
        wait_until(lambda: region.r.info("memory")[SHA_COUNT] >= 3, "they were loaded again", 20)
        wait_over(storm, worker)


def test_redis_stands_still(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: answers nothing for 6 s (CLIENT PAUSE)"):
        downs = storm.total("fanfare_edge_redis_downs_total")
        region.r.execute_command("CLIENT", "PAUSE", 6000, "ALL")
        began = time.monotonic()
        assert region.r.ping() and time.monotonic() - began > 5
        wait_until(lambda: storm.total("fanfare_edge_redis_downs_total") >= downs + 2, "both noticed", 20)
        wait_over(storm, worker)


@pytest.mark.short
def test_redis_goes_back_in_time_while_idle(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: goes back in time while the topic is idle", rate=0) as load:
        load.wait_carried(worker)
        keys = [region.key(1), region.key(1) + ":side"]
        before = [region.r.dump(k) for k in keys]
        old = region.last(1)
        end = max(o + 1 for p, o in load.produce(300) if p == 1)
        wait_until(lambda: region.last(1) == end, "all is carried: idle", 30)
        pipe = region.r.pipeline(transaction=True)
        for key, value in zip(keys, before, strict=True):
            pipe.restore(key, 0, value, replace=True)
        pipe.execute()
        wait_until(lambda: region.last(1) == end, "the tail is back, nobody produced", 10)
        assert old < end and worker.metrics().total("fanfare_worker_stream_moved_total") >= 1
        load.produce(300)
