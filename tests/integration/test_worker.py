# SPDX-License-Identifier: Apache-2.0
"""fanfare-worker on a real Kafka and a real Redis: what stands in the streams is what Kafka holds.

The streams are read here by hand, from the drawing in common/base/entry.h: no code of the worker's.
"""

import json

import pytest
from confluent_kafka import Producer

from harness.oracle import read_topic
from harness.util import wait_until

REGISTRY = "fanfare.logs"


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def decode(field):
    """The field `d` of a stream's entry as a dict."""
    assert field[0] == 1
    out = {"kind": field[1] & 7, "marker": bool(field[1] & 8)}
    out["distance"], at = varint(field, 2)
    out["fp"], at = int.from_bytes(field[at : at + 4], "little"), at + 4
    out["time"], at = varint(field, at)
    n, at = varint(field, at)
    out["channel"], at = field[at : at + n].decode(), at + n
    count, at = varint(field, at)
    out["tags"] = {}
    for _ in range(count):
        pair = []
        for _ in range(2):
            n, at = varint(field, at)
            pair.append(field[at : at + n].decode())
            at += n
        out["tags"][pair[0]] = pair[1]
    out["payload"] = field[at:]
    return out


class Region:
    """What a region's Redis holds for one topic."""

    def __init__(self, redis, topic):
        self.r, self.topic = redis.client(), topic

    def hash(self):
        return {k.decode(): v.decode() for k, v in self.r.hgetall(f"ff:topic:{self.topic}").items()}

    def log(self):
        return self.hash().get("log")

    def key(self, partition, log=None):
        return f"ff:{{{log or self.log()}:{partition}}}"

    def entries(self, partition, log=None):
        """[(position, entry)] with the prev chain checked: each continues from the one before."""
        out, before = [], None
        for entry_id, fields in self.r.xrange(self.key(partition, log)):
            ms, _, position = entry_id.decode().partition("-")
            assert ms == "1" and list(fields) == [b"d"]
            entry = decode(fields[b"d"])
            entry["prev"] = int(position) - entry["distance"]
            if before is not None:
                assert entry["prev"] == before, f"partition {partition}: the chain breaks at {position}"
            before = int(position)
            out.append((before, entry))
        return out

    def last(self, partition, log=None):
        found = self.r.xrevrange(self.key(partition, log), count=1)
        return int(found[0][0].decode().partition("-")[2]) if found else 0

    def total(self, partitions=4, log=None):
        return sum(self.r.xlen(self.key(p, log)) for p in range(partitions))

    def beacon(self, partition):
        row = self.r.hget("ff:beacon", f"p:{self.log()}:{partition}")
        return row.decode().split(" ") if row else None


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


def start(nodes, topic, name="q", **config):
    namespace = {"topic": topic, **config.pop("namespace", {})}
    return nodes.worker(group=topic, namespaces={name: namespace}, **config)


def records(n, keys=20, first=0):
    return [(f"k{i % keys}", json.dumps({"n": i})) for i in range(first, first + n)]


def wait_total(region, worker, n, partitions=4, timeout=30):
    worker.wait_for(lambda: region.log() and region.total(partitions) >= n, f"{n} entries", timeout)


def same_as_kafka(kafka, region, partitions=4, namespace="q"):
    """Each partition's stream is Kafka's partition: every record, once, in order, and its bytes."""
    held = {p: [] for p in range(partitions)}
    for record in read_topic(kafka.bootstrap, region.topic):
        held[record.partition].append(record)
    for p in range(partitions):
        got = region.entries(p)
        assert [pos for pos, _ in got] == [r.offset + 1 for r in held[p]], f"partition {p}"
        for (_, entry), record in zip(got, held[p], strict=True):
            assert entry["channel"] == f"{namespace}:{record.key.decode()}"
            assert entry["payload"] == record.value
    return sum(len(v) for v in held.values())


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
    row = wait_until(lambda: region.beacon(0), "a beacon row")
    assert row[2] == "live" and row[3] == "1" and int(row[5]) == region.last(0)
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


def test_worker_wrong_partitioner(topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, records(40), partitioner="consistent_random")
    worker.wait_for(lambda: region.hash().get("state") == "unmapped", "unmapped", 20)
    wait_total(region, worker, 40)
    assert "murmur2_random" in worker.event("unmapped")["mend"]
    worker.stop()
    start(nodes, topic, namespace={"partitioner": "crc32"})
    wait_until(lambda: region.hash().get("state") == "live", "live again", 10)
    assert region.hash()["partitioner"] == "crc32"


