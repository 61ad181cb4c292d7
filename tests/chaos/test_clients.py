# SPDX-License-Identifier: Apache-2.0
"""Clients with a bad network, silent ones, and those with cursors that are forged, foreign or too old.

Each is a client of its own beside the load: it may be closed or told, and nobody else may notice."""

import asyncio
import socket
import time

import pytest

from harness.client import FanClient
from harness.oracle import by_channel, compare, read_topic
from harness.region import Region
from harness.util import scaled, wait_until

CHANNELS = [f"ch{i}" for i in range(10)]
DISCONNECTS = "fanfare_edge_disconnects_total"


async def connect(url, channels=CHANNELS):
    client = await FanClient.connect(url)
    for channel in channels:
        await client.subscribe(channel)
    return client


async def all_of(url, n):
    return await asyncio.gather(*(connect(url) for _ in range(n)))


def received(client):
    return sum(size for _, size in client.frames)


def judge(storm, client):
    """This client has every record behind its first cursors, once, in order; waits until it does."""
    expected = by_channel(read_topic(storm.kafka.bootstrap, storm.topic))
    after = {c: client.subs[c].get("offset", 0) for c in CHANNELS}

    def has_all():
        return all(not v or v[-1][0] <= client.cursor(c)[0] for c in CHANNELS for v in [expected.get(c)])

    wait_until(has_all, "the client has the last record of each channel", 60)
    got = {c: [p for p in client.pubs[c] if p["offset"] <= expected[c][-1][0]] for c in CHANNELS}
    verdict = compare(expected, got, after)
    assert verdict.expected > 100
    verdict.check()


@pytest.mark.parametrize(
    ("what", "shape"),
    [("latency 200 ms", {"delay": 0.2}), ("bandwidth 8 KB/s", {"rate": 8192})],
    ids=["latency", "bandwidth"],
)
def test_network_is_slow(storm, ways, what, shape):
    _, (edge, _) = storm.usual()
    way = ways.open(edge)
    with storm.load(f"network: {what}"):
        client = ways.run(connect(way.gate.url))
        way.shape(**shape)
        began, had = time.monotonic(), received(client)
        ways.run(client.command({"ping": {}}, 60), 60)
        rtt = time.monotonic() - began
        storm.wait_more(12000)
        assert rtt > shape.get("delay", 0)
        if "rate" in shape:  # it is slow: what was under way before, and its share
            assert received(client) - had < shape["rate"] * (time.monotonic() - began) + 300_000
        way.shape()
        judge(storm, client)
        ways.run(client.close())


def test_half_open_peers(storm, ways):
    storm.worker()
    edge, _ = storm.edges(2, ping_interval="2s", pong_timeout="6s")
    way = ways.open(edge)
    with storm.load("network: half-open TCP peers"):
        ways.run(all_of(way.gate.url, 20))
        before = edge.metrics().total(DISCONNECTS)
        way.silence()
        edge.wait_metric(DISCONNECTS, before + 20, 40)
        way.silence(False)
        storm.wait_more(2000)


def test_peers_that_never_answer(storm):
    """Connections that are accepted and never say a word: closed in time, nobody else notices."""
    storm.worker()
    edge, _ = storm.edges(2, connect_timeout="1s")
    with storm.load("network: connections that are accepted and never answer"):
        silent = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(50)]
        for s in silent:
            s.settimeout(scaled(30))
            assert s.recv(1000) in (b"",) or s.recv(1000) == b""
            s.close()
        storm.wait_more(2000)


BAD = [
    {"offset": 2**63 - 1},
    {"offset": 10**12},
    {"epoch": "ZZZZZZZZ"},
    {"epoch": ""},
    {"epoch": "_"},
    {"epoch": "x" * 300},
    {"epoch": "ZZZZZZZZ", "offset": 2**63 - 1},
]


def test_forged_cursors(storm, ways, redis):
    _, edges = storm.usual()
    log = Region(redis, storm.topic).log()
    with storm.load("client: forged, absurd and foreign cursors"):
        client = ways.run(FanClient.connect(edges[0].url))
        cursors = [{"epoch": log, "offset": 5} | bad for bad in BAD * 10]

        async def ask_all():  # those beyond Kafka's end are answered after two seconds
            return await asyncio.gather(*(client.subscribe(f"odd{i}", **c) for i, c in enumerate(cursors)))

        for reply in ways.run(ask_all()):
            assert not reply.get("recovered") and reply["was_recovering"] and reply["epoch"] == log
            assert reply.get("offset", 0) < 10**9 and not reply.get("publications")
        for offset in (-1, 2**64, "5", 1000.5, {}, None):
            other = ways.run(FanClient.connect(edges[1].url))
            cursor = {"channel": "x", "recover": True, "epoch": log, "offset": offset}
            try:
                (reply,) = ways.run(other.batch([{"subscribe": cursor}]))
                assert reply["error"]["code"] == 107
            except ConnectionError:
                assert other.closed[0] == 3501
            ways.run(other.close())
        ways.run(client.close())
        storm.wait_more(2000)


def test_resume_at_the_trimmed_edge(storm, ways, redis):
    storm.worker(stream_bytes="1MiB")
    edges = storm.edges(2, plog_bytes="1MiB")
    region = Region(redis, storm.topic)
    with storm.load("client: resumes at the trimmed edge of the stream", slow_percent=0):
        client = ways.run(connect(edges[0].url, ["ch1", "x1"]))
        storm.produce(2, ["x1"])
        ways.run(client.wait_pubs("x1", 2))
        offset, epoch = client.cursor("x1")
        fresh = client.cursor("ch1")
        ways.run(client.close())
        for _ in range(20):  # not so fast that a client of the load is left behind
            storm.produce(250, [f"x{i}" for i in range(40)])
            storm.wait_more(1200)
        p = next(p for p, o in storm.produce(1, ["x1"]))
        first = lambda: int(region.r.xrange(region.key(p), count=1)[0][0].decode()[2:])  # noqa: E731
        wait_until(lambda: first() > offset + 1, "the stream was trimmed beyond the cursor", 30)
        again = ways.run(connect(edges[1].url, []))
        reply = ways.run(again.subscribe("x1", offset=offset, epoch=epoch))
        assert reply["was_recovering"] and not reply.get("recovered") and reply["offset"] > offset
        assert fresh[1] == epoch
        # The oldest entry's predecessor is the last cursor that is still covered.
        oldest = first() + 200
        reply = ways.run(again.subscribe("x2", offset=oldest, epoch=epoch))
        assert reply["was_recovering"]
        ways.run(again.close())
        storm.wait_more(2000)


def test_resume_during_a_rebuild(storm, redis):
    storm.topics.produce(storm.topic, [(f"x{i % 40}", b'"%0600d"' % i) for i in range(20000)])
    worker, edges = storm.usual()
    storm.wait_carried(worker)
    with storm.load("client: all resume during a rebuild (edges restarted, Redis emptied)"):
        rebuilds = worker.metrics().total("fanfare_worker_rebuilds_total")
        for edge in edges:
            edge.kill()
        redis.flush()
        for edge in edges:
            edge.start(30)
        worker.wait_metric("fanfare_worker_rebuilds_total", rebuilds + 4, 30)
        storm.wait_more(6000)
