# SPDX-License-Identifier: Apache-2.0
"""The harness proved on its own, without a line of Fanfare: a test suite that can't fail is none."""

import asyncio
import json
import signal
import stat
import sys
import time
import types

import pytest
import websockets
from confluent_kafka import Consumer
from websockets.asyncio.server import serve

from harness.client import FanClient, FanError
from harness.gate import Gate, Wire
from harness.node import Edge, Metrics, Nodes, log_fields
from harness.oracle import by_channel, compare, read_topic
from harness.stalls import Stalls, most
from harness.util import WaitError, wait_until


def test_kafka_produce_consume(kafka, topics, topic):
    placed = topics.produce(topic, [(f"k{i % 5}", f'{{"n":{i}}}') for i in range(50)])
    assert len(placed) == 50 and len({p for p, _ in placed}) > 1
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    got = []

    def poll():
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            got.append((message.partition(), message.offset()))
        return len(got) == 50

    wait_until(poll, "50 records consumed through a group", 30)
    consumer.close()
    assert sorted(got) == sorted(placed)


def test_kafka_murmur2(topics, topic):
    # Java's partitions of these keys among 4, from Kafka's own Utils.murmur2: (hash & 2^31-1) % 4.
    expected = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    placed = topics.produce(topic, [(key, b"{}") for key in expected])
    assert [p for p, _ in placed] == [(h & 0x7FFFFFFF) % 4 for h in expected.values()]


def test_kafka_delete_records(kafka, topics, topic):
    topics.produce(topic, [("k", b"{}")] * 10, partition=2)
    topics.delete_records(topic, 2, 4)
    assert [r.offset for r in read_topic(kafka.bootstrap, topic)] == [4, 5, 6, 7, 8, 9]


def test_kafka_grow_and_headers(kafka, topics, topic):
    topics.grow(topic, 6)
    topics.produce(topic, [("k", b"1", [("h", b"v")])], partition=5)
    records = wait_until(lambda: read_topic(kafka.bootstrap, topic), "the record is seen")
    assert [(r.partition, r.headers) for r in records] == [(5, (("h", b"v"),))]


def test_redis_is_empty_and_real(redis):
    assert redis.client().dbsize() == 0
    assert redis.client().xadd("s", {"d": b"\x00\xff"}, id="1-7") == b"1-7"


def test_redis_is_empty_again(redis):
    assert redis.client().dbsize() == 0


def test_redis_of_ones_own(redis, redis_server):
    own = redis_server(password="secret", maxmemory="64mb")
    own.client().set("k", "v")
    assert own.port != redis.port
    assert own.client().config_get("maxmemory")["maxmemory"] == str(64 << 20)
    own.kill()
    own.start()
    assert own.client().get("k") is None


def test_consul_is_real_and_of_ones_own(consul):
    agent, other = consul(), consul()
    check = {"CheckID": "c", "TTL": "1s", "Status": "passing"}
    agent.call("PUT", "/v1/agent/service/register", {"Name": "s", "Meta": {"node": "n"}, "Check": check})
    agent.wait_service("s", "n")
    assert other.services("s") == {}
    agent.wait_service("s", "n", "critical")
    agent.kill()
    assert agent.start().services("s") == {}  # on the same port, empty


def test_oracle_sees_each_fault(kafka, topics, topic):
    topics.produce(topic, [("a", b'{"n":%d}' % i) for i in range(6)])
    expected = by_channel(read_topic(kafka.bootstrap, topic), "ns")
    right = [{"offset": p, "data": d} for p, d in expected["ns:a"]]
    compare(expected, {"ns:a": right}).check()
    compare(expected, {"ns:a": right[2:]}, {"ns:a": right[1]["offset"]}).check()
    wrong = [{**right[0], "data": {"n": 9}}, *right[1:]]
    faults = {
        "missing": right[:3] + right[4:],
        "duplicate": [*right, right[2]],
        "disorder": [right[1], right[0], *right[2:]],
        "wrong": wrong,
        "unknown": [*right, {"offset": 99, "data": 1}],
    }
    for name, got in faults.items():
        verdict = compare(expected, {"ns:a": got})
        assert list(verdict.bad()) == [name]
        with pytest.raises(AssertionError, match=f"1 {name}"):
            verdict.check()


