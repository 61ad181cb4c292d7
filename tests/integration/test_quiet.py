# SPDX-License-Identifier: Apache-2.0
"""Clients of quiet channels, back with positions that neither stream nor Kafka reaches any more: the
last-position index knows that they missed nothing, and of whom it doesn't know that.

What is true is what was produced: the streams here keep some hundred entries, and Kafka's older
records are deleted.
"""

import asyncio
import json
import random

import pytest
import redis as redis_py

from harness.region import Region
from harness.util import wait_until

BUSY = [f"busy{i}" for i in range(12)]  # in each of the partitions there are some
KEEP = 20_000  # bytes of a stream


class World:
    """A topic, its region, and where each record went."""

    def __init__(self, topics, topic, region):
        self.topics, self.topic, self.region = topics, topic, region
        self.partition = {}
        self.at = {}  # channel: its positions
        self.high = {}  # partition: the last position
        self.low = {}  # partition: positions above it are still in Kafka
        self.produced = 0

    def produce(self, records):
        placed = self.topics.produce(self.topic, records)
        for (key, _), (partition, offset) in zip(records, placed, strict=True):
            self.partition[key] = partition
            self.at.setdefault(key, []).append(offset + 1)
            self.high[partition] = max(self.high.get(partition, 0), offset + 1)
        self.produced += len(records)

    def say(self, *keys):
        self.produce([(key, json.dumps({"n": self.produced + i})) for i, key in enumerate(keys)])

    def busy(self, count):
        filler = "x" * 60
        self.produce([(BUSY[i % 12], json.dumps({"i": i, "pad": filler})) for i in range(count)])

    def forget(self, keep):
        """Kafka keeps only so many of each partition."""
        for partition, high in self.high.items():
            self.low[partition] = high - keep
            self.topics.delete_records(self.topic, partition, high - keep)

    def index(self, partition):
        """[since, upto, bytes]; None: there is none, or not one that can be read."""
        try:
            text = self.region.r.hget(self.region.key(partition) + ":last", "")
            return [int(n) for n in text.split()] if text else None
        except (redis_py.ResponseError, ValueError):
            return None

    def wait_index(self):
        """All is in the streams, and the indexes reach their ends."""

        def probe():
            for partition, high in self.high.items():
                index = self.index(partition)
                if self.region.last(partition) < high or not index or index[1] < high:
                    return False
            return True

        wait_until(probe, "the indexes reach the streams' ends", 30)

    def indexes(self):
        """Their keys: there is one in each partition."""
        return [self.region.key(p) + ":last" for p in self.high]


@pytest.fixture
async def world(nodes, topics, topic, redis):
    """Three channels spoke early, one of them later again; the streams have forgotten all that."""
    space = {"": {"topic": topic}}
    worker = nodes.worker(namespaces=space, stream_bytes=KEEP, rebuild_records=1000)
    world = World(topics, topic, Region(redis, topic))
    world.worker, world.space = worker, space
    # Attached first: else all of it is rebuilt from somewhere behind what the quiet ones said.
    worker.wait_metric("fanfare_worker_running_partitions", 4)
    await asyncio.to_thread(world.busy, 100)
    world.say("quiet", "moved", "late")
    await asyncio.to_thread(world.wait_index)
    await asyncio.to_thread(world.busy, 2000)
    world.say("moved")
    await asyncio.to_thread(world.busy, 2000)
    await asyncio.to_thread(world.wait_index)
    return world


async def resume_all(client, world, cursors):
    """{channel: True recovered, False told, None an error}, asked side by side."""
    log = world.region.log()
    asks = [
        {"subscribe": {"channel": ch, "recover": True, "epoch": log, "offset": at}}
        for ch, at in cursors.items()
    ]
    frames = [client.batch(asks[i : i + 100], 20) for i in range(0, len(asks), 100)]
    replies = [reply for frame in await asyncio.gather(*frames) for reply in frame]
    said = {}
    for (channel, at), reply in zip(cursors.items(), replies, strict=True):
        if "error" in reply:
            assert reply["error"]["code"] in (100, 111)
            said[channel] = None
            continue
        said[channel] = reply["subscribe"].get("recovered", False)
        assert not said[channel] or reply["subscribe"]["offset"] == at
    return said


