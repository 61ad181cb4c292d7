# SPDX-License-Identifier: Apache-2.0
"""fanfare-worker on a real Kafka and a real Redis: what stands in the streams is what Kafka holds."""

import json

import pytest
from confluent_kafka import Producer

from harness.region import Region, decode, records, same_as_kafka, start, wait_total
from harness.util import wait_until


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


def test_worker_carries_all_in_order(kafka, topics, topic, nodes, region):
    topics.produce(topic, records(500))
    worker = start(nodes, topic)
    wait_total(region, worker, 500)
    topics.produce(topic, records(500, first=500))
    wait_total(region, worker, 1000)
    assert same_as_kafka(kafka, region) == 1000
    info = region.hash()
    assert info["n"] == "1" and info["partitions"] == "4" and info["state"] == "live"
    assert info["partitioner"] == "murmur2" and len(info["log"]) == 8
    for p in range(4):
        side = region.r.hgetall(region.key(p) + ":side")
        if region.last(p):
            last = region.entries(p)[-1]
            assert side == {b"last": b"%d" % last[0], b"fp": b"%d" % last[1]["fp"]}
    # A row is up to a beat old; that Kafka answers, the worker knows once a second.
    wait_until(
        lambda: (region.beacon(0) or [0] * 7)[2:6] == ["live", "1", *[str(region.last(0))] * 2],
        lambda: f"the beacon's row: {region.beacon(0)}",
    )
    # An edge waits for news for two seconds; it has them if the end is younger.
    wait_until(lambda: int(region.beacon(0)[6]) < 1300, lambda: f"the end's age: {region.beacon(0)}")
    status, _ = worker.get("/health/ready")
    assert status == 200
    m = worker.metrics()
    assert m.total("fanfare_worker_entries_total") == 1000
    assert m.total("fanfare_worker_assigned_partitions") == 4