def test_metrics_and_log_lines():
    metrics = Metrics.parse('# HELP x\nx{a="1",b="p q"} 2\nx{a="2"} 3.5\ny 1e3\n')
    assert metrics.total("x") == 5.5 and metrics.total("x", a=1) == 2 and metrics["y"] == 1000
    fields = log_fields('2026 info  event=ready why="a b" listen=127.0.0.1:8000')
    assert fields == {"event": "ready", "why": "a b", "listen": "127.0.0.1:8000"}


STAND_IN = """#!{python}
import json, signal, sys, time
conf = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
print("event=ready listen=127.0.0.1:1 admin=127.0.0.1:2", file=sys.stderr, flush=True)
if conf.get("say"):
    print(conf["say"], file=sys.stderr, flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def stand_in(tmp_path):
    """A program at the edge's place in a build directory that does what its configuration says."""
    program = tmp_path / "build" / Edge.binary
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    group = Nodes(tmp_path / "nodes")

    def make(**config):
        node = Edge(config, tmp_path / "nodes", build=tmp_path / "build")
        return group.add(node)

    yield make, group
    group.finish()


def test_node_without_accident(stand_in):
    make, group = stand_in
    node, killed = make(), make()
    assert node.url == "ws://127.0.0.1:1/connection/websocket" and node.admin == "127.0.0.1:2"
    assert node.rss() > 0
    killed.kill()
    killed.start()  # a second life of the same node is a run of its own
    node.sigstop()
    node.sigcont()
    assert node.stop() == 0
    assert group.finish() == []


@pytest.mark.parametrize(
    "line",
    [
        "x.c:3: f: Assertion `a == b' failed.",
        "must failed: x != NULL at y.c:10",
        "==1==ERROR: AddressSanitizer: heap-use-after-free on address",
        "x.c:9:3: runtime error: signed integer overflow",
        "WARNING: ThreadSanitizer: data race (pid=1)",
        "==1==ERROR: LeakSanitizer: detected memory leaks",
    ],
)
def test_node_accident_in_its_log(stand_in, line):
    make, group = stand_in
    make(say=line)
    wait_until(lambda: line in group.all[0].log.read_text(), "the line is written")
    (found,) = group.finish()
    assert line in found


def test_node_unexpected_exit(stand_in):
    make, group = stand_in
    node = make()
    node.signal(signal.SIGUSR1)
    wait_until(lambda: not node.is_running(), "it exits")
    assert "unexpected exit 3" in group.finish()[0]
    node.expect_exit(3)
    assert group.finish() == []


def test_node_that_never_is_ready(stand_in, tmp_path):
    program = tmp_path / "build" / Edge.binary
    program.write_text("#!/bin/sh\necho no such key >&2\nexit 2\n")
    make, group = stand_in
    with pytest.raises(WaitError, match=r"ended \(2\)(.|\n)*no such key"):
        make()
    group.all[0].expect_exit(2)


async def serve_protocol(ws):
    """The least of a server: enough for each verb of FanClient, with one push in the reply's frame."""
    async for frame in ws:
        out = []
        for line in frame.split("\n"):
            command = json.loads(line)
            if not command:
                out.append('{"push":{"channel":"pong","pub":{"data":1,"offset":9}}}')
            elif "connect" in command:
                out += ['{"id":%d,"connect":{"client":"c","ping":25,"pong":true}}' % command["id"], "{}"]
            elif "history" in command:
                out.append('{"id":%d,"history":{"publications":[]}}' % command["id"])
            elif command.get("subscribe", {}).get("channel") == "no":
                out.append('{"id":%d,"error":{"code":103,"message":"denied"}}' % command["id"])
            elif "subscribe" in command:
                sub = {"offset": 3, "epoch": "E", "publications": [{"data": 1, "offset": 4}]}
                out.append(json.dumps({"id": command["id"], "subscribe": sub}))
                out.append('{"push":{"channel":"a","pub":{"data":2,"offset":7}}}')
            elif "rpc" in command:
                await ws.close(3000, "bye")
                return
        await ws.send("\n".join(out))


