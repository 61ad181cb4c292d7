# SPDX-License-Identifier: Apache-2.0
"""bench affinity: what leaves Redis for each record, with clients led to edges by partition and at random.

2,048 clients with a channel each, over 64 partitions of one topic; a record a second for each channel,
through Kafka and a worker; 1, 4 and 16 edges of one shard. Either each client is at an edge chosen at
random, or at the one that a balancer chooses by the [place](protocol.md#placement) that the client's
connect reply told before. The bench is that balancer (rendezvous hashing, and no edge over 1.5 times
the mean of those who have come so far, which is HAProxy's bound). Each client must get each record of
its channel, once and in order.

Bytes are those of Redis' INFO (total_net_output_bytes), less what it sends in the same time when no
records come (each edge follows the beacon): that is a line of its own. CPU is all of it. The reference
is the random placement in the same run. One machine carries all edges, so they share two cores: CPU
time is what can be compared, and no latency is. Not in --quick: what is measured is a count, not a speed.
"""

import base64
import collections
import contextlib
import hashlib
import json
import math
import random
import re
import select
import socket
import threading
import time

from figure import Figure, Series
from measure import cpu_seconds

from harness.node import Nodes
from harness.redis import RedisServer

PARTITIONS, CLIENTS, BOUND = 64, 2048, 1.5
EDGES = 1, 4, 16
IDLE_S, LOAD_S, LATE_S = 2, 5, 20
PAD = "x" * 100
WAYS = "at random", "by place"
KEY = base64.b64encode(b"affinity affinit").decode()
SEQUENCE = re.compile(rb'"data":\{"s":(\d+),')