def test_worker_restart_and_kill(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    for i, end in enumerate([worker.stop, worker.kill, worker.kill, worker.stop]):
        topics.produce(topic, records(300, first=i * 600))
        if i:
            worker.start(40)
        wait_total(region, worker, i * 600 + 150)
        topics.produce(topic, records(300, first=i * 600 + 300))
        end()
    worker.start(40)
    wait_total(region, worker, 2400)
    assert same_as_kafka(kafka, region) == 2400


def test_worker_two_share_and_take_over(kafka, topics, topic, nodes, region):
    one = start(nodes, topic)
    two = start(nodes, topic)
    for w in (one, two):
        w.wait_metric("fanfare_worker_running_partitions", 2, 30)
    assert one.metrics().total("fanfare_worker_assigned_partitions") == 2
    topics.produce(topic, records(400))
    wait_total(region, two, 400)
    one.kill()
    topics.produce(topic, records(400, first=400))
    two.wait_metric("fanfare_worker_running_partitions", 4, 30)
    wait_total(region, two, 800)
    one.start(40)
    one.wait_metric("fanfare_worker_running_partitions", 2, 30)
    topics.produce(topic, records(400, first=800))
    wait_total(region, two, 1200)
    assert same_as_kafka(kafka, region) == 1200


def test_worker_rebuilds_after_flushall(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, records(400))
    wait_total(region, worker, 400)
    log = region.log()
    region.r.flushall()
    wait_total(region, worker, 400)
    assert region.log() == log
    region.r.flushall()
    topics.produce(topic, records(100, first=400))
    wait_total(region, worker, 500)
    assert same_as_kafka(kafka, region) == 500


def test_worker_rebuild_is_bounded(topics, topic, nodes, region):
    topics.produce(topic, [("k", b"%d" % i) for i in range(1000)])
    worker = start(nodes, topic, rebuild_records=400)
    wait_total(region, worker, 100)
    p = next(p for p in range(4) if region.last(p))
    worker.wait_for(lambda: region.last(p) == 1000, "the end", 10)
    got = region.entries(p)
    assert [pos for pos, _ in got] == list(range(901, 1001))
    assert got[0][1]["prev"] == 900  # what came before isn't here: a reader sees it


def test_worker_lost_tail_and_lost_keys(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, [("k", b"%d" % i) for i in range(50)])
    wait_total(region, worker, 50)
    p = next(p for p in range(4) if region.last(p))
    region.r.delete(region.key(p) + ":side")  # one of two keys: restored by XINFO
    topics.produce(topic, [("k", b"%d" % i) for i in range(50, 60)])
    wait_total(region, worker, 60)
    region.r.delete(region.key(p))  # the other one: absent, rebuilt
    wait_total(region, worker, 60)
    # A failover that lost the tail: last goes back. Nothing new is produced: the idle check sees it.
    dump = region.entries(p)
    field = region.r.xrange(region.key(p), "1-40", "1-40")[0][1][b"d"]
    region.r.eval(
        "redis.call('DEL',KEYS[1]) redis.call('XADD',KEYS[1],'1-40','d',ARGV[1])"
        " redis.call('HSET',KEYS[2],'last','40','fp',ARGV[2])",
        2,
        region.key(p),
        region.key(p) + ":side",
        field,
        dump[39][1]["fp"],
    )
    worker.wait_for(lambda: region.last(p) == 60, "the tail is back", 10)
    assert [pos for pos, _ in region.entries(p)] == list(range(40, 61))
    assert region.entries(p)[1:] == dump[40:]
    assert worker.metrics().total("fanfare_worker_stream_moved_total") >= 1


def test_worker_fences_a_foreign_append(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, [("k", b"%d" % i) for i in range(50)])
    wait_total(region, worker, 50)
    p = next(p for p in range(4) if region.last(p))
    field = region.r.xrange(region.key(p), "1-30", "1-30")[0][1][b"d"]
    fp = decode(field)["fp"]
    # Back to 30 and a record at the same moment: whoever wins, the batch expects 50 and is refused.
    region.r.eval(
        "redis.call('DEL',KEYS[1]) redis.call('XADD',KEYS[1],'1-30','d',ARGV[1])"
        " redis.call('HSET',KEYS[2],'last','30','fp',ARGV[2])",
        2,
        region.key(p),
        region.key(p) + ":side",
        field,
        fp,
    )
    topics.produce(topic, [("k", b"%d" % i) for i in range(50, 60)])
    worker.wait_for(lambda: region.last(p) == 60, "all are there again", 10)
    assert [pos for pos, _ in region.entries(p)] == list(range(30, 61))
    m = worker.metrics()
    assert m.total("fanfare_worker_cas_refusals_total") + m.total("fanfare_worker_stream_moved_total")


def test_worker_transactions(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": topic,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    for round_ in range(6):
        producer.begin_transaction()
        for i in range(10):
            producer.produce(topic, json.dumps({"round": round_, "i": i}), "k")
        producer.flush(30)  # or an abort would take them back before they are sent
        if round_ % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    wait_total(region, worker, 30)
    p = next(p for p in range(4) if region.last(p))
    got = region.entries(p)  # the chain holds over the holes
    assert [json.loads(e["payload"])["round"] for _, e in got] == [0] * 10 + [2] * 10 + [4] * 10
    assert got[-1][0] - got[0][0] > 40
    worker.kill()  # the log ends in aborted records: attaching there must be quiet
    worker.start(40)
    producer.begin_transaction()
    producer.produce(topic, b'{"round":6}', "k")
    producer.commit_transaction(30)
    worker.wait_for(lambda: len(region.entries(p)) == 31, "the last one", 20)
    assert worker.metrics().total("fanfare_worker_overlap_failures_total") == 0


def test_worker_fates(topics, topic, nodes, region):
    worker = start(nodes, topic, record_max=1000, namespace={"headers": ["trace"]})
    big = b'"' + b"x" * 2000 + b'"'
    topics.produce(
        topic,
        [
            ("k", b"1", [("trace", b"t1"), ("other", b"no")]),
            ("k", None),
            ("k", big),
            ("k", b"{not json"),
            ("k", b"\xff\xfe"),
            ("k", b'{\n"a":1}'),
            ("k", b"2"),
        ],
    )
    p = topics.produce(topic, [("k", b"3")])[0][0]
    topics.produce(topic, [(None, b"4"), ("a\x01b", b"5")], partition=p)
    topics.produce(topic, [("k", b"6")])
    wait_total(region, worker, 9)
    entries = [e for _, e in region.entries(p)]
    kinds = [(e["kind"], e["payload"]) for e in entries]
    assert kinds == [
        (0, b"1"),
        (3, b""),
        (3, b""),
        (1, b"{not json"),
        (2, b"\xff\xfe"),
        (0, b'{"a":1}'),
        (0, b"2"),
        (0, b"3"),
        (0, b"6"),
    ]
    assert entries[0]["tags"] == {"trace": "t1"}
    assert [e["marker"] for e in entries[:4]] == [False, False, True, False]
    assert entries[2]["tags"] == {"fanfare-error": "too_large", "fanfare-size": str(len(big))}
    m = worker.metrics()
    for reason in ("no_key", "bad_key", "too_large"):
        assert m.total("fanfare_worker_refused_total", reason=reason) == 1
    assert {e["reason"] for e in worker.events("refused")} == {"no_key", "bad_key", "too_large"}