async def test_client_speaks_the_protocol():
    async with serve(serve_protocol, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with await FanClient.connect(f"ws://127.0.0.1:{port}", data={}) as c:
            assert c.connected["client"] == "c"
            await c.subscribe("a", 3, "E")
            assert [p["offset"] for p in await c.wait_pubs("a", 2)] == [4, 7]
            await c.wait_pubs("pong", 1)
            assert c.pings == 1 and c.cursor("a") == (7, "E")
            with pytest.raises(FanError, match="103 denied"):
                await c.subscribe("no")
            replies = await c.batch([{"history": {"channel": "a"}}, {"subscribe": {"channel": "no"}}])
            assert replies[0]["history"] == {"publications": []} and replies[1]["error"]["code"] == 103
            with pytest.raises(WaitError, match="3 publications"):
                await c.wait_pubs("a", 3, timeout=0.1)
            with pytest.raises(ConnectionError):
                await c.command({"rpc": {}})
            assert await c.wait_closed() == (3000, "bye")


async def test_client_pause_and_abort():
    seen = asyncio.get_running_loop().create_future()

    async def flood(ws):
        try:
            for i in range(100_000):
                await ws.send('{"push":{"channel":"a","pub":{"data":"%s","offset":%d}}}' % ("x" * 999, i + 1))
        except websockets.ConnectionClosed as e:
            seen.set_result(e.rcvd)

    async with serve(flood, "127.0.0.1", 0, write_limit=1024, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        c = await FanClient.open(f"ws://127.0.0.1:{port}")
        await c.wait_pubs("a", 10)
        c.pause()
        before = len(c.pubs["a"])
        with pytest.raises(WaitError):
            await c.wait_pubs("a", before + 2, timeout=0.3)
        c.resume()
        await c.wait_pubs("a", before + 100)
        await c.abort()
        assert await asyncio.wait_for(seen, 10) is None  # no close frame came


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def there_and_back(gate, data):
    """Seconds that it takes."""
    reader, writer = await asyncio.open_connection(gate.host.address, gate.port)
    began = time.monotonic()
    writer.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data
    took = time.monotonic() - began
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    return took


async def test_gates_of_one_link():
    """What is delayed holds up nothing behind it; the rate is of all together; both count."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = types.SimpleNamespace(port=server.sockets[0].getsockname()[1])
    wires = Wire(), Wire()
    one, two = [await Gate(target, wires=wires).start() for _ in range(2)]
    one.shape(0.05, 0)
    assert 0.1 <= await there_and_back(one, b"x" * 2_000_000) < 1  # some thirty pieces
    assert [wire.carried for wire in wires] == [2_000_000] * 2
    two.shape(0, 500_000)
    took = await asyncio.gather(there_and_back(one, b"x" * 100_000), there_and_back(two, b"x" * 100_000))
    assert max(took) >= 0.35  # 0.4 s for both
    for gate in (one, two):
        await gate.stop()
    server.close()


def test_stalls_of_a_stretch():
    late = [(10.0, 1.0), (11.5, 0.5), (30.0, 2.0)]
    assert most([], 5) == 0 and most(late[:2], 5) == 1.5
    assert most(late, 5) == 2  # the two others are another stretch's
    assert most(late[:2], 2) == 1  # of the first one's second, half is in it
    assert most(late, 0.3) == pytest.approx(0.3)  # no more than the stretch


def test_a_thread_that_has_not_woken_is_late():
    stalls = Stalls()
    cpu = min(stalls.late)
    stalls._wake(cpu)
    stalls._beat[cpu] -= 3
    assert stalls.within(60) > 2.9 and stalls.within(1) == 1
    stalls._wake(cpu)
    stalls.stop()
    assert stalls.within(60) > 2.9
