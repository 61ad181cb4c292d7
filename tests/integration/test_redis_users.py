# SPDX-License-Identifier: Apache-2.0
"""The Redis users of docs/operations.md have the rights that worker and edge need.

Both run as these users through all that they do with Redis; `ACL LOG` would hold whatever was refused.
"""

import asyncio
import json
import re

import pytest

from harness.region import Region
from harness.util import REPO, wait_until

MANUAL = (REPO / "docs/operations.md").read_text()
LINES = re.findall(r"^ *ACL SETUSER (fanfare-\w+) (.*)$", MANUAL, re.M)
ADOPTIONS, RUNNING = "fanfare_worker_adoptions_total", "fanfare_worker_running_partitions"
CHANNELS = [f"ch{i}" for i in range(200)]


def produce(topics, topic, count):
    return topics.produce(topic, [(CHANNELS[i % 200], json.dumps({"i": i})) for i in range(count)])


@pytest.fixture
def server(redis_server):
    """A Redis with the users as the document makes them."""
    own = redis_server()
    for user, rights in LINES:
        own.client().execute_command("ACL", "SETUSER", user, *rights.replace("PASSWORD", "secret").split())
    return own


@pytest.fixture
def region(server, topics, topic):
    produce(topics, topic, 20_000)  # most of it is older than the streams will be
    return Region(server, topic)


def as_user(server, user, topic):
    url = server.url.replace("//", f"//{user}@") + "/0"
    return {"redis_url": url, "redis_password": "secret", "namespaces": {"": {"topic": topic}}}


def start_worker(nodes, server, topic):
    # The index is small, so generations of it end; the group notices no death for a while.
    small = {"stream_bytes": 20_000, "rebuild_records": 1000, "index_bytes": 4000}
    kafka = {"session.timeout.ms": 45000}
    return nodes.worker(**as_user(server, "fanfare-worker", topic), **small, group=topic, kafka=kafka)


def refused(server):
    """[(user, command or key, …)] of what the users were not allowed."""
    log = [dict(zip(e[::2], e[1::2], strict=True)) for e in server.client().execute_command("ACL", "LOG")]
    return [(e[b"username"], e[b"reason"], e[b"object"], e[b"context"]) for e in log]


def wait_level(region, worker, placed):
    """All of it is in the streams, and the indexes reach as far."""
    high = {}
    for partition, offset in placed:
        high[partition] = max(high.get(partition, 0), offset + 1)

    def probe():
        ends = [region.r.hget(region.key(p) + ":last", "") or b"0 0 0" for p in high]
        return all(region.last(p) >= at for p, at in high.items()) and all(
            int(end.split()[1]) >= at for end, at in zip(ends, high.values(), strict=True)
        )

    worker.wait_for(probe, "streams and indexes reach the end", 30)


def trouble(region, server, worker, topics, topic):
    """What a worker must be able to write when Redis loses something, or is full."""
    level = lambda: wait_level(region, worker, produce(topics, topic, 1000))  # noqa: E731
    level()
    region.r.delete(*[region.key(p) + ":side" for p in range(4)])
    region.r.script_flush()
    level()
    region.r.delete(*[region.key(p) + ":last" for p in range(4)])
    level()
    region.r.delete(region.key(0))
    level()
    server.client().config_set("maxmemory", 1)
    produce(topics, topic, 1000)
    worker.wait_metric("fanfare_worker_oom_total", 1, 20)
    server.client().config_set("maxmemory", 0)
    level()


async def look_back(fan, edge, region):
    """Everything that an edge asks of Redis."""
    client = await fan(edge)
    log = region.log()
    await client.subscribe("ch0")  # a tail, then more of them: the first one's XREAD is interrupted
    for channel in CHANNELS[1:20]:
        reply = await client.subscribe(channel, offset=1, epoch=log)
        assert reply["recovered"] is True
    for channel in CHANNELS[1:20]:
        await client.wait_pubs(channel, 100, timeout=30)
    history = await client.history("ch30", limit=200, reverse=True)
    assert history["publications"]


async def test_all_that_worker_and_edge_do(server, region, nodes, topics, topic, fan):
    workers = [start_worker(nodes, server, topic) for _ in range(2)]
    for worker in workers:
        worker.wait_metric(RUNNING, 2, 30)
    edge = nodes.edge(**as_user(server, "fanfare-edge", topic))
    await asyncio.to_thread(trouble, region, server, workers[0], topics, topic)
    await look_back(fan, edge, region)
    # A segment that nobody can read goes, and is asked for anew.
    for key in [k for k in region.r.keys("ff:{*}:seg:*") if not k.endswith(b":want")]:
        region.r.set(key, "what is this", px=60_000)
    again = nodes.edge(**as_user(server, "fanfare-edge", topic))
    client = await fan(again)
    reply = await client.subscribe("ch150", offset=1, epoch=region.log())
    assert reply["recovered"] is True
    await client.wait_pubs("ch150", 100, timeout=30)
    again.wait_event("segment_unreadable")
    again.wait_metric("fanfare_edge_index_lookups_total", 1, 10)

    workers[0].kill()
    workers[1].wait_metric(ADOPTIONS, 2, 10)
    old = region.log()
    await asyncio.to_thread(topics.grow, topic, 6)  # a new log: the old streams expire, their rows go
    wait_until(lambda: region.log() != old, "the new log", 30)
    wait_until(lambda: region.r.ttl(region.key(0, old)) > 0, "the old streams expire", 10)
    workers[1].stop()
    assert refused(server) == []


def test_the_scripts_commands_are_allowed():
    """Also those that no test waits for: the sweep of the beacon takes a minute."""
    (worker,) = (rights for user, rights in LINES if user == "fanfare-worker")
    scripts = "".join(p.read_text() for p in (REPO / "fanout-worker").glob("*.lua"))
    used = {c.lower() for c in re.findall(r"redis\.call\('(\w+)'", scripts)}
    allowed = {right.partition("|")[0] for right in re.findall(r"\+([a-z|]+)", worker)}
    assert used - allowed == set()


def test_one_user_for_both_has_the_rights_of_both():
    allowed = {user: {w for w in rights.split() if w[0] == "+"} for user, rights in LINES}
    (more,) = re.findall(r"the worker's line and `([^`]*)`", MANUAL)
    assert set(more.split()) == allowed["fanfare-edge"] - allowed["fanfare-worker"]
