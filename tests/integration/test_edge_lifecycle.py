# SPDX-License-Identifier: Apache-2.0
"""An edge's beginning and end, its health, and a Redis that dies or loses everything beneath it."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from harness.stream import FakeLog
from harness.util import free_port, scaled


def numbers(first, count):
    return [("a", n) for n in range(first, first + count)]


def got(client):
    return [p["data"] for p in client.pubs["a"]]


def test_health_and_metrics(edges, redis):
    edge = edges()
    for port in (None, edge.address):
        assert edge.get("/health/live", port) == (200, "ok\n")
        status, why = edge.get("/health/ready", port)
        assert status == 503 and ("topic t" in why or "Redis" in why)
    with FakeLog(redis, "t"):
        for port in (None, edge.address):
            edge.wait_for(lambda p=port: edge.get("/health/ready", p)[0] == 200, "ready", 10)
    assert edge.metrics().total("fanfare_edge_redis_up") == 1
    assert edge.metrics().total("process_open_fds") > 5
    assert edge.get("/metrics", edge.address)[0] == 404  # not on the client port
    assert edge.get("/nothing")[0] == 404


def test_health_beside_a_page(edges, fake_log, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("a page")
    edge = edges(page_dir=str(tmp_path / "page"))
    edge.wait_for(lambda: edge.get("/health/ready")[0] == 200, "ready", 10)
    assert edge.get("/health/live", edge.address) == (200, "ok\n")
    assert edge.get("/health/ready", edge.address)[0] == 200
    assert edge.get("/", edge.address) == (200, "a page")
    assert [edge.get(path, edge.address)[0] for path in ("/health/other", "/live", "/other")] == [404] * 3


def health(node, *words):
    """(exit code, what is printed) of the program's `health` with the node's own configuration."""
    argv = [node.argv[0], "health", *words, "--config", str(node.config_path)]
    argv += ["--set", f"admin_listen={node.admin}"]  # the configured port is any
    done = subprocess.run(argv, env=node.env, capture_output=True, text=True, timeout=scaled(20))
    return done.returncode, done.stdout + done.stderr


def test_health_by_the_program_itself(edges, redis):
    edge = edges()
    code, said = health(edge)
    assert code == 1 and said == edge.get("/health/ready")[1]
    assert health(edge, "live") == (0, "ok\n")
    with FakeLog(redis, "t"):
        edge.wait_for(lambda: health(edge) == (0, "ok\n"), "it says ready", 10)
    assert health(edge, "nonsense")[0] == 2
    edge.stop()
    code, said = health(edge)
    assert code == 1 and f"no answer from admin_listen \"{edge.admin}\": " in said


async def test_sigterm_tells_clients_and_ends(edges, fake_log, fan):
    edge = edges(drain_time="1s")
    clients = [await fan(edge) for _ in range(20)]
    began = time.monotonic()
    ending = asyncio.create_task(asyncio.to_thread(edge.stop))
    for client in clients:
        assert (await client.wait_closed())[0] == 3001
    assert await ending == 0
    assert time.monotonic() - began < 3.5


async def test_sigterm_ends_in_time_with_clients_that_do_not_read(edges, fake_log, fan):
    edge = edges(drain_time="500ms")
    client = await fan(edge)
    await client.subscribe("a")
    client.pause()
    for _ in range(8):
        fake_log.append([("a", "x" * 2000) for _ in range(500)])
    await asyncio.to_thread(edge.wait_metric, "fanfare_edge_lagging", 1)
    began = time.monotonic()
    assert await asyncio.to_thread(edge.stop) == 0
    assert time.monotonic() - began < 0.5 + 2 + 1.5


def test_a_second_edge_on_the_port_refuses(edges, fake_log):
    first = edges()
    second = edges(start=False, listen=first.address)
    second.launch()
    second.expect_exit(1)
    assert second.wait(10) == 1
    why = second.event("boot_failed")["why"]
    assert first.address in why and "in use" in why
    assert first.get("/health/live")[0] == 200


# Runs a program with descriptors 3 to 3049 in use.
OCCUPIED = "import os, sys; [os.dup2(0, i) for i in range(3, 3050)]; os.execv(sys.argv[1], sys.argv[1:])"


async def test_clients_of_more_than_one_table_of_descriptors(edges, fake_log, fan):
    edge = edges(start=False, shards=2)
    edge.argv = [sys.executable, "-c", OCCUPIED, *edge.argv]
    await asyncio.to_thread(edge.start)
    clients = []
    for _ in range(12):
        clients += await asyncio.gather(*(fan(edge) for _ in range(100)))
    assert max(int(fd) for fd in os.listdir(f"/proc/{edge.pid}/fd")) > 4096
    for client in clients[0], clients[-1]:
        await client.subscribe("a")
    fake_log.append([("a", 1)])
    for client in clients[0], clients[-1]:
        await client.wait_pubs("a", 1)
    assert await asyncio.to_thread(edge.stop) == 0
    for client in clients:
        assert (await client.wait_closed())[0] == 3001


def test_no_redis_at_start(edges):
    port = free_port()
    edge = edges(start=False, redis_url=f"redis://127.0.0.1:{port}")
    edge.launch()
    edge.expect_exit(1)
    assert edge.wait(10) == 1
    assert f"no Redis at 127.0.0.1:{port}" in edge.event("boot_failed")["why"]


def rebuild(log, values):
    """What a worker does for an absent stream: the same records at the same positions."""
    log.last = [0] * log.partitions
    log.append(values)


@pytest.mark.parametrize("how", ["killed", "flushed"])
async def test_redis_loses_everything(edges, redis_server, fan, how):
    redis = redis_server()
    with FakeLog(redis, "t") as log:
        edge = edges(redis=redis)
        client = await fan(edge)
        await client.subscribe("a")
        log.append(numbers(0, 50))
        await client.wait_pubs("a", 50)
        if how == "killed":
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(edge.wait_metric, "fanfare_edge_redis_downs_total", 1)
            await asyncio.to_thread(redis.start)
        else:
            redis.flush()
        log.register()
        for first in range(0, 60, 10):  # the old ones again, then ten new ones
            if first == 0:
                rebuild(log, numbers(0, 10))
            else:
                log.append(numbers(first, 10))
        await client.wait_pubs("a", 60, timeout=15)
        log.append(numbers(60, 10))
        await client.wait_pubs("a", 70, timeout=15)
        assert got(client) == list(range(70))
        assert not client.pushes
        late = await fan(edge)
        sub = await late.subscribe("a", offset=1, epoch=log.log)
        assert sub["recovered"]
        await late.wait_pubs("a", 69)
        assert got(late) == list(range(1, 70))


async def test_a_replica_is_said(edges, redis, redis_server, fan):
    """Reading from one is no mistake by itself; an edge that was pointed at one by mistake looks so."""
    replica = redis_server()
    replica.client().replicaof("127.0.0.1", redis.port)
    with FakeLog(redis, "t") as log:
        primary, edge = edges(), edges(redis=replica)
        told = await asyncio.to_thread(edge.wait_event, "redis_role")
        assert told["role"] == "slave"
        client = await fan(edge)
        await asyncio.to_thread(edge.wait_for, lambda: edge.get("/health/ready")[0] == 200, "ready", 20)
        await client.subscribe("a")
        log.append(numbers(0, 5))
        await client.wait_pubs("a", 5)
        assert not primary.event("redis_role") and not edge.event("beacon_stale")
    stale = await asyncio.to_thread(edge.wait_event, "beacon_stale")
    assert stale["role"] == "slave" and int(stale["age_ms"]) >= 3000
    replica.client().replicaof("NO", "ONE")
    await asyncio.to_thread(
        edge.wait_for, lambda: edge.event("redis_role")["role"] == "master", "a master", 10
    )


async def test_a_user_who_may_not_ask_for_the_role(edges, redis_server, fan):
    server = redis_server()
    rights = "on >secret %R~ff:* -@all +@connection +hgetall +xread +xrange +xrevrange"
    server.client().execute_command("ACL", "SETUSER", "edge", *rights.split())
    url = server.url.replace("://", "://edge:secret@")
    with FakeLog(server, "t") as log:
        edge = edges(redis_url=url)
        client = await fan(edge)
        await client.subscribe("a")
        log.append(numbers(0, 1))
        await client.wait_pubs("a", 1)
    stale = await asyncio.to_thread(edge.wait_event, "beacon_stale")
    assert stale["role"] == "unknown"


async def test_redis_stops_for_a_while(edges, redis_server, fan):
    """Nothing is lost when Redis only was away: it stops, and goes on with what it has."""
    redis = redis_server()
    with FakeLog(redis, "t") as log:
        client = await fan(edges(redis=redis))
        await client.subscribe("a")
        log.append(numbers(0, 10))
        await client.wait_pubs("a", 10)
        for kind in (b"normal", b"pubsub"):
            redis.client().execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        log.append(numbers(10, 10))
        await client.wait_pubs("a", 20)
        assert got(client) == list(range(20))
