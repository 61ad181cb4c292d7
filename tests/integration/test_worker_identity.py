# SPDX-License-Identifier: Apache-2.0
"""A topic is not what it was, or Redis isn't: new logs, retention, a full or empty Redis, boot's words."""

import json

import pytest

from harness.oracle import read_topic
from harness.region import Region, decode, records, same_as_kafka, start, wait_total
from harness.util import wait_until

REGISTRY = "fanfare.logs"


@pytest.fixture
def region(redis, topic):
    return Region(redis, topic)


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


def test_worker_configured_log_keeps_its_count(topics, topic, nodes, region):
    worker = start(nodes, topic, namespace={"log_id": "mirror01"})
    topics.produce(topic, records(40))
    worker.wait_for(lambda: region.hash().get("log") == "mirror01", "the topic's hash", 20)
    worker.stop()
    topics.grow(topic, 6)
    again = nodes.worker(start=False, namespaces={"q": {"topic": topic, "log_id": "mirror01"}})
    again.launch()
    again.expect_exit(1)
    assert again.wait(40) == 1
    why = again.event("boot_failed")["why"]
    assert all(w in why for w in (topic, "6 partitions", "begun with 4", "another log_id")), why


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


def test_worker_says_what_is_missing(topics, topic, nodes, redis_server, kafka, tmp_path):
    def failing(words, **config):
        worker = nodes.worker(start=False, namespaces={"q": {"topic": topic}}, **config)
        worker.launch()
        worker.expect_exit(1)
        assert worker.wait(40) == 1
        why = worker.event("boot_failed")["why"]
        assert all(w in why for w in words), why
        return "\n".join(worker.lines())

    failing(["no Redis at", "redis_url"], redis_url="redis://127.0.0.1:1")
    evicting = redis_server(maxmemory_policy="allkeys-lru")
    failing(["maxmemory-policy noeviction"], redis=evicting)
    replica = redis_server()
    replica.client().replicaof("127.0.0.1", evicting.port)
    failing(["is a replica", "set redis_url to the master"], redis=replica)
    failing(["no answer from Kafka"], kafka={"bootstrap.servers": "127.0.0.1:1"})
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    from_file = {"security.protocol_file": str(secret)}  # no such one: it must not be shown
    assert "hunter2" not in failing(["kafka.security.protocol: the file's content"], kafka=from_file)
    topic = topic + "-missing"
    create = f"kafka-topics.sh --create --topic {topic} --partitions 16 --bootstrap-server {kafka.bootstrap}"
    failing(["has no topic", create])


def test_an_idle_worker_leaves_a_replica(redis, redis_server, topic, nodes):
    """Made a replica under a connection that stays: nothing is appended that could be refused."""
    server = redis_server()
    worker = start(nodes, topic, redis=server)
    worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
    server.client().replicaof("127.0.0.1", redis.port)
    worker.wait_for(lambda: any("replica" in e["why"] for e in worker.events("redis_down")), "it is said", 10)
    server.client().replicaof("NO", "ONE")
    worker.wait_metric("fanfare_worker_running_partitions", 4, 30)
