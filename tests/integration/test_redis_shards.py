# SPDX-License-Identifier: Apache-2.0
"""A region's partitions at several Redis servers: what is at which, deep history, whose table counts. Moves
under load: tests/chaos/test_redis_shards.py."""

import json
import time

import pytest
import redis

from harness.region import Region, wait_total
from harness.util import scaled, wait_until

RUNNING = "fanfare_worker_running_partitions"
CHANNELS = [f"ch{i}" for i in range(200)]


@pytest.fixture
def servers(redis_server):
    return redis_server(), redis_server()


def table(version, **urls):
    return {"redis_shards": urls, "redis_shards_version": version}


async def test_all_of_a_partition_is_at_its_server(servers, nodes, topics, topic, fan):
    home, shard = servers
    topics.produce(topic, [(CHANNELS[i % 200], json.dumps({"i": i})) for i in range(20_000)])
    small = {"stream_bytes": 20_000, "rebuild_records": 1000}
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(redis=home, group=topic, namespaces=spaces, **small, **table(1, only=shard.url))
    edge = nodes.edge(redis=home, namespaces=spaces)
    worker.wait_metric(RUNNING, 4, 30)
    edge.wait_metric("fanfare_edge_shards", 1, 10)
    log = Region(home, topic).log()
    client = await fan(edge)
    for channel in CHANNELS[:20]:
        reply = await client.subscribe(channel, offset=1, epoch=log)
        assert reply["recovered"] is True
    for channel in CHANNELS[:20]:
        await client.wait_pubs(channel, 99, timeout=30)
    assert edge.metrics().total("fanfare_edge_deep_segments_total") > 0
    here = {k.decode().partition("{")[0] for k in home.client().keys("*")}
    assert here == {"ff:beacon", "ff:shards", f"ff:topic:{topic}"}
    assert shard.client().exists("ff:segs", Region(home, topic).key(0, log)) == 2


def test_the_greater_version_counts(servers, nodes, topics, topic):
    home, shard = servers
    common = {"redis": home, "group": topic, "namespaces": {"q": {"topic": topic}}}
    first = nodes.worker(**common, **table(3, only=shard.url))
    first.wait_metric(RUNNING, 4, 30)
    older = nodes.worker(**common, **table(2, only="home"))
    assert older.wait_event("shards_older")["used"] == "3"
    other = nodes.worker(**common, **table(3, another=shard.url))
    assert "raise redis_shards_version" in other.wait_event("shards_differ")["mend"]
    without = nodes.worker(**common)
    assert without.wait_event("shards")["version"] == "3"
    for node in (first, older, other):
        node.kill()  # librdkafka 2.0 may abort one that is stopped while it joins
    without.wait_metric(RUNNING, 4, 30)
    topics.produce(topic, [("k", "1")])
    region = Region(shard, topic)
    region.log = Region(home, topic).log
    wait_total(region, without, 1)
    assert not home.client().keys("ff:{*")


def test_who_follows_a_table_brings_it_back(servers, nodes, topics, topic):
    """A home that was emptied hears of it from workers whose own table is older, too: one that wrote theirs
    there would lead edges that come anew to servers where nobody appends."""
    home, shard = servers
    common = {"redis": home, "group": topic, "namespaces": {"q": {"topic": topic}}}
    first = nodes.worker(**common, **table(2, only=shard.url))
    older = nodes.worker(**common, **table(1, only="home"))
    assert older.wait_event("shards")["version"] == "2"
    first.stop()
    older.wait_metric(RUNNING, 4, 30)
    home.client().delete("ff:shards")
    wait_until(lambda: home.client().exists("ff:shards"), "there is a table again", 10)
    assert home.client().hgetall("ff:shards") == {b"version": b"2", b"s:only": shard.url.encode()}


def test_of_two_tables_of_one_version_all_follow_the_one_at_home(servers, nodes, topics, topic):
    """Home was emptied, and a worker came first that has another table of that version: who runs already must
    not go on elsewhere than who comes."""
    home, shard = servers
    spaces = {"q": {"topic": topic}}
    worker = nodes.worker(redis=home, group=topic, namespaces=spaces, **table(2, only=shard.url))
    edge = nodes.edge(redis=home, namespaces=spaces)
    worker.wait_metric(RUNNING, 4, 30)
    edge.wait_metric("fanfare_edge_shards", 1, 10)
    home.client().delete("ff:shards")
    home.client().hset("ff:shards", mapping={"version": 2, "s:only": "home"})
    for node in worker, edge:
        node.wait_for(lambda node=node: len(node.events("shards")) == 2, "it follows", 10)
    worker.wait_metric(RUNNING, 4, 30)
    topics.produce(topic, [("k", "1")])
    wait_total(Region(home, topic), worker, 1)


