# SPDX-License-Identifier: Apache-2.0
"""The region's Redis dies, forgets, is full, refuses or stands still: a pause, and nothing is lost."""

import contextlib
import signal
import time

import pytest
from storm import small_disk

from harness.region import Region
from harness.util import scaled, wait_until

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


FAST = {"rate": 10000, "channels": 400, "payload": 300}  # 38 KB/s for each client


@pytest.mark.short
def test_redis_flushall(storm, region):
    worker, _ = storm.usual()
    with storm.load("Redis: FLUSHALL at 10,000 records/s", **FAST):
        storm.pause_max = 2
        before = worker.metrics().total(REBUILDS)
        region.r.flushall()
        worker.wait_metric(REBUILDS, before + 4, 30)
        wait_over(storm, worker)
    report = storm.result.report
    assert report["producer"]["acked"] > 8000 * report["deliveries"]["window_s"], report["producer"]


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


@pytest.fixture
def on_small_disk(redis_server, tmp_path):
    """A Redis whose directory is a disk of its own, a small one, and a way to fill it."""
    with small_disk(tmp_path / "redis-0", "24m") as disk:

        def fill():
            with open(disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(b"x" * 4096)
            return disk / "ballast"

        yield redis_server, fill


def until_misconf(storm, worker, fill):
    """The disk is full until the worker was refused; the load's clients resume meanwhile."""
    ballast = fill()
    wait_until(lambda: any("MISCONF" in line for line in worker.lines()), "it was refused", 40)
    resumed = storm.resumed()
    wait_until(lambda: storm.resumed() >= resumed + 200, "clients resume meanwhile", 30)
    ballast.unlink()


def test_redis_disk_is_full_snapshots(storm, on_small_disk):
    """Redis refuses writes when a snapshot failed (stop-writes-on-bgsave-error), until one succeeds."""
    redis_server, fill = on_small_disk
    server = redis_server(save="1 1", stop_writes_on_bgsave_error="yes")
    worker, _ = storm.usual(redis=server, stream_bytes="1MiB")
    r = server.client()
    with storm.load("Redis: its disk is full, snapshots fail (MISCONF)"):
        until_misconf(storm, worker, fill)
        assert r.info("persistence")["rdb_last_bgsave_status"] != "ok"
        wait_until(lambda: r.info("persistence")["rdb_last_bgsave_status"] == "ok", "a snapshot", 30)
        wait_over(storm, worker)


def test_redis_disk_is_full_append_only_file(storm, on_small_disk):
    redis_server, fill = on_small_disk
    server = redis_server(appendonly="yes", appendfsync="everysec")
    worker, _ = storm.usual(redis=server, stream_bytes="1MiB")
    r = server.client()
    with storm.load("Redis: its disk is full, the append-only file can't grow (MISCONF)"):
        until_misconf(storm, worker, fill)
        wait_until(lambda: r.info("persistence")["aof_last_write_status"] == "ok", "a write", 30)
        wait_over(storm, worker)


def test_redis_refuses_connections(storm, redis_server, ways):
    """Its limit of clients (of open files) is reached while an edge must connect anew."""
    server = redis_server()
    way = ways.open(server)
    worker = storm.worker(redis=server)
    one, _ = storm.edge(redis=way), storm.edge(redis=server)
    r = server.client()
    with storm.load("Redis: its limit of connections reached while an edge connects anew"):
        r.config_set("maxclients", 1)
        way.cut()
        wait_until(lambda: r.info("stats")["rejected_connections"] >= 2, "it was refused", 20)
        wait_until(lambda: storm.total("fanfare_edge_redis_up", [one]) == 0, "the edge notices", 20)
        storm.wait_more(3000)
        assert worker.metrics().total("fanfare_worker_redis_up") == 1
        r.config_set("maxclients", 10000)
        one.wait_metric("fanfare_edge_redis_up", 1, 20)
        wait_over(storm, worker)


@pytest.mark.parametrize("when", ["start", "middle"])
def test_redis_accepts_and_never_answers(storm, redis, ways, when):
    """At the start: who comes says so and exits, or waits; in the middle, a pause for all of them."""
    way = ways.open(redis)
    if when == "middle":
        worker, edges = storm.usual(redis=way)
    else:
        worker, edges = storm.usual()
    with storm.load(f"Redis: accepts connections and never answers, {WHEN[when]}"):
        way.silence()
        if when == "middle":
            way.cut()  # both must connect anew
            storm.wait_event(worker, "redis_down")
            wait_until(lambda: storm.total("fanfare_edge_redis_up") == 0, "the edges notice", 20)
            way.silence(False)
        else:
            refused_at_start(storm, way)
        wait_over(storm, worker)


WHEN = {"start": "when nodes start", "middle": "when nodes connect anew"}


def refused_at_start(storm, way):
    edge = storm.nodes.edge(start=False, namespaces=storm.spaces, redis=way)
    other = storm.nodes.worker(start=False, namespaces=storm.spaces, redis=way, group="other")
    for node in (edge, other):
        node.launch()
        node.expect_exit(1)
    for node in (edge, other):
        assert node.wait(40) == 1
        assert "no Redis at" in node.event("boot_failed")["why"]
    storm.wait_more(2000)
    way.silence(False)
    for node in (edge, other):
        node.start(30)


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
        began = time.monotonic()
        wait_until(lambda: region.last(1) == end, "the tail is back, nobody produced", 10)
        took = time.monotonic() - began
        assert took < scaled(1) + storm.stalls.within(took, since=began)
        assert old < end and worker.metrics().total("fanfare_worker_stream_moved_total") >= 1
        load.produce(300)
