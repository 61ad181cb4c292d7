# SPDX-License-Identifier: Apache-2.0
"""fanfare-loadgen and its oracle on a real Kafka, with a stand-in for worker and edge that can sin.

A load generator that says "clean" is only worth something if it also says "not clean": every kind of
fault is made once, on purpose, and must be found and named.
"""

import json
import os
import signal

import pytest

from harness.fake_edge import FakeEdge
from harness.loadgen import Runner
from harness.util import wait_until


@pytest.fixture
def loadgen(kafka, topic, tmp_path):
    return Runner(kafka, topic, tmp_path)


@pytest.fixture
def fake(kafka, topic):
    made = []

    def make(**options):
        edge = FakeEdge(kafka.bootstrap, topic, 4, **options)
        made.append(edge)
        return edge.__enter__()

    yield make
    for edge in made:
        edge.__exit__()


@pytest.mark.parametrize("read_later", ["false", "true"])
def test_a_clean_run(loadgen, fake, read_later):
    r = loadgen.run(fake().url, read_later=read_later, **{"pids.self": os.getpid()})
    assert r.code == 0, r.out + r.err
    assert r.verdict["clean"] is True
    assert r.verdict["records"] == 360  # 200 a second for 1.8 s
    assert r.verdict["subscriptions"] == 40
    assert r.verdict["expected"] == r.verdict["delivered"] == 3600  # each to half of 20 clients
    assert r.report["producer"]["acked"] == 360
    assert r.report["latency_ms"]["count"] == 3000  # the warm-up doesn't count
    assert 0 < r.report["latency_ms"]["p50"] <= r.report["latency_ms"]["p99_99"]
    assert r.report["cpu"][0]["cpu_ms"] > 0
    assert r.report["clients"]["connects"] == 20
    assert "verdict     clean: 360 records, 3600 deliveries" in r.out


@pytest.mark.parametrize(
    ("args", "settings"),
    [(["--drop-one"], {}), ([], {"drop_one": "true", "read_later": "true"})],
)
def test_the_oracle_sees_one_dropped_record(loadgen, fake, args, settings):
    r = loadgen.run(fake().url, args=args, verdict_only="true", **settings)
    assert r.code == 1, r.out + r.err
    assert r.verdict["missing"] == 1
    assert r.verdict["delivered"] == r.verdict["expected"] - 1
    assert r.out.startswith("NOT CLEAN: ") and " 1 missing, 0 duplicate" in r.out


@pytest.mark.parametrize(
    ("sin", "found"),
    [("drop", "missing"), ("duplicate", "duplicate"), ("swap", "disorder"), ("corrupt", "wrong")],
)
def test_each_fault_of_an_edge_is_named(loadgen, fake, sin, found):
    r = loadgen.run(fake(sins={sin: 20}).url)
    assert r.code == 1, r.out + r.err
    faults = {k: r.verdict[k] for k in ("missing", "duplicate", "disorder", "wrong")}
    assert faults.pop(found) == 10  # clients of that channel
    assert set(faults.values()) == {0}
    bad = r.verdict["by_channel"][0]
    assert bad["key"] == "ch0" and bad[found] == 10


def test_a_told_gap_is_told_and_no_loss(loadgen, fake):
    edge = fake(sins={"gap": 20})
    r = loadgen.run(edge.url)
    assert r.code == 1, r.out + r.err
    assert r.verdict["told"] == 10 and r.verdict["told_records"] >= 10
    assert r.verdict["missing"] == r.verdict["wrong"] == r.verdict["disorder"] == 0


def test_a_told_gap_may_be_allowed(loadgen, fake):
    r = loadgen.run(fake(sins={"gap": 20}).url, allow_told="true")
    assert r.code == 0, r.out + r.err
    assert r.verdict["told"] == 10


def test_cut_connections_resume_on_the_next_edge(loadgen, fake):
    edges = fake(), fake()
    r = loadgen.run(*(e.url for e in edges), cut_percent=50, cut_every="400ms", processes=2, duration="2s")
    assert r.code == 0, r.out + r.err
    assert r.report["clients"]["cut"] > 10
    assert r.report["clients"]["resumed"] == r.report["clients"]["cut"]
    assert r.verdict["resumed"] == 2 * r.report["clients"]["cut"]
    assert edges[0].recovered + edges[1].recovered == r.verdict["resumed"]