def test_worker_partitions_added(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, records(100))
    wait_total(region, worker, 100)
    old = region.log()
    topics.grow(topic, 6)
    worker.wait_for(lambda: region.log() != old, "a new log", 30)
    assert region.hash()["n"] == "2" and region.hash()["partitions"] == "6"
    assert region.hash()["state"] == "live"
    key = region.key(0, old)
    assert not region.r.exists(key) or 0 < region.r.pttl(key) <= 3600_000
    placed = topics.produce(topic, records(100, first=100))
    worker.wait_metric("fanfare_worker_running_partitions", 6, 30)
    for p in range(6):
        want = max((o + 1 for q, o in placed if q == p), default=0)
        worker.wait_for(lambda p=p, want=want: region.last(p) >= want, f"partition {p}", 20)
    assert region.hash()["state"] == "live"
    logs = [json.loads(r.value) for r in read_topic(kafka.bootstrap, REGISTRY)]
    assert [(r["n"], r["partitions"]) for r in logs if r["topic"] == topic] == [(1, 4), (2, 6)]


def test_worker_topic_recreated(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, [("k", b"%d" % i) for i in range(50)])
    wait_total(region, worker, 50)
    old = region.log()
    worker.stop()
    topics.delete(topic)
    wait_until(lambda: topic not in topics.admin.list_topics(timeout=10).topics, "deleted", 20)
    topics.create(topic, 4)
    topics.produce(topic, [("k", b"%d" % i) for i in range(1000, 1080)])
    worker.start(40)
    worker.wait_for(lambda: region.log() not in (old, None), "a new log", 30)
    wait_total(region, worker, 80)
    assert same_as_kafka(kafka, region) == 80
    assert worker.metrics().total("fanfare_worker_overlap_failures_total") >= 1


def test_worker_topic_recreated_shorter(kafka, topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, [("k", b"%d" % i) for i in range(50)])
    wait_total(region, worker, 50)
    old = region.log()
    topics.delete(topic)
    wait_until(lambda: topic not in topics.admin.list_topics(timeout=10).topics, "deleted", 20)
    topics.create(topic, 4)
    topics.produce(topic, [("k", b"%d" % i) for i in range(1000, 1005)])
    worker.wait_for(lambda: region.log() not in (old, None), "a new log", 60)
    wait_total(region, worker, 5)
    assert same_as_kafka(kafka, region) == 5


def test_worker_retention_overtakes(topics, topic, nodes, region):
    worker = start(nodes, topic)
    topics.produce(topic, [("k", b"%d" % i) for i in range(10)])
    wait_total(region, worker, 10)
    worker.stop()
    p = topics.produce(topic, [("k", b"%d" % i) for i in range(10, 30)])[0][0]
    topics.delete_records(topic, p, 20)
    worker.start(40)
    worker.wait_for(lambda: region.last(p) == 30, "the end", 20)
    positions = [(int(i.decode()[2:]), decode(f[b"d"])) for i, f in region.r.xrange(region.key(p))]
    assert [n for n, _ in positions] == [*range(1, 11), *range(21, 31)]
    assert 21 - positions[10][1]["distance"] == 20  # 11 … 20 are told as missing
    assert worker.metrics().total("fanfare_worker_gaps_total") == 1


def test_worker_redis_restarts_empty(kafka, topics, topic, nodes, redis_server):
    server = redis_server()
    region = Region(server, topic)
    worker = start(nodes, topic, redis=server)
    topics.produce(topic, records(200))
    wait_total(region, worker, 200)
    log = region.log()
    server.kill()
    topics.produce(topic, records(200, first=200))
    server.start()
    wait_total(region, worker, 400)
    assert region.log() == log
    assert same_as_kafka(kafka, region) == 400


def test_worker_full_redis(topics, topic, nodes, redis_server):
    server = redis_server(maxmemory="8mb")
    region = Region(server, topic)
    worker = start(nodes, topic, redis=server, stream_bytes="64MiB")
    value = json.dumps("x" * 1000)
    placed = topics.produce(topic, [(f"k{i % 20}", value) for i in range(12000)])
    worker.wait_metric("fanfare_worker_oom_total", 1, 30)
    for p in range(4):
        want = max((o + 1 for q, o in placed if q == p), default=0)
        worker.wait_for(lambda p=p, want=want: region.last(p) == want, f"the end of {p}", 60)
        region.entries(p)


def test_worker_says_what_is_missing(topics, topic, nodes, redis_server, kafka):
    def failing(words, **config):
        worker = nodes.worker(start=False, namespaces={"q": {"topic": topic}}, **config)
        worker.launch()
        worker.expect_exit(1)
        assert worker.wait(40) == 1
        why = worker.event("boot_failed")["why"]
        assert all(w in why for w in words), why

    failing(["no Redis at", "redis_url"], redis_url="redis://127.0.0.1:1")
    evicting = redis_server(maxmemory_policy="allkeys-lru")
    failing(["maxmemory-policy noeviction"], redis=evicting)
    failing(["no answer from Kafka"], kafka={"bootstrap.servers": "127.0.0.1:1"})
    topic = topic + "-missing"
    failing(["has no topic", "kafka-topics.sh --create"])
