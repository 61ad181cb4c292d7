# SPDX-License-Identifier: Apache-2.0
"""The servers of the benches of delivery, by one interface, and the clients that count.

A server: address, pid, publish(records), close(). bench_bare is told what to send; the edge is fed
through Redis by bench_feeder. Both send the same bytes: replies of the client protocol as JSON.
"""

import contextlib
import socket
import ssl
import time

from measure import LOAD_CPU, SERVER_CPU, Talker, cpu_seconds, pin, tool

from harness.node import Edge
from harness.redis import RedisServer

CHANNEL = "bench"
WAIT_MS = 20000


def data_text(offset, size):
    data = '{"s":%d,"p":"' % offset
    return data + "x" * (size - len(data) - 2) + '"}'


def push_text(channel, offset, size):
    data = data_text(offset, size)
    return '{"push":{"channel":"%s","pub":{"data":%s,"offset":%d}}}' % (channel, data, offset)


class Sink(Talker):
    """bench_sink with its running total: publish, then wait for it to arrive everywhere.

    dialect: see sink_talk.h. channels: None, or a name; client i of several has NAME followed by
    i mod count. A server that publishes to them in turn reaches clients / count with each record.
    """

    def __init__(self, dialect, address, clients, channel=None, count=0, tls=False):
        channels = [f"{channel}*{count}" if count else channel] if channel else []
        argv = [*(["--tls"] if tls else []), dialect, address, clients, *channels]
        super().__init__(tool("sink"), *argv, cpu=LOAD_CPU)
        self.reached = clients // (count or 1)
        self.total = 0
        said, _, self.cipher = self.hear().partition(" ")
        if said != "ready":
            raise RuntimeError("bench_sink is not ready")

    def announce(self, records):
        """They will be published; returns the total to wait for."""
        self.total += records * self.reached
        return self.total

    def wait(self, total):
        got = int(self.ask(f"wait {total} {WAIT_MS}").split()[1])
        if not total <= got <= self.total:
            raise RuntimeError(f"{total} to {self.total} deliveries expected, {got} came")

    def expect(self, records):
        self.wait(self.announce(records))


class Bare:
    """The bare server, with the connection that publishes.

    count: of channels that records go to in turn, 0: one without a number. tls: None, or the paths of
    certificate and key. under: a program that runs it.
    """

    def __init__(self, size, count=0, tls=None, under=()):
        self.server = Talker(*under, tool("bare"), 0, *(tls or []), cpu=SERVER_CPU)
        port = int(self.server.hear().partition("=")[2])
        self.address = f"127.0.0.1:{port}"
        self.pid = self.server.pid
        self.size, self.count = size, count
        self.offset = 0
        self.http = socket.create_connection(("127.0.0.1", port))
        if tls:
            context = ssl.create_default_context(cafile=tls[0])
            self.http = context.wrap_socket(self.http, server_hostname="localhost")

    def sink(self, clients, tls=False):
        return Sink("bare", self.address, clients, CHANNEL, self.count, tls)

    def publish(self, records):
        """A request for each channel, with its records as one block."""
        blocks = {}
        for _ in range(records):
            self.offset += 1
            i = self.offset % self.count if self.count else ""
            blocks.setdefault(i, []).append(push_text(f"{CHANNEL}{i}", self.offset, self.size))
        for i, texts in blocks.items():
            body = "\n".join(texts)
            head = f"POST /{i} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n"
            blocks[i] = head + body
        self.http.sendall("".join(blocks.values()).encode())
        self._take_answers(len(blocks))

    def _take_answers(self, n):
        answers = b""
        while answers.count(b"\r\n\r\n") < n:
            piece = self.http.recv(65536)
            if not piece:
                raise RuntimeError("the bare server closed")
            answers += piece

    def close(self):
        self.http.close()
        self.server.__exit__()


class EdgeUnder(Edge):
    """An edge that another program runs (callgrind)."""

    def __init__(self, under, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.argv = [str(a) for a in under] + self.argv


class Fed:
    """An edge of one shard on a Redis of its own, with the feeder that publishes. Arguments: Bare's."""

    config = {}  # of the edge, beside what is needed

    def __init__(self, directory, size, count=0, tls=None, under=(), partitions=1):
        self.count = count
        with contextlib.ExitStack() as stack:
            self.redis = RedisServer(directory / "redis").start()
            stack.callback(self.redis.remove)
            pin(self.redis.process.pid, LOAD_CPU)
            channels = f"{CHANNEL}*{count}" if count else CHANNEL
            argv = tool("feeder"), self.redis.url, "bench", channels, size, partitions
            self.feeder = stack.enter_context(Talker(*argv, cpu=LOAD_CPU))
            self.feeder.hear()
            config = {"redis_url": self.redis.url, "shards": 1, "namespaces": {"": {"topic": "bench"}}}
            config |= self.config
            if tls:
                config |= {"tls_certificate": str(tls[0]), "tls_key": str(tls[1])}
            self.edge = EdgeUnder(under, config, directory, name="edge").start(60)
            stack.callback(self.edge.stop)
            self.address = self.edge.address
            self.pid = self.edge.pid
            pin(self.pid, SERVER_CPU)
            self.close = stack.pop_all().close

    def sink(self, clients, tls=False):
        return Sink("fanfare", self.address, clients, CHANNEL, self.count, tls)

    def publish(self, records):
        self.feeder.ask(f"append {records}")


def cost(server, sink, rounds, records):
    """µs of the server's CPU a delivery: each round is delivered before the next is published."""
    before = cpu_seconds(server.pid)
    for _ in range(rounds):
        server.publish(records)
        sink.expect(records)
    return (cpu_seconds(server.pid) - before) * 1e6 / (rounds * records * sink.reached)


def cost_paced(server, sink, rate, records):
    """The same at `rate` records a second, one at a time, with all that the server does in between."""
    before, due = cpu_seconds(server.pid), time.monotonic()
    for _ in range(records):
        time.sleep(max(0, due - time.monotonic()))
        server.publish(1)
        due += 1 / rate
    sink.expect(records)
    return (cpu_seconds(server.pid) - before) * 1e6 / (records * sink.reached)


def cost_ahead(server, sink, rounds, records, ahead):
    """The same, with up to `ahead` rounds published and not delivered yet: as fast as it goes."""
    before = cpu_seconds(server.pid)
    for _ in range(rounds):
        total = sink.announce(records)
        server.publish(records)
        sink.wait(max(0, total - ahead * records * sink.reached))
    sink.wait(total)
    return (cpu_seconds(server.pid) - before) * 1e6 / (rounds * records * sink.reached)


def compare(servers, pairs, measure, rounds, warm):
    """(ratios of the second server's cost to the first's, all costs by name), pair by pair.

    servers: {name: (server, sink)}, two of them; measure(server, sink, rounds) is the cost. A pair is
    four runs of half the rounds: first, second, second, first. A server that comes after the other
    costs up to half as much again at first (seen), so each run follows `warm` rounds that don't count,
    and each server has one run after the other's and one after its own.
    """
    (first, one), (second, other) = servers.items()
    half = max(1, rounds // 2)

    def run(server, sink):
        measure(server, sink, warm)
        return measure(server, sink, half)

    ratios, costs = [], {first: [], second: []}
    for _ in range(pairs):
        a, b, c, d = run(*one), run(*other), run(*other), run(*one)
        costs[first].append((a + d) / 2)
        costs[second].append((b + c) / 2)
        ratios.append(costs[second][-1] / costs[first][-1])
    return ratios, costs
