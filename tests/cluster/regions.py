# SPDX-License-Identifier: Apache-2.0
"""The cluster under test: two regions on hosts of their own, and the link between them. Kafka is in `home`.

Ground   what all tests share: the networks, the link, Kafka
Side     one region in one test: its Redis, its workers and edges, each on its host
"""

import pathlib

from hosts import Site, ip
from link import Link

from harness.kafka import Broker
from harness.redis import RedisServer
from harness.region import Region
from harness.util import wait_until

ROUND_TRIP = 0.08  # seconds between the regions
PORT, FAR_PORT = 9092, 9093  # Kafka's, for clients of its region and of the other one


class FarListener:
    port = FAR_PORT

    def __init__(self, host):
        self.host = host


class Ground:
    def __init__(self, directory):
        ip("link set lo up")
        self.sites = {"home": Site(1), "far": Site(2)}
        self.link = Link(ROUND_TRIP / 2)
        there = self.sites["home"].host("kafka")
        way = self.link.open(FarListener(there), self.sites["far"].gateway, homeward=True)
        self.kafka = Broker(pathlib.Path(directory), PORT, host=there)
        self.kafka.ways["FAR"] = (FAR_PORT, way.gate.address)  # by this address the far region finds it
        self.bootstrap = {"home": self.kafka.bootstrap, "far": way.gate.address}

    def start(self):
        self.kafka.start()
        return self

    def close(self):
        self.kafka.kill()
        self.link.close()
        for site in self.sites.values():
            site.remove()


class Side:
    def __init__(self, name, ground, redis, storm):
        self.name, self.site, self.bootstrap = name, ground.sites[name], ground.bootstrap[name]
        self.redis, self.storm = redis, storm
        self.workers, self.edges = [], []
        self.kafka = {}  # more properties of its workers
        self.settings = {}  # more of all its nodes

    def worker(self, **config):
        base = {
            "host": self.site.host(f"worker-{len(self.workers) + 1}"),
            "redis": self.redis,
            "region": self.name,
            "group": f"{self.storm.topic}-{self.name}",
            "kafka": {"bootstrap.servers": self.bootstrap} | self.kafka,
        }
        self.workers.append(self.storm.worker(**base | self.settings | config))
        return self.workers[-1]

    def edge(self, **config):
        base = {"host": self.site.host(f"edge-{len(self.edges) + 1}"), "redis": self.redis}
        base |= {"plog_bytes": "16MiB"} | self.settings
        self.edges.append(self.storm.edge(**base | config))
        return self.edges[-1]

    @property
    def nodes(self):
        return [*self.workers, *self.edges]

    @property
    def region(self):
        return Region(self.redis, self.storm.topic)

    def lasts(self, partitions=8):
        """The last position of each partition that this region's Redis has."""
        return [self.region.last(p) for p in range(partitions)]

    def total(self, name, **labels):
        return self.storm.total(name, self.nodes, **labels)

    def wait_whole(self, partitions=8):
        """Every edge is ready, every partition runs somewhere."""
        name = "fanfare_worker_running_partitions"
        wait_until(lambda: self.total(name) == partitions, f"{self.name}: every partition runs", 60)
        for edge in self.edges:
            wait_until(lambda e=edge: e.get("/health/ready")[0] == 200, f"{edge.name} is ready", 30)

    def kill(self):
        """All of it at once, Redis and what it held too."""
        for process in (*self.nodes, self.redis):
            process.kill()

    def start_again(self):
        self.redis.start()
        for node in self.nodes:
            node.start(30)


def start(sides, workers=2, edges=3, **edge):
    """Workers and edges, the regions in turn: who loses an edge goes to the next one, in the other region."""
    for side in sides:
        for _ in range(workers):
            side.worker()
    for _ in range(edges):
        for side in sides:
            side.edge(**edge)
    for side in sides:
        side.wait_whole()


def redis_of(name, ground, directory):
    return RedisServer(directory / f"redis-{name}", 6379, host=ground.sites[name].host("redis"))
