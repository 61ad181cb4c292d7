# SPDX-License-Identifier: Apache-2.0
"""A region whose partitions are divided among several Redis servers: one more comes, they come and go, one is
lost. Streams that move are written again from Kafka; clients resume all the time."""

import signal

import pytest

from harness.region import Region
from harness.util import wait_until

RUNNING, ASSIGNED = "fanfare_worker_running_partitions", "fanfare_worker_assigned_partitions"
PARTITIONS = 4


@pytest.fixture
def servers(redis_server):
    return [redis_server() for _ in range(3)]


def table(version, **urls):
    return {"redis_shards": urls, "redis_shards_version": version}


def set_table(home, version, **urls):
    """As a worker with that configuration would write it."""
    pipe = home.client().pipeline()
    was = {k: v for k, v in home.client().hgetall("ff:shards").items() if k.startswith(b"s:")}
    pipe.delete("ff:shards")
    pipe.hset("ff:shards", mapping={"version": version} | {f"s:{k}": v for k, v in urls.items()})
    if was:
        pipe.hset("ff:shards", mapping={b"w" + k[1:]: v for k, v in was.items()})
    pipe.execute()


def held_by(server, storm, log):
    """The partitions of the log whose streams are there to stay."""
    r, region = server.client(), Region(server, storm.topic)
    return {p for p in range(PARTITIONS) if r.ttl(region.key(p, log)) == -1}


def wait_divided(storm, servers, version):
    """All know the table, and each partition is at one server."""
    log = Region(servers[0], storm.topic).log()
    wait_until(
        lambda: all(
            any(e["version"] == str(version) for e in n.events("shards"))
            for n in (*storm.workers, *storm.edge_nodes)
            if n.is_running()
        ),
        f"all follow version {version}",
        20,
    )

    def divided():
        held = [held_by(s, storm, log) for s in servers]
        return sum(map(len, held)) == PARTITIONS and set().union(*held) == set(range(PARTITIONS)) and held

    return wait_until(divided, "each partition is somewhere", 30, every=0.1)


def wait_running(storm):
    """By their owners: nobody is adopted, or about to join."""
    running = [w for w in storm.workers if w.is_running()]

    def all_are(metric):
        return sum(w.metrics().total(metric) for w in running) == PARTITIONS

    wait_until(lambda: all_are(RUNNING) and all_are(ASSIGNED), "all of them run", 40, every=0.1)


@pytest.mark.short
def test_a_shard_is_added(storm, servers):
    """The procedure of docs/operations.md: the workers are rolled with the new table. Names are tried until
    some partitions move and some stay: where they are depends on the log's id."""
    home, more, _ = servers
    for _ in range(2):
        storm.worker(redis=home)
    storm.edges(2, redis=home)
    with storm.load("Redis: a shard is added by rolling the workers"):
        held, version = [range(PARTITIONS), ()], 0
        while not (held[0] and held[1]) or version == 0:
            version += 1
            for worker in storm.workers:
                worker.stop()
                worker.config |= table(version, one="home", **{f"more{version}": more.url})
                worker.start()
                wait_running(storm)
            held = wait_divided(storm, servers[:2], version)
        storm.wait_more(4000)
    assert [len(e.events("hole")) for e in storm.edge_nodes] == [0, 0]


def test_shards_come_and_go(storm, servers):
    home, two, three = servers
    storm.worker(redis=home)
    storm.worker(redis=home)
    storm.edges(2, redis=home)
    with storm.load("Redis: shards come and go, the table changes under everybody"):
        tables = [
            {"b": two.url},  # all of it leaves home
            {"a": "home", "b": two.url, "c": three.url},
            {"a": "home", "c": three.url},
            {"b": two.url},  # streams return, and what was left of them hasn't ended yet
            {"a": "home"},
        ]
        for version, urls in enumerate(tables, start=1):
            set_table(home, version, **urls)
            wait_divided(storm, servers, version)
            wait_running(storm)
            storm.wait_more(2000)


def test_a_shard_is_lost(storm, servers):
    home, shard, _ = servers
    storm.worker(redis=home, **table(1, only=shard.url))
    storm.edges(2, redis=home)
    with storm.load("Redis: SIGKILL and restart of a shard, nothing kept"):
        wait_divided(storm, servers[:2], 1)
        assert shard.kill() == -signal.SIGKILL
        storm.wait_event(storm.workers[0], "redis_down")
        shard.start()
        wait_running(storm)
        storm.wait_more(4000)


def test_home_is_lost(storm, servers):
    """Streams go on at the shard while the beacon stands still; who has the table writes it again."""
    home, shard, _ = servers
    worker = storm.worker(redis=home, **table(1, only=shard.url))
    storm.edges(2, redis=home)
    with storm.load("Redis: SIGKILL and restart of home, nothing kept, streams at a shard"):
        wait_divided(storm, servers[:2], 1)
        assert home.kill() == -signal.SIGKILL
        storm.wait_event(worker, "redis_down")
        storm.wait_more(2000)
        home.start()
        wait_until(lambda: home.client().hget("ff:shards", "version") == b"1", "the table is back", 20)
        storm.wait_more(4000)
        assert held_by(home, storm, Region(home, storm.topic).log()) == set()
