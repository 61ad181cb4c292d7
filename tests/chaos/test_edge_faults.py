# SPDX-License-Identifier: Apache-2.0
"""Edges die, sleep, are started again, are cut from Redis, have no descriptors left, cannot log."""

import contextlib
import resource
import signal
import socket

import pytest
from storm import small_disk

from harness.region import Region
from harness.util import wait_until

UPGRADE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def back(edge):
    edge.start(30)
    wait_until(lambda: edge.get("/health/ready")[0] == 200, f"{edge.name} is ready again", 30)


def test_edge_sigkill(storm):
    _, (one, two) = storm.usual()
    with storm.load("edge: SIGKILL of one of two"):
        storm.resume_max = 0.1  # beyond the clients' own delay before they reconnect
        assert one.kill() == -signal.SIGKILL
        two.wait_metric("fanfare_edge_sessions", 200, 20)


def test_edge_sigstop(storm):
    _, (one, two) = storm.usual()
    with storm.load("edge: SIGSTOP, then CONT"):
        one.sigstop()
        before = two.metrics().total("fanfare_edge_deliveries_total")
        two.wait_metric("fanfare_edge_deliveries_total", before + 9000, 30)
        one.sigcont()
        before = one.metrics().total("fanfare_edge_deliveries_total")
        one.wait_metric("fanfare_edge_deliveries_total", before + 1000, 30)


def test_edge_drains_and_comes_back(storm):
    worker = storm.worker()
    one, two = storm.edges(2, drain_time="1s")
    with storm.load("edge: SIGTERM (drains) and restart, one after the other"):
        for edge in (one, two):
            assert edge.stop() == 0
            back(edge)
            storm.wait_more(1000)
    assert worker.is_running()


@pytest.mark.short
def test_all_edges_at_once(storm):
    _, edges = storm.usual()
    with storm.load("edge: SIGKILL of all at once, and restart"):
        for edge in edges:
            assert edge.kill() == -signal.SIGKILL
        for edge in edges:
            back(edge)


@pytest.mark.parametrize(
    ("plog", "records", "what"),
    [
        pytest.param("256MiB", 700, "for less than its plog holds", marks=pytest.mark.short, id="less"),
        pytest.param("1MiB", 2500, "for more than its plog holds", id="more"),
    ],
)
def test_edge_cut_from_redis(storm, ways, plog, records, what):
    way = ways.open(storm.redis)
    worker = storm.worker()
    one = storm.edge(redis=way, plog_bytes=plog)
    storm.edge(plog_bytes=plog)
    with storm.load(f"edge: cut from Redis {what}", rate=500):
        way.cut(stay_open=False)
        entries = worker.metrics().total("fanfare_worker_entries_total")
        worker.wait_metric("fanfare_worker_entries_total", entries + records, 30)
        storm.wait_event(one, "redis_down")
        way.cut(stay_open=True)
        one.wait_metric("fanfare_edge_redis_up", 1, 20)
        storm.wait_more(2000)


def test_edge_cut_from_redis_for_more_than_the_stream(storm, ways):
    way, region = ways.open(storm.redis), Region(storm.redis, storm.topic)
    storm.worker(stream_bytes="200KiB")
    one = storm.edge(redis=way)
    storm.edge()
    with storm.load("edge: cut from Redis for more than the stream keeps", rate=500):
        before = one.metrics().total("fanfare_edge_deep_records_total")
        way.cut(stay_open=False)
        had = [region.last(p) for p in range(4)]
        oldest = lambda p: int(region.r.xrange(region.key(p), count=1)[0][0].decode()[2:])  # noqa: E731
        wait_until(lambda: all(oldest(p) > had[p] + 50 for p in range(4)), "all it had was trimmed", 40)
        way.cut(stay_open=True)
        one.wait_metric("fanfare_edge_deep_records_total", before + 200, 30)
        storm.wait_more(2000)


def test_edge_hears_nothing_of_redis(storm, ways):
    way = ways.open(storm.redis)
    worker = storm.worker()
    one = storm.edge(redis=way)
    storm.edge()
    with storm.load("edge: its way to Redis swallows everything (half-open)"):
        way.silence()
        storm.wait_event(one, "redis_down")
        assert worker.metrics().total("fanfare_worker_redis_up") == 1
        way.silence(False)
        one.wait_metric("fanfare_edge_redis_up", 1, 20)
        storm.wait_more(2000)


