# SPDX-License-Identifier: Apache-2.0
"""The region that a soak runs in: two workers, three edges, each with a way of its own to Redis; a primary
Redis that keeps its data and a replica of it; clients that a Storm's load brings, and a few of ours.

What leads to Redis leads to the primary, whichever of the two that is now.
"""

import asyncio
import json
import shutil

from crowd import Crowd

from harness.oracle import read_topic
from harness.redis import RedisServer
from harness.region import Region
from harness.util import wait_until

LOAD = {
    "clients": 160,
    "channels": 24,
    "rate": 120,  # 30 KB/s for each client; a slow one takes 20
    "straggler_timeout": "60s",
    "old_percent": 0,  # all since the beginning, each time: too much for a long load; the followers instead
}
STREAM = {"stream_bytes": "4MiB", "rebuild_records": 10000}  # no more than a stream holds: it trims the rest
FOLLOWERS = 6  # clients of ours: they leave for long and come back with an old cursor


class SoakRegion:
    def __init__(self, storm, ways, directory, cluster=None):
        self.storm, self.ways, self.dir, self.cluster = storm, ways, directory, cluster
        self.servers = [self._server("one"), self._server("two")]
        self.link = ways.open(self.servers[0])  # by which the replica hears of the primary
        self.follow()
        self.workers, self.edges, self.paths = [], [], []
        self.second = None
        self.crowd = None
        self.kept = {}  # what a fault's beginning leaves for its end, by the fault's number

    def _server(self, name):
        settings = {"appendonly": "yes", "appendfsync": "everysec"}
        return RedisServer(self.dir / f"redis-{name}", **settings).start()

    # Redis.

    @property
    def primary(self):
        return self.servers[0]

    @property
    def replica(self):
        return self.servers[1]

    @property
    def r(self):
        return self.primary.client()

    @property
    def here(self):
        return Region(self.primary, self.storm.topic)

    def follow(self):
        self.replica.client().replicaof("127.0.0.1", self.link.port)

    def linked(self):
        return self.replica.client().info("replication").get("master_link_status") == "up"

    def forget(self, server):
        """A server that is down loses what it kept."""
        for kept in server.dir.iterdir():
            if kept.name.startswith(("appendonly", "dump")):
                shutil.rmtree(kept) if kept.is_dir() else kept.unlink()

    def fail_over(self):
        """The primary is killed, the replica takes its place, and the old one starts anew behind it."""
        old, new = self.servers
        code = old.kill()
        new.client().replicaof("no", "one")
        self.servers.reverse()
        for path in self.paths:
            path.lead_to(new, cut=False)
            path.cut(stay_open=path.gate.open)
        self.link.lead_to(new)
        self.link.silence(False)
        self.forget(old)
        old.start()
        self.follow()
        return code

    # Workers and edges.

    def start(self):
        for _ in range(2):
            self.workers.append(self.storm.worker(redis=self.path(), **STREAM))
        for _ in range(3):
            way = self.path()
            self.edges.append(self.storm.edge(redis=way, plog_bytes="8MiB", drain_time="1s"))
        wait_until(self.here.log, "the topic has a log", 30)
        for edge in self.edges:
            wait_until(lambda e=edge: e.get("/health/ready")[0] == 200, f"{edge.name} is ready", 30)
        keys = [f"ch{i}" for i in range(FOLLOWERS)]
        self.crowd = Crowd(self.ways, [e.url for e in self.edges], keys, FOLLOWERS)
        wait_until(self.crowd.ready, "the followers are subscribed", 30)

    def path(self):
        self.paths.append(self.ways.open(self.primary))
        return self.paths[-1]

    def node_of(self, target):
        return [*self.workers, *self.edges][target]

    def make_second(self):
        """A worker of another group: it owns what the others own."""
        config = {"group": f"{self.storm.topic}-second", "start": False} | STREAM
        if self.second is None:
            self.second = self.storm.worker(redis=self.path(), **config)
        return self.second.launch()

    # Clients of ours.

    def send_away(self):
        """Half of them leave, with their cursors."""
        gone = self.crowd.all[::2]
        self.ways.call(lambda: [asyncio.create_task(f.leave()) for f in gone])
        return all(f.cursor for f in gone)

    def call_back(self):
        self.ways.call(lambda: [f.come_back() for f in self.crowd.all])

    # The end.

    def is_whole(self):
        """Every edge is ready, and every partition runs somewhere."""
        ready = all(edge.get("/health/ready")[0] == 200 for edge in self.edges)
        name = "fanfare_worker_running_partitions"
        return ready and sum(w.metrics().total(name) for w in self.workers) >= 4

    def judge_followers(self):
        """What our own clients got: (all that is wrong, resumed)."""
        keys = {f.channel.encode() for f in self.crowd.all}
        records = read_topic(self.storm.kafka.bootstrap, self.storm.topic, 60, keys)
        row, wrong = {}, ""
        try:
            wait_until(lambda: self.crowd.caught_up(records), "the followers have the last records", 60)
            self.crowd.judge({self.here.log(): records}, row, 0)
        except AssertionError as e:
            wrong = str(e)
        if row.get("told"):
            wrong += f" told {row['told']}"
        return wrong, json.dumps(row)

    def close(self):
        if self.crowd:
            self.crowd.end()
        for server in self.servers:
            server.remove()