async def resume(client, world, channel, position):
    return (await resume_all(client, world, {channel: position}))[channel]


async def nothing_is_proved(world, nodes, fan):
    """By a client of an edge that knows nothing yet; the client."""
    client = await fan(nodes.edge(namespaces=world.space))
    assert await resume(client, world, "quiet", world.at["quiet"][-1]) is not True
    return client


async def index_again(world):
    """The next worker makes it good, and isn't kept from its work."""
    world.worker.start()
    await asyncio.to_thread(world.busy, 100)
    await asyncio.to_thread(world.wait_index)


async def test_quiet_for_longer_than_kafka_remembers(world, nodes, fan):
    world.forget(60)
    world.worker.stop()  # nobody reads deep history
    edge = nodes.edge(namespaces=world.space)
    client = await fan(edge)
    assert await resume(client, world, "quiet", world.at["quiet"][-1]) is True
    assert await resume(client, world, "never", world.at["quiet"][-1]) is True
    assert await resume(client, world, "moved", world.at["moved"][0]) is not True
    assert await resume(client, world, "late", world.at["late"][0] - 1) is not True
    assert edge.metrics().total("fanfare_edge_index_answers_total", result="proof") == 2
    # and they are live
    world.worker.start()
    world.say("quiet", "never")
    for channel in ("quiet", "never"):
        (pub,) = await client.wait_pubs(channel, 1)
        assert pub["offset"] == world.at[channel][-1]


async def test_what_moved_since_comes(world, nodes, fan):
    """The proof ends where the index does; the rest is in the stream."""
    world.worker.stop()
    edge = nodes.edge(namespaces=world.space)
    before = world.at["quiet"][-1]
    world.worker.start()
    world.say(*["quiet"] * 3)
    client = await fan(edge)
    assert await resume(client, world, "quiet", before) is True
    pubs = await client.wait_pubs("quiet", 3)
    assert [p["offset"] for p in pubs] == world.at["quiet"][1:]


async def test_a_storm_of_quiet_clients(world, nodes, fan):
    world.forget(60)
    edge = nodes.edge(namespaces=world.space, channels_max=2000)
    client = await fan(edge)
    names = [f"silent{i}" for i in range(1000)]
    said = await resume_all(client, world, dict.fromkeys(names, max(world.at["quiet"])))
    assert set(said.values()) == {True}
    # a turn's are one command for each of the 4 partitions; the frames come in ten turns or more
    assert edge.metrics().total("fanfare_edge_index_lookups_total") < 200
    assert edge.metrics().total("fanfare_edge_deep_segments_total") == 0


async def test_an_index_that_is_gone_proves_nothing(world, nodes, fan, redis):
    world.forget(60)
    world.worker.stop()
    redis.client().delete(*world.indexes())
    client = await nothing_is_proved(world, nodes, fan)
    await client.close()
    # A new one begins where its worker begins: it knows nothing of what was before.
    await index_again(world)
    client = await nothing_is_proved(world, nodes, fan)
    world.say("quiet")
    (pub,) = await client.wait_pubs("quiet", 1)
    assert pub["offset"] == world.at["quiet"][-1]


@pytest.mark.parametrize("how", ["text", "range", "field"])
async def test_an_index_nobody_can_read_proves_nothing(world, nodes, fan, redis, how):
    world.forget(60)
    world.worker.stop()
    r = redis.client()
    for key in world.indexes():
        if how == "text":
            r.set(key, "what is this")
        elif how == "range":
            r.hset(key, "", "1 two 3")
        else:
            r.hset(key, "quiet", "0x10")
    client = await nothing_is_proved(world, nodes, fan)
    await client.close()
    await index_again(world)


def saved(redis, pattern):
    return {key: redis.client().dump(key) for key in redis.client().keys(pattern)}


def restore(redis, copy):
    for key, value in copy.items():
        redis.client().restore(key, 0, value, replace=True)