def test_worker_cut_from_redis(storm, ways):
    way = ways.open(storm.redis)
    worker = storm.worker(redis=way)
    storm.edges(2)
    with storm.load("worker: cut from Redis, then its way swallows everything"):
        way.cut(stay_open=False)
        storm.wait_event(worker, "redis_down")
        way.cut(stay_open=True)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(2000)
        downs = len(worker.events("redis_down"))
        way.silence()
        storm.wait_event(worker, "redis_down", after=downs)
        way.silence(False)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(2000)


def test_edge_has_no_descriptors_left(storm):
    _, (one, two) = storm.usual()
    with storm.load("edge: limit of open files reached"):
        old = resource.prlimit(one.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (40, old[1]))
        wait_until(lambda: one.event("accept_failed"), "it was refused", 20)
        old_work = two.metrics().total("fanfare_edge_deliveries_total")
        two.wait_metric("fanfare_edge_deliveries_total", old_work + 5000, 30)
        assert one.is_running()
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, old)
        storm.wait_more(2000)
        one.wait_metric("fanfare_edge_sessions", 30, 30)


def upgrade(port):
    peer = socket.create_connection(("127.0.0.1", port))
    peer.sendall(UPGRADE)
    return peer, peer.recv(1000)


def hoard(port):
    """A client that sends most of a frame: the edge keeps what has come."""
    peer, _ = upgrade(port)
    with contextlib.suppress(OSError):  # the first one that is refused
        peer.sendall(b"\x81\xfe\xff\x00abcd" + b"x" * 60000)
    return peer


def test_edge_reaches_its_memory_limit(storm):
    """New clients are refused, with a reason; those who are there go on, and so does the other edge."""
    storm.worker()
    one, two = storm.edges(2, plog_bytes="2MiB")
    limit = one.rss() + 24 * 2**20  # room for the load
    one.stop()
    one.config["memory_max"] = limit
    back(one)
    with storm.load("edge: memory limit reached", cut_percent=5):
        peers, full = [], lambda: one.event("memory_full")
        while not full():
            assert len(peers) < 2000
            peers.append(hoard(one.port))
        answer = upgrade(one.port)[1]
        assert answer.startswith(b"HTTP/1.1 503 ")
        before = one.metrics().total("fanfare_edge_deliveries_total")
        one.wait_metric("fanfare_edge_deliveries_total", before + 1000, 30)
        one.wait_metric("fanfare_edge_refused_total", 20, 30)
        assert one.rss() < limit * 1.2  # the load's own clients and its plog grow on
        for peer in peers:
            peer.close()
        sessions = one.metrics().total("fanfare_edge_accepted_total")
        one.wait_metric("fanfare_edge_accepted_total", sessions + 20, 30)  # there is room again
    assert two.metrics().total("fanfare_edge_refused_total") == 0


def test_worker_has_no_descriptors_left(storm, ways):
    """What is open goes on; when it must connect anew it says why it can't, and does when it can."""
    way = ways.open(storm.redis)
    worker = storm.worker(redis=way)
    storm.edges(2)
    with storm.load("worker: limit of open files reached"):
        old = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, old[1]))
        storm.wait_more(3000)
        way.cut()
        storm.wait_event(worker, "redis_down", after=1)
        assert any("open files" in line for line in worker.lines()), worker.lines()[-3:]
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, old)
        worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
        storm.wait_more(2000)


def test_the_disk_of_the_logs_is_full(storm, tmp_path, ways):
    way = ways.open(storm.redis)
    with small_disk(tmp_path / "disk") as disk:
        storm.nodes.dir = disk
        nodes = [storm.worker(redis=way), *storm.edges(2, redis=way)]
        with storm.load("logs: their disk is full"):
            with open(disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
                while True:
                    ballast.write(b"x" * 4096)
            sizes = [n.log.stat().st_size for n in nodes]
            way.cut()  # something to log, in vain
            storm.wait_more(4000)
            way.cut()
            storm.wait_more(4000)
            assert sum(n.log.stat().st_size for n in nodes) < sum(sizes) + 3 * 4096
            assert not any(n.popen.poll() for n in nodes)
        for node in nodes:
            node.stop()
        assert not storm.nodes.finish()
        storm.nodes.all.clear()