def test_records_of_another_producer(loadgen, fake, topics, topic):
    edge = fake(prefix="ns:", sin_channel="a")
    popen = loadgen.start(
        edge.url,
        namespace="ns",
        channel_names=json.dumps(["a", 'ü "q"']),
        rate=0,
        duration="60s",
        subscriptions=2,
    )
    assert "event=ready clients=20 subscriptions=40" in popen.stderr.readline()
    records = [("a", '{"x":1}'), ('ü "q"', '{\n"y":[2]}'.replace("\n", "")), ("else", "3")]
    topics.produce(topic, records * 10)
    popen.send_signal(signal.SIGINT)  # ends the load; the verdict is still given
    r = loadgen.finish(popen)
    assert r.code == 0, r.out + r.err
    assert r.verdict["records"] == 20 and r.verdict["delivered"] == 400


def test_no_edge_is_no_verdict(loadgen):
    r = loadgen.run("ws://127.0.0.1:1/connection/websocket", ready_timeout="1s")
    assert r.code == 3
    assert "clients are not ready: 0 of 40 subscriptions live" in r.err


def test_no_topic_is_no_verdict(loadgen, fake):
    r = loadgen.run(fake().url, topic="there-is-none")
    assert r.code == 3
    assert "oracle: error " in r.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"topic": ""}, "topic"),
        ({"edges": "http://127.0.0.1"}, "ws://"),
        ({"clients": 0}, "clients"),
        ({"pids.edge": "x"}, "pids.edge"),
    ],
)
def test_wrong_configuration_is_named(kafka, tmp_path, settings, said):
    runner = Runner(kafka, "t", tmp_path)
    r = runner.run("ws://127.0.0.1:1", **settings)
    assert r.code == 2
    assert said in r.err


def test_the_real_thing_with_an_edge_killed(kafka, topic, nodes, tmp_path):
    table = {"": {"topic": topic}}
    nodes.worker(namespaces=table)
    edges = [nodes.edge(namespaces=table) for _ in range(2)]
    runner = Runner(kafka, topic, tmp_path)
    popen = runner.start(*(e.url for e in edges), clients=60, duration="4s", straggler_timeout="10s")
    assert "event=ready" in popen.stderr.readline()
    killed = edges[0]
    wait_until(lambda: killed.metrics().total("fanfare_edge_deliveries_total") > 500, "records", 20)
    killed.kill()
    r = runner.finish(popen)
    assert r.code == 0, r.out + r.err
    assert r.verdict["told"] == 0
    first = r.report["edges"][0]
    assert first["clients"] == 0 and first["lost"] == first["resumed"] == 30
    assert r.report["clients"]["connected"] == 60


def test_the_real_thing_with_slow_and_cut_clients(kafka, topic, nodes, tmp_path):
    table = {"": {"topic": topic}}
    nodes.worker(namespaces=table)
    edges = [nodes.edge(namespaces=table) for _ in range(2)]
    r = Runner(kafka, topic, tmp_path).run(
        *(e.url for e in edges),
        clients=200,
        processes=2,
        rate=500,
        payload=1000,  # 125 KB/s for each client: a slow one takes 20
        slow_percent=20,
        cut_percent=20,
        cut_every="1s",
        duration="4s",
        straggler_timeout="30s",
    )
    assert r.code == 0, r.out + r.err
    assert r.report["clients"]["cut"] > 50
    assert r.verdict["told"] == 0 and r.verdict["delivered"] == r.verdict["expected"]


def test_a_place_is_asked_for_before_each_connect(kafka, topic, nodes, tmp_path):
    table = {"": {"topic": topic}}
    nodes.worker(namespaces=table)
    edges = [nodes.edge(namespaces=table) for _ in range(2)]
    r = Runner(kafka, topic, tmp_path).run(
        *(e.url for e in edges), place="true", clients=60, cut_percent=50, cut_every="500ms", duration="3s"
    )
    assert r.code == 0, r.out + r.err
    asked = sum(e.metrics().total("fanfare_edge_endpoints_told_total") for e in edges)
    assert asked == r.report["clients"]["connects"] > 60