class Client:
    """One WebSocket, just enough of it: frames to the server have a mask of zeros."""

    def __init__(self, edge, channel):
        self.channel = channel
        self.left = b""
        self.sock = socket.create_connection(("127.0.0.1", edge.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"GET /connection/websocket?channel={channel} HTTP/1.1\r\nHost: bench\r\n"
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += f"Sec-WebSocket-Key: {KEY}\r\n\r\n"
        self.sock.sendall(head.encode())
        while b"\r\n\r\n" not in self.left:
            self._read()
        status, self.left = self.left.split(b"\r\n\r\n", 1)
        if b" 101 " not in status:
            raise RuntimeError(f"no upgrade: {status!r}")
        self.connected = self._command({"id": 1, "connect": {}})["connect"]

    def _read(self):
        data = self.sock.recv(65536)
        if not data:
            raise RuntimeError(f"the edge closed the connection of {self.channel}")
        self.left += data

    def frames(self):
        """The payloads that are there; what is not whole yet is kept."""
        at = 0
        while len(self.left) >= at + 4:
            size, head = self.left[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(self.left[at + 2 : at + 4], "big"), 4
            elif size == 127:
                raise RuntimeError("a frame over 64 KiB was not expected")
            if len(self.left) < at + head + size:
                break
            yield self.left[at + head : at + head + size]
            at += head + size
        self.left = self.left[at:]

    def _command(self, command):
        text = json.dumps(command, separators=(",", ":")).encode()
        self.sock.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        while True:
            self._read()
            for payload in self.frames():
                reply = json.loads(payload)
                if reply.get("error"):
                    raise RuntimeError(f"{self.channel}: {reply}")
                return reply

    def subscribe(self, expect):
        """expect: the sequence number of its next record."""
        self.expect = expect
        self._command({"id": 2, "subscribe": {"channel": self.channel}})

    def take(self):
        """How many records came; each the next one of its channel."""
        count = 0
        self._read()
        for payload in self.frames():
            for found in SEQUENCE.findall(payload):
                if int(found) != self.expect:
                    raise RuntimeError(f"{self.channel}: {int(found)} came, not {self.expect}")
                self.expect += 1
                count += 1
        return count


class Crowd:
    """All clients, and a thread that reads them."""

    def __init__(self, clients):
        self.clients = {c.sock.fileno(): c for c in clients}
        self.total, self.error = 0, None
        self.stop = threading.Event()
        self.poll = select.epoll()
        for fd in self.clients:
            self.poll.register(fd, select.EPOLLIN)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.stop.is_set():
                for fd, _ in self.poll.poll(0.1):
                    self.total += self.clients[fd].take()
        except Exception as e:  # told by wait()
            self.error = e

    def wait(self, count):
        deadline = time.monotonic() + LATE_S
        while self.total < count and not self.error and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.error or self.total != count:
            raise RuntimeError(f"{count} deliveries expected, {self.total} came") from self.error

    def close(self):
        self.stop.set()
        self.thread.join()
        self.poll.close()
        for client in self.clients.values():
            client.sock.close()


def balance(places, count):
    """For each client, in the order in which they come, which of count edges it is led to."""

    def rank(place, i):
        return hashlib.blake2b(f"{place} {i}".encode(), digest_size=8).digest()

    chosen, load = [], collections.Counter()
    for come, place in enumerate(places, 1):
        room = math.ceil(BOUND * come / count)
        order = sorted(range(count), key=lambda i: rank(place, i))
        chosen.append(next(i for i in order if load[i] < room))
        load[chosen[-1]] += 1
    return chosen


def place_told(edge, channel):
    client = Client(edge, channel)
    client.sock.close()
    return client.connected["data"]["place"]


def choose(way, channels, edges, chance):
    """{channel: its client's edge}"""
    anywhere = {c: chance.choice(edges) for c in channels}
    if way == "at random":
        return anywhere
    places = [place_told(edge, channel) for channel, edge in anywhere.items()]
    return {c: edges[i] for c, i in zip(channels, balance(places, len(edges)), strict=True)}


class Region:
    """A topic, its worker and Redis; records with a sequence number for each channel."""

    def __init__(self, nodes, redis, topics, topic, partitions):
        self.nodes, self.redis, self.topics = nodes, redis, topics
        self.topic = topics.create(topic, partitions=partitions)
        self.namespaces = {"": {"topic": self.topic}}
        self.worker = nodes.worker(namespaces=self.namespaces)
        self.sent = {f"ch{i}": 0 for i in range(CLIENTS)}

    def start_edges(self, count):
        edges = [
            self.nodes.edge(namespaces=self.namespaces, shards=1, ping_interval="10m", drain_time=0)
            for _ in range(count)
        ]
        for edge in edges:
            edge.wait_for(lambda e=edge: e.get("/health/ready")[0] == 200, "ready", 20)
        return edges

    def produce(self, seconds):
        """A record a second for each channel, evenly spread; how many."""
        producer, channels = self.topics.producer(), list(self.sent)
        began, count = time.monotonic(), 0
        for _ in range(seconds):
            for channel in channels:
                wait = began + count / CLIENTS - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                producer.produce(self.topic, f'{{"s":{self.sent[channel]},"p":"{PAD}"}}', channel)
                producer.poll(0)
                self.sent[channel] += 1
                count += 1
        if producer.flush(10):
            raise RuntimeError("Kafka didn't acknowledge all records")
        return count

    def sent_bytes(self):
        return self.redis.client().info("stats")["total_net_output_bytes"]


def measure(region, way, count, chance):
    """One run: a dict."""
    edges = region.start_edges(count)
    channels = list(region.sent)
    chance.shuffle(channels)
    chosen = choose(way, channels, edges, chance)
    clients = [Client(chosen[c], c) for c in channels]
    for client in clients:
        client.subscribe(region.sent[client.channel])
    crowd = Crowd(clients)
    try:
        time.sleep(1)  # the windows themselves, not waits for something
        pids = [e.pid for e in edges]
        began, before = time.monotonic(), region.sent_bytes()
        idle_cpu = cpu_seconds(region.redis.process.pid)
        time.sleep(IDLE_S)
        idle = (region.sent_bytes() - before) / (time.monotonic() - began)
        idle_cpu = (cpu_seconds(region.redis.process.pid) - idle_cpu) / (time.monotonic() - began)
        began, before = time.monotonic(), region.sent_bytes()
        redis_cpu, edge_cpu = cpu_seconds(region.redis.process.pid), sum(map(cpu_seconds, pids))
        records = region.produce(LOAD_S)
        crowd.wait(records)
        gone = region.sent_bytes() - before - idle * (time.monotonic() - began)
        redis_cpu = cpu_seconds(region.redis.process.pid) - redis_cpu
        edge_cpu = sum(map(cpu_seconds, pids)) - edge_cpu
        read = sum(e.metrics().total("fanfare_edge_partitions") for e in edges)
        fullest = max(collections.Counter(chosen.values()).values()) * count / CLIENTS
    finally:
        crowd.close()
        for edge in edges:
            edge.stop()
    return {
        "bytes": gone / records,
        "idle": idle / 1e3,
        "idle_cpu": idle_cpu * 1e6,
        "redis": redis_cpu * 1e6 / records,
        "edges": edge_cpu * 1e6 / records,
        "read": read,
        "fullest": fullest,
    }


@contextlib.contextmanager
def region_of(options, directory, topic, partitions):
    """A Region with a Redis of its own."""
    broker, topics = options.kafka()
    redis = RedisServer(directory / "redis").start()
    nodes = Nodes(directory, broker, redis)
    try:
        yield Region(nodes, redis, topics, topic, partitions)
    finally:
        nodes.finish()
        redis.remove()


def line(found, what, key, y):
    data = {way: [(n, found[way, n][key]) for n in EDGES] for way in WAYS}
    return Series("affinity", key, what, y, data, x="edges", log_x=True)


def compare(count, placed, loose):
    def both(key, form):
        return f"{placed[key]:{form}} and {loose[key]:{form}}"

    note = f"{both('bytes', '.0f')} B a record; {both('read', '.0f')} partitions read in all; "
    note += f"the fullest edge has {both('fullest', '.2f')} × the mean; "
    note += f"{both('idle', '.0f')} KB/s while nothing comes"
    name = f"bytes out of Redis, by place / at random, {count} edge{'s' if count > 1 else ''}"
    ratio = placed["bytes"] / loose["bytes"]
    return Figure("affinity", f"egress-{count}", name, [ratio], "×", note=note)


def constants(found):
    """What docs/capacity.md reckons with: the difference between the ways is what more edges read."""
    most, least = found["at random", EDGES[-1]], found["by place", EDGES[-1]]
    one = found["at random", EDGES[0]]
    reads = (most["read"] - least["read"]) / PARTITIONS  # of each record

    def of_read(key):
        return [(most[key] - least[key]) / reads]

    def of_edge(key):
        return (most[key] - one[key]) / (EDGES[-1] - EDGES[0])

    beacon = of_edge("idle") * 1e3 / PARTITIONS
    append = one["redis"] - one["idle_cpu"] / CLIENTS - of_read("redis")[0]

    rows = [
        ("read-bytes", "bytes for a record that one more edge reads", of_read("bytes"), "B"),
        ("read-redis", "Redis' CPU for that", of_read("redis"), "µs"),
        ("read-edge", "the edge's CPU for that", of_read("edges"), "µs"),
        ("append-redis", "Redis' CPU for a record appended, alone in its batch", [append], "µs"),
        ("beacon-bytes", "the beacon, a second, edge and partition", [beacon], "B"),
        ("idle-redis", "Redis' CPU a second for an edge, while nothing comes", [of_edge("idle_cpu")], "µs"),
    ]
    return [Figure("affinity", *row) for row in rows]


def run(options, directory):
    chance = random.Random(17)
    with region_of(options, directory, "bench-affinity", PARTITIONS) as region:
        found = {(way, n): measure(region, way, n, chance) for n in EDGES for way in WAYS}
    figures = [compare(n, found["by place", n], found["at random", n]) for n in EDGES]
    return [
        *figures,
        *constants(found),
        line(found, "What leaves Redis for each record", "bytes", "bytes out of Redis a record"),
        line(found, "Redis' CPU for each record", "redis", "µs of Redis a record"),
        line(found, "All edges' CPU for each delivery", "edges", "µs of the edges a delivery"),
        line(found, "What leaves Redis while nothing comes", "idle", "KB a second"),
    ]
