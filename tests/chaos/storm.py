# SPDX-License-Identifier: Apache-2.0
"""One row of the chaos suite: a region, clients of which some are cut and some slow, a fault in the middle.

    one, two = storm.worker(), storm.worker()
    storm.edges(2)
    with storm.load("worker: SIGKILL"):
        one.kill()

`with` begins when the load runs and the slow clients do lag; its body is the fault. When the body ends, the
load goes on until a hundred more clients have resumed, and fanfare-loadgen's oracle, which read Kafka
itself, judges every client. The row's figures are in storm.row. A row with a bound sets storm.pause_max or
storm.resume_max in its body; what the machine itself stood still meanwhile (stalls.py) comes on top.
"""

import contextlib
import json
import re
import signal
import subprocess
import time

import pytest
from matrix import NOTHING, OWN, sees_of

from harness.gate import Ways
from harness.loadgen import Runner
from harness.node import Nodes
from harness.stalls import Stalls
from harness.topics import Topics
from harness.util import HERE, WaitError, free_port, scaled, wait_until

PAUSE_UNSEEN = 2  # seconds: no more than a busy machine's own
RESUMED = 100  # clients that must have resumed in a row, and do so again after the fault
LOAD = {
    "clients": 240,
    "channels": 50,
    "subscriptions": 5,
    "rate": 250,
    "payload": 1200,  # 31 KB/s for each client; a slow one takes 20
    "slow_percent": 5,
    "old_percent": 5,  # these resume with the first cursors they had
    "cut_percent": 10,
    "cut_every": "400ms",
    "connect_rate": 1000,
    "warm_up": "0",
    "duration": "10m",  # ended by SIGINT
    "ready_timeout": "30s",
    "straggler_timeout": "30s",
    "kafka.message.timeout.ms": 120000,
}


