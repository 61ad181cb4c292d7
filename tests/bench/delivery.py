# SPDX-License-Identifier: Apache-2.0
"""bench delivery: CPU of one shard per delivery against a bare epoll + send() server, in pairs.

5,000 clients on one channel, 128 B of payload; both servers send the same bytes. Each round
publishes once and waits until every client has it, so nothing is queued, on either side. The edge is
fed through Redis by bench_feeder. Servers run on one CPU, everything else on the other.
"""

import socket

from figure import Figure
from measure import LOAD_CPU, SERVER_CPU, Talker, cpu_seconds, pin, tool

from harness.node import Edge
from harness.redis import RedisServer

CHANNEL = "bench"
TARGET = 1.2
WAIT_MS = 20000


def push_text(offset, size):
    data = '{"s":%d,"p":"' % offset
    data += "x" * (size - len(data) - 2) + '"}'
    return '{"push":{"channel":"%s","pub":{"data":%s,"offset":%d}}}' % (CHANNEL, data, offset)


class Sink(Talker):
    """bench_sink with its running total: publish, then wait for it to arrive everywhere.

    dialect: see sink_talk.h. channel: with *N, client i has the channel with i mod N behind its name.
    """

    def __init__(self, dialect, address, clients, *channel):
        super().__init__(tool("sink"), dialect, address, clients, *channel, cpu=LOAD_CPU)
        self.clients = clients
        self.total = 0
        if self.hear() != "ready":
            raise RuntimeError("bench_sink is not ready")

    def expect(self, records):
        self.total += records * self.clients
        got = int(self.ask(f"wait {self.total} {WAIT_MS}").split()[1])
        if got != self.total:
            raise RuntimeError(f"{self.total} deliveries expected, {got} came")


class Bare:
    """The bare server, with the connection that publishes."""

    def __init__(self, size):
        self.server = Talker(tool("bare"), 0, cpu=SERVER_CPU)
        port = int(self.server.hear().partition("=")[2])
        self.address = f"127.0.0.1:{port}"
        self.pid = self.server.pid
        self.size = size
        self.offset = 0
        self.http = socket.create_connection(("127.0.0.1", port))

    def publish(self, records):
        texts = [push_text(self.offset + i + 1, self.size) for i in range(records)]
        self.offset += records
        body = "\n".join(texts).encode()
        head = f"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n"
        self.http.sendall(head.encode() + body)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = self.http.recv(4096)
            if not piece:
                raise RuntimeError("the bare server closed")
            answer += piece

    def close(self):
        self.http.close()
        self.server.__exit__()


class Fed:
    """An edge of one shard on a Redis of its own, with the feeder that publishes."""

    def __init__(self, directory, size):
        self.redis = RedisServer(directory / "redis").start()
        pin(self.redis.process.pid, LOAD_CPU)
        self.feeder = Talker(tool("feeder"), self.redis.url, "bench", CHANNEL, size, cpu=LOAD_CPU)
        self.feeder.hear()
        config = {
            "redis_url": self.redis.url,
            "shards": 1,
            "namespaces": {"": {"topic": "bench"}},
            "log_level": "warn",
        }
        self.edge = Edge(config | {"log_level": "info"}, directory, name="edge").start()
        self.address = self.edge.address
        self.pid = self.edge.pid
        pin(self.pid, SERVER_CPU)

    def publish(self, records):
        self.feeder.ask(f"append {records}")

    def close(self):
        self.edge.stop()
        self.feeder.__exit__()
        self.redis.remove()


def cost(server, sink, rounds, records):
    """µs of the server's CPU a delivery."""
    before = cpu_seconds(server.pid)
    for _ in range(rounds):
        server.publish(records)
        sink.expect(records)
    return (cpu_seconds(server.pid) - before) * 1e6 / (rounds * records * sink.clients)


def compare(bare, fed, sinks, pairs, rounds, records):
    """Ratios and both costs, pair by pair; which goes first alternates."""
    ratios, costs = [], {"bare": [], "edge": []}
    cost(bare, sinks[0], max(2, rounds // 4), records)
    cost(fed, sinks[1], max(2, rounds // 4), records)
    for i in range(pairs):
        turns = [("bare", bare, sinks[0]), ("edge", fed, sinks[1])]
        pair = {n: cost(s, k, rounds, records) for n, s, k in (turns if i % 2 else turns[::-1])}
        for name, value in pair.items():
            costs[name].append(value)
        ratios.append(pair["edge"] / pair["bare"])
    return ratios, costs


def run(options, directory):
    clients = 5000
    pairs, rounds = (9, 20) if options.quick else (15, 100)
    bare, fed = Bare(128), Fed(directory, 128)
    figures = []
    try:
        with (
            Sink("bare", bare.address, clients) as bare_sink,
            Sink("fanfare", fed.address, clients, CHANNEL) as edge_sink,
        ):
            for records, name in ((1, "one record"), (10, "ten records in a turn")):
                n = rounds if records == 1 else max(4, rounds // 5)
                ratios, costs = compare(bare, fed, (bare_sink, edge_sink), pairs, n, records)
                note = "µs a delivery: " + ", ".join(
                    f"{k} {sorted(v)[len(v) // 2]:.2f}" for k, v in costs.items()
                )
                title = f"edge / bare, {clients} clients, {name}"
                key = f"records-{records}"
                figures.append(Figure("delivery", key, title, ratios, "×", TARGET, note=note))
    finally:
        fed.close()
        bare.close()
    return figures
