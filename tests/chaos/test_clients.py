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


def truth(storm):
    return by_channel(read_topic(storm.kafka.bootstrap, storm.topic))


def judge(expected, client, channels=CHANNELS):
    """This client has every record behind its first cursors, once, in order; how many. Waits for the last."""
    after = {c: client.subs[c].get("offset", 0) for c in channels}

    def has_all():
        return all(not v or v[-1][0] <= client.cursor(c)[0] for c in channels for v in [expected.get(c)])

    wait_until(has_all, "the client has the last record of each channel", 60)
    got = {c: [p for p in client.pubs[c] if p["offset"] <= expected[c][-1][0]] for c in channels}
    verdict = compare(expected, got, after)
    verdict.check()
    return verdict.expected


@pytest.mark.parametrize(
    ("what", "shape"),
    [
        ("latency 200 ms", {"delay": 0.2}),
        ("bandwidth 8 KB/s", {"rate": 8192}),
        ("every tenth packet lost", {"loss": 0.1}),
    ],
    ids=["latency", "bandwidth", "loss"],
)
def test_network_is_bad(storm, ways, what, shape):
    _, (edge, _) = storm.usual()
    way = ways.open(edge)
    with storm.load(f"network: {what}"):
        storm.pause_max = 1  # of the others
        client = ways.run(connect(way.gate.url))
        way.shape(**shape)
        began, had = time.monotonic(), received(client)
        ways.run(client.command({"ping": {}}, 60), 60)
        rtt = time.monotonic() - began
        storm.wait_more(12000)
        assert rtt > shape.get("delay", 0)
        if "rate" in shape:  # it is slow: what was under way before, and its share
            assert received(client) - had < shape["rate"] * (time.monotonic() - began) + 300_000
        if "loss" in shape:
            wait_until(lambda: way.lost() >= 20, "packets were lost", 30)
        way.shape()
        assert judge(truth(storm), client) >= 40
        ways.run(client.close())


def test_half_open_peers(storm, ways):
    storm.worker()
    edge, _ = storm.edges(2, ping_interval="2s", pong_timeout="6s")
    way = ways.open(edge)
    with storm.load("network: half-open TCP peers"):
        storm.pause_max = 1
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
    with storm.load("network: clients that connect and never say a word"):
        storm.pause_max = 1
        silent = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(50)]
        for s in silent:
            s.settimeout(scaled(30))
            assert s.recv(1000) in (b"",) or s.recv(1000) == b""
            s.close()
        storm.wait_more(2000)


BAD = {
    "forged": [{"offset": 2**63 - 1}, {"offset": 10**12}, {"epoch": "x" * 300}, {"epoch": ""}],
    "foreign": [{"epoch": "ZZZZZZZZ"}, {"epoch": "ZZZZZZZZ", "offset": 2**63 - 1}, {"epoch": "_"}],
}
NO_CURSORS = (-1, 2**64, "5", 1000.5, {}, None)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("forged", "client: resumes with forged and absurd cursors"),
        ("foreign", "client: resumes with the epoch of another log"),
    ],
    ids=["forged", "foreign"],
)
def test_bad_cursors(storm, ways, redis, kind, fault):
    _, edges = storm.usual()
    log = Region(redis, storm.topic).log()
    with storm.load(fault):
        client = ways.run(FanClient.connect(edges[0].url))
        cursors = [{"epoch": log, "offset": 5} | bad for bad in BAD[kind] * 20]

        async def ask_all():  # those beyond Kafka's end are answered after two seconds
            return await asyncio.gather(*(client.subscribe(f"odd{i}", **c) for i, c in enumerate(cursors)))

        for reply in ways.run(ask_all()):
            assert not reply.get("recovered") and reply["was_recovering"] and reply["epoch"] == log
            assert reply.get("offset", 0) < 10**9 and not reply.get("publications")
        for offset in NO_CURSORS if kind == "forged" else ():
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


SMALL = {"stream_bytes": "200KiB"}  # some three seconds of the load


def first(region, partition):
    """The oldest position that the stream has."""
    return int(region.r.xrange(region.key(partition), count=1)[0][0].decode()[2:])


def test_resume_from_before_the_stream(storm, ways, redis):
    storm.worker(**SMALL)
    edges = storm.edges(2, plog_bytes="1MiB")
    region = Region(redis, storm.topic)
    with storm.load("client: resumes from before the stream (deep history)", old_percent=15):
        start = [region.last(p) for p in range(4)]
        wait_until(lambda: all(first(region, p) > start[p] + 1 for p in range(4)), "all was trimmed", 60)
        clients = []
        for edge in edges:
            clients.append(ways.run(connect(edge.url, [])))
            for channel in CHANNELS:  # all from the log's beginning
                reply = ways.run(clients[-1].subscribe(channel, offset=0, epoch=region.log()))
                assert reply["recovered"]
        storm.wait_more(2000, "fanfare_edge_deep_records_total")
        storm.wait_more(500, "fanfare_edge_recoveries_total", result="recovered")
        for client in clients:
            assert judge(truth(storm), client) > 300
            ways.run(client.close())


def test_resume_at_the_trimmed_edge(storm, ways, redis):
    storm.worker(**SMALL)
    edges = storm.edges(2, plog_bytes="1MiB")
    region = Region(redis, storm.topic)
    with storm.load("client: resumes at the trimmed edge of the stream"):
        (at,) = {p for p, _ in storm.produce(40, ["x1"])}
        wait_until(lambda: first(region, at) > 20, "the stream is trimmed", 60)
        clients, epoch = [], region.log()

        async def around(url, i):  # the oldest entry, which moves meanwhile
            clients.append(await connect(url, []))
            cursor = {"offset": first(region, at) + i % 16 - 8, "epoch": epoch}
            return await clients[-1].subscribe("x1", **cursor)

        async def all_around():
            return await asyncio.gather(*(around(edges[i % 2].url, i) for i in range(40)))

        for _ in range(3):
            assert all(reply["recovered"] for reply in ways.run(all_around()))
        storm.produce(100, ["x1"])
        storm.wait_more(2000)
        expected = truth(storm)
        assert sum(judge(expected, c, ["x1"]) for c in clients) >= 120 * 100
        for client in clients:
            ways.run(client.close())


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