def wait_reads(server, count):
    """Until the table was read so many times more."""
    watcher = redis.Redis(server.host.address, server.port, socket_timeout=scaled(10))
    end = time.monotonic() + scaled(20)
    with watcher.monitor() as m:
        while count:
            assert time.monotonic() < end
            count -= m.next_command()["command"].startswith("HGET ff:shards")


def test_what_is_wrong_with_a_table_is_said_when_it_changes(servers, nodes, topics, topic):
    """It is read each second: a mistake in it would else fill the log until somebody sees it."""
    home, _ = servers
    spaces = {"q": {"topic": topic}}
    worker = nodes.worker(redis=home, group=topic, namespaces=spaces, **table(1, only="home"))
    worker.wait_event("shards")
    r = home.client()

    def said(event, count):
        worker.wait_for(lambda: len(worker.events(event)) >= count, f"{event} × {count}", 10)
        wait_reads(home, 3)
        assert len(worker.events(event)) == count

    r.hset("ff:shards", mapping={"version": 2, "s:only": "http://x"})
    said("shards_unusable", 1)
    r.hset("ff:shards", "version", 3)
    said("shards_unusable", 2)
    r.hset("ff:shards", "s:no name", "home")
    said("shards_unknown", 1)
    r.set("ff:shards", "x")
    said("shards_unknown", 2)
    r.delete("ff:shards")
    r.hset("ff:shards", mapping={"version": 4, "s:only": "home"})
    worker.wait_for(lambda: worker.events("shards")[-1]["version"] == "4", "it is taken", 10)


def filled(worker, servers, topics, topic):
    """(a client of the shard, the keys there), when the worker has carried some records to it."""
    home, shard = servers
    worker.wait_metric(RUNNING, 4, 30)
    topics.produce(topic, [(f"k{i}", "1") for i in range(100)])
    region = Region(shard, topic)
    region.log = Region(home, topic).log
    wait_total(region, worker, 100)
    r = shard.client()
    keys = r.keys("ff:{*")
    return r, keys


def test_a_stream_in_use_does_not_expire(servers, nodes, topics, topic):
    """As a worker would make it that is late with a table, or knows the server by its URL of before."""
    home, shard = servers
    spaces = {"q": {"topic": topic}}
    worker = nodes.worker(redis=home, group=topic, namespaces=spaces, **table(1, only=shard.url))
    r, keys = filled(worker, servers, topics, topic)
    for key in keys:
        r.pexpire(key, 60_000)
    wait_until(lambda: all(r.ttl(key) == -1 for key in keys), "they stay", 20)


def test_what_an_older_log_left_at_a_server_expires(servers, nodes, topics, topic):
    """The worker that begins the new one isn't connected there yet when it hears of the old one."""
    home, shard = servers
    common = {"redis": home, "group": topic, "namespaces": {"q": {"topic": topic}}}
    common |= table(1, only=shard.url)
    worker = nodes.worker(**common)
    r, keys = filled(worker, servers, topics, topic)
    worker.stop()
    topics.grow(topic, 6)
    nodes.worker(**common).wait_metric(RUNNING, 6, 30)
    wait_until(lambda: all(r.ttl(key) != -1 for key in keys), "they end", 10)


def test_a_shard_that_became_a_replica_is_left(servers, nodes, topics, topic):
    """Connections stay over a plain REPLICAOF: deep history would be refused there for ever, wherever the
    server's address leads by then."""
    home, shard = servers
    spaces = {"q": {"topic": topic}}
    worker = nodes.worker(redis=home, group=topic, namespaces=spaces, **table(1, only=shard.url))
    r, _ = filled(worker, servers, topics, topic)
    log = Region(home, topic).log()

    def is_connected():
        return any(c["name"] == "fanfare-history" for c in r.client_list())

    def want():
        home.client().rpush("ff:want", f"{log} 0 0")

    wait_until(lambda: want() or is_connected(), "its wants are looked at", 10)
    r.replicaof("127.0.0.1", home.port)
    want()
    wait_until(lambda: not is_connected(), "it is left", 10)
