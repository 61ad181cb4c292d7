# SPDX-License-Identifier: Apache-2.0
"""The wall clock of one process jumps by an hour, forward and back: nobody sees anything.

tests/tools/clock_shim.c is preloaded into it. Its monotonic clock goes on, as a kernel's does.
"""

import mmap
import struct
import subprocess

import pytest

from harness.redis import RedisServer
from harness.util import REPO, need_program, wait_until

HOUR = 3600


class Clock:
    """What the shim reads: a file with what is added to the wall clock."""

    def __init__(self, directory):
        shim = directory / "clock_shim.so"
        source = REPO / "tests/tools/clock_shim.c"
        argv = [need_program("cc"), "-O2", "-shared", "-fPIC", str(source), "-o", str(shim)]
        subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
        path = directory / "clock"
        path.write_bytes(bytes(16))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)
        self.env = {"LD_PRELOAD": str(shim), "FANFARE_CLOCK_FILE": str(path)}

    def reads(self):
        return struct.unpack_from("q", self.map, 8)[0]

    def jump(self, seconds):
        """To so much beside the true time; returns when the process has read it."""
        before = self.reads()
        struct.pack_into("q", self.map, 0, seconds * 10**9)
        wait_until(lambda: self.reads() > before + 1, "the clock was read", 20)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def jumps(storm, clock):
    """An hour forward, back, and another hour back; deliveries and resumes go on each time."""
    storm.pause_max = 2
    for seconds in (HOUR, 0, -HOUR):
        clock.jump(seconds)
        storm.wait_more(2500)
        storm.wait_more(300, "fanfare_edge_recoveries_total", result="recovered")


def test_clock_of_a_worker(storm, clock):
    worker = storm.worker(env=clock.env)
    storm.edges(2)
    with storm.load("clock: a worker's jumps by an hour, forward and back"):
        jumps(storm, clock)
    assert not worker.events("fetch_error") and not worker.events("redis_down")


def test_clock_of_an_edge(storm, clock):
    storm.worker()
    edges = [storm.edge(env=clock.env), storm.edge()]
    with storm.load("clock: an edge's jumps by an hour, forward and back"):
        jumps(storm, clock)
    assert not any(e.events("redis_down") for e in edges)


def test_clock_of_redis(storm, clock, tmp_path):
    server = RedisServer(tmp_path / "shifted", env=clock.env).start()
    try:
        storm.usual(redis=server)
        r = server.client()
        with storm.load("clock: Redis' jumps by an hour, forward and back"):
            now = r.time()[0]
            clock.jump(HOUR)
            assert r.time()[0] >= now + HOUR
            jumps(storm, clock)
            assert r.time()[0] < now
    finally:
        for node in (*storm.workers, *storm.edge_nodes):
            node.stop()
        server.remove()