async def test_an_index_of_an_old_redis_does_not_lie(world, nodes, fan, redis):
    old = saved(redis, "ff:{*}:last*")
    before = world.at["quiet"][-1]
    world.say("quiet")
    await asyncio.to_thread(world.busy, 2000)
    await asyncio.to_thread(world.wait_index)
    world.forget(60)
    world.worker.stop()
    restore(redis, old)
    client = await fan(nodes.edge(namespaces=world.space))
    assert await resume(client, world, "quiet", before) is not True
    await client.close()
    world.worker.start()  # it no longer meets the stream: a new one begins
    await asyncio.to_thread(world.busy, 100)
    await asyncio.to_thread(world.wait_index)
    client = await fan(nodes.edge(namespaces=world.space))
    assert await resume(client, world, "quiet", before) is not True


async def test_a_region_restored_from_an_old_copy(world, nodes, fan, redis):
    """Streams and indexes are both behind: what is missing comes when the worker has written it again."""
    old = saved(redis, "ff:{*}*")
    before = world.at["quiet"][-1]
    world.say("quiet")
    await asyncio.to_thread(world.busy, 400)
    await asyncio.to_thread(world.wait_index)
    edge = nodes.edge(namespaces=world.space)
    client = await fan(edge)
    restore(redis, old)
    assert await resume(client, world, "quiet", before) is True
    (pub,) = await client.wait_pubs("quiet", 1, 20)
    assert pub["offset"] == world.at["quiet"][-1]
    await asyncio.to_thread(world.wait_index)


async def test_a_full_redis_leaves_it_behind(world, nodes, fan, redis):
    r = redis.client()
    await asyncio.to_thread(world.busy, 200)
    r.config_set("maxmemory", 1)
    try:
        world.say("quiet")
        await asyncio.to_thread(world.busy, 200)
        wait_until(
            lambda: all(world.region.last(p) >= high for p, high in world.high.items()),
            "appends go on",
            30,
        )
    finally:
        r.config_set("maxmemory", 0)
    await asyncio.to_thread(world.wait_index)
    client = await fan(nodes.edge(namespaces=world.space))
    reply = await resume(client, world, "quiet", world.at["quiet"][0])
    if reply:
        await client.wait_pubs("quiet", 1)


def disturb(world, redis, old, rng):
    """Something happens to the indexes, or to the worker."""
    what = rng.randrange(6)
    if what == 0:
        redis.client().delete(*world.indexes())
    elif what == 1:
        restore(redis, old)
    elif what == 2:
        world.worker.kill()
        world.worker.start()
    elif what == 3:
        redis.client().flushdb()


async def test_never_a_false_recovered(world, nodes, fan, redis):
    """Cursors of all ages; whoever is told `recovered` gets all that was produced behind its cursor."""
    rng = random.Random(7)
    names = [f"ch{i}" for i in range(40)]
    proofs = told = 0
    for _ in range(6):
        old = saved(redis, "ff:{*}:last*")
        for _ in range(4):
            world.say(*rng.sample(names, 4))
            await asyncio.to_thread(world.busy, 300)
        await asyncio.to_thread(world.wait_index)
        world.forget(rng.choice([60, 400]))
        disturb(world, redis, old, rng)
        edge = nodes.edge(namespaces=world.space)
        client = await fan(edge)
        cursors = {n: rng.randrange(1, max(world.high.values())) for n in names}
        cursors |= {n: world.at[n][-1] for n in names[::2] if n in world.at}
        said = await resume_all(client, world, cursors)
        await asyncio.to_thread(world.busy, 100)
        world.say(*names)
        gone = {p["unsubscribe"] and p["channel"] for p in client.pushes if "unsubscribe" in p}
        for name, at in cursors.items():
            if said[name] is True and name not in gone:
                want = [pos for pos in world.at.get(name, []) if pos > at]
                pubs = await client.wait_pubs(name, len(want))
                assert [p["offset"] for p in pubs] == want, name
        told += sum(s is not True for s in said.values())
        proofs += edge.metrics().total("fanfare_edge_index_answers_total", result="proof")
        edge.stop()
    assert proofs > 30 and told > 20, (proofs, told)