class Storm:
    def __init__(self, nodes, topics, topic, kafka, redis, directory, test=None):
        self.nodes, self.topics, self.topic, self.kafka = nodes, topics, topic, kafka
        self.redis, self.dir = redis, directory
        self.spaces = {"": {"topic": topic}}
        self.workers, self.gates, self.edge_nodes = [], [], []
        self.popen, self.made = None, 0
        self.settings = LOAD
        self.row = {}
        self.result = None
        self.sees = sees_of(test)  # what a client may see, says the matrix
        # Seconds: no client may wait longer for a record; no client that reconnects, for its subscriptions.
        self.pause_max = self.resume_max = None
        self.stalls = Stalls()

    # The region.

    def worker(self, **config):
        """A worker of the row's own group; the row's Redis unless redis= says another."""
        base = {"group": self.topic, "namespaces": self.spaces, "redis": self.redis}
        self.workers.append(self.nodes.worker(**(base | config)))
        return self.workers[-1]

    def edge(self, **config):
        """An edge on a port that it keeps when it is started again."""
        listen = f"{config.get('host', HERE).address}:{free_port()}"
        base = {"listen": listen, "namespaces": self.spaces, "redis": self.redis, "shards": 1}
        self.edge_nodes.append(self.nodes.edge(**(base | config)))
        return self.edge_nodes[-1]

    def edges(self, n=2, **config):
        return [self.edge(**config) for _ in range(n)]

    def usual(self, workers=1, **config):
        """One worker and two edges: (worker, [edges])."""
        made = [self.worker(**config) for _ in range(workers)]
        edges = self.edges(2, **({"redis": config["redis"]} if "redis" in config else {}))
        return (*made, edges)

    # What the edges and workers count.

    def total(self, name, nodes=None, **labels):
        """Of all edges (or those) that answer now."""
        found = 0
        for node in self.edge_nodes if nodes is None else nodes:
            with contextlib.suppress(OSError):
                found += node.metrics().total(name, **labels)
        return found

    def resumed(self):
        """Subscriptions that the edges recovered; an edge that was started again counts from 0."""
        return self.total("fanfare_edge_recoveries_total", result="recovered")

    def wait_more(self, n, name="fanfare_edge_deliveries_total", timeout=30, **labels):
        """Until the edges have counted n more than now."""
        base = self.total(name, **labels)

        def probe():
            self._alive()
            return self.total(name, **labels) >= base + n

        wait_until(probe, f"{name} grows by {n}", timeout, every=0.1)

    def wait_event(self, node, name, timeout=30, after=0):
        """The node has logged more than `after` such events."""
        node.wait_for(lambda: len(node.events(name)) > after, f"event={name}", timeout)

    # The load.

    @contextlib.contextmanager
    def load(self, fault, told=False, urls=None, **settings):
        """The body is the fault. told: gaps may be told, and at least one is. urls: not each edge's once."""
        self.row["fault"] = fault
        assert not told or self.sees is None or "told" in self.sees, "the matrix doesn't say told"
        if self.sees in (NOTHING, OWN):
            self.pause_max = PAUSE_UNSEEN
        ready = [e for e in self.edge_nodes if e.is_running()]
        wait_until(lambda: all(e.get("/health/ready")[0] == 200 for e in ready), "the edges are ready", 30)
        runner = Runner(self.kafka, self.topic, self.dir)
        self.settings = known = LOAD | {"allow_told": str(told).lower()} | settings
        self.row["clients"] = known["clients"]
        self.stalls.stop()
        self.stalls = Stalls().start()
        self.popen = runner.start(*(urls or (e.url for e in self.edge_nodes)), **known)
        said = self._first_line()
        assert "event=ready" in said, said
        base = self.total("fanfare_edge_deliveries_total")
        if not known["rate"]:
            self.produce(1500)
        went = base + 3000
        wait_until(lambda: self.total("fanfare_edge_deliveries_total") >= went, "the load runs", 30)
        if known["slow_percent"]:
            wait_until(lambda: self.total("fanfare_edge_lagging") >= 3, "slow clients lag", 20, every=0.1)
        yield self
        if known["cut_percent"]:
            more = RESUMED * known["subscriptions"]
            self.wait_more(more, "fanfare_edge_recoveries_total", 45, result="recovered")
        self.popen.send_signal(signal.SIGINT)
        self.result = runner.finish(self.popen)
        self.stalls.stop()
        self.judge(told)

    def _first_line(self):
        line = self.popen.stderr.readline()
        while line.startswith("%"):  # librdkafka's own
            line = self.popen.stderr.readline()
        if "event=ready" in line:
            return line
        self.end()
        return f"fanfare-loadgen: {line}"

    def judge(self, told):
        assert self.result.code in (0, 1), self.result.err
        v, clients = self.result.verdict, self.result.report["clients"]
        counts = {k: v[k] for k in ("records", "missing", "duplicate", "disorder", "wrong", "told")}
        latency = self.result.report["latency_ms"].get("max", 0)
        counts["false_recovered"] = v["false_recovered"]
        self.row |= counts | {"resumed": clients["resumed"], "pause_s": latency / 1000}
        resume = self.result.report["resume_ms"].get("max", 0) / 1000
        self.row |= {"resume_s": resume, "rewound": clients["rewound"]}
        self.row |= {"pause_max": self.pause_max, "resume_max": self.resume_max}
        self.row["report"] = {k: v for k, v in self.result.report.items() if k != "verdict"}
        bad = {k: v[k] for k in ("missing", "duplicate", "disorder", "wrong") if v[k]}
        assert not bad, self.result.out
        assert told or v["told"] == 0, self.result.out
        assert not told or v["told"] > 0, f"nothing was told\n{self.result.out}"
        assert clients["resumed"] >= RESUMED, self.result.out
        assert self.result.code == 0, self.result.out
        assert clients["rewound"] or not self.settings["old_percent"], "nobody resumed from an old cursor"
        for what, seen, most in (
            ("pause", latency / 1000, self.pause_max),
            ("resume", resume, self.resume_max),
        ):
            stood = self.stalls.within(seen)
            said = f"{what} of {seen:.2f} s, at most {most} s allowed; the machine stood still {stood:.2f} s"
            assert most is None or seen <= scaled(most) + stood, said

    # Records beside the load's, or instead of it (rate=0).

    def produce(self, n, keys=None):
        """n records as fanfare-loadgen makes them, for its channels in turn (or those keys)."""
        out = []
        for _ in range(n):
            key = keys[self.made % len(keys)] if keys else f"ch{self.made % LOAD['channels']}"
            value = {"c": key, "s": self.made, "t": time.monotonic_ns(), "p": "x" * LOAD["payload"]}
            out.append((key, json.dumps(value, separators=(",", ":"))))
            self.made += 1
        return self.topics.produce(self.topic, out)

    def wait_carried(self, worker, timeout=30):
        """The worker has appended all that Kafka has."""

        def probe():
            m = worker.metrics()
            running, mine = (m.total(f"fanfare_worker_{w}_partitions") for w in ("running", "assigned"))
            return running == mine and m.total("fanfare_worker_lag_records") == 0

        worker.wait_for(probe, "no lag", timeout)

    def _alive(self):
        if self.popen.poll() is not None:
            raise WaitError(f"fanfare-loadgen ended ({self.popen.returncode}):\n{self.popen.communicate()}")

    def end(self):
        """Whatever happened: the load is no more."""
        self.stalls.stop()
        if self.popen and self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate(timeout=scaled(10))


@contextlib.contextmanager
def small_disk(path, size="64k"):
    path.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small tmpfs can't be mounted: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], stdin=subprocess.DEVNULL, check=True)


@pytest.fixture
def ways():
    opened = Ways()
    yield opened
    opened.close()


@pytest.fixture
def storm(nodes, topics, topic, kafka, redis, tmp_path, request):
    it = Storm(nodes, topics, topic, kafka, redis, tmp_path, request.node.name)
    yield it
    it.end()
    request.node.user_properties.append(("row", it.row))


@contextlib.contextmanager
def storm_on(broker, redis, directory, request):
    """A Storm on a broker (or a cluster) of the row's own."""
    topics = Topics(broker.bootstrap)
    topic = topics.create(re.sub(r"[^\w]", "-", request.node.name), partitions=4)
    nodes = Nodes(directory / "nodes", broker, redis)
    it = Storm(nodes, topics, topic, broker, redis, directory, request.node.name)
    yield it
    it.end()
    request.node.user_properties.append(("row", it.row))
    accidents = nodes.finish()
    assert not accidents, "\n".join(accidents)
