# SPDX-License-Identifier: Apache-2.0
"""Compacted topics: refused without `history: latest`; with it a resume gets the latest record of each key.

The topics here are really compacted by their broker: each test waits until it sees in Kafka that they are.
"""

import asyncio
import json

import pytest

from harness.client import FanError
from harness.oracle import read_topic
from harness.region import Region
from harness.util import wait_until

COMPACT = {
    "cleanup_policy": "compact",
    "segment_ms": 100,
    "max_compaction_lag_ms": 100,
    "min_cleanable_dirty_ratio": 0.001,
    "delete_retention_ms": 60000,
}


def rounds(first, count, keys):
    """`count` records for each of the keys in turn."""
    return [(k, json.dumps({"n": n, "pad": "x" * 100})) for n in range(first, first + count) for k in keys]


def by_key(kafka, topic):
    """{key: its last record}, as Kafka has it."""
    return {r.key.decode(): r for r in read_topic(kafka.bootstrap, topic) if r.key}


def wait_compacted(topics, kafka, topic, most):
    """Until Kafka has no more than that many records. Segments roll when something is appended."""

    def probe():
        topics.produce(topic, [("filler", b"0")])
        return len(read_topic(kafka.bootstrap, topic)) <= most

    wait_until(probe, f"{topic} is compacted to {most} records", 60, every=0.2)


@pytest.fixture
def compacted(topics, request):
    return topics.create(f"{request.node.originalname}-{id(request)}", partitions=1, **COMPACT)


def test_refused_without_latest(nodes, compacted):
    worker = nodes.worker(start=False, namespaces={"q": {"topic": compacted}})
    worker.launch()
    worker.expect_exit(1)
    assert worker.wait(20) == 1
    why = worker.event("boot_failed")["why"]
    assert compacted in why and "namespaces.q.history" in why and "cleanup.policy" in why


def test_live_only_is_not_refused(nodes, compacted):
    nodes.worker(namespaces={"": {"topic": compacted, "partitioner": "any"}})


async def refusal(client, channel):
    with pytest.raises(FanError) as caught:
        await client.subscribe(channel)
    return caught.value


async def test_compacted_later(nodes, topics, topic, fan):
    """It stands still, and goes on when it is mended: nothing is lost, nobody is told a gap."""
    spaces = {"": {"topic": topic}}
    worker, edge = nodes.worker(namespaces=spaces), nodes.edge(namespaces=spaces)
    client = await fan(edge)
    await client.subscribe("a")
    topics.produce(topic, [("a", b"1")])
    await client.wait_pubs("a", 1)
    topics.configure(topic, cleanup_policy="compact")
    await asyncio.to_thread(worker.wait_metric, "fanfare_worker_compacted_topics", 1, 30)
    assert "latest" in worker.event("compacted")["mend"]
    await client.wait_push("unsubscribe")
    error = await refusal(client, "a")
    assert error.code == 108 and "compacted" in error.message
    topics.produce(topic, [("a", b"2")])
    topics.configure(topic, cleanup_policy="delete")
    await asyncio.to_thread(worker.wait_event, "compacted_no_more", 30)

    async def back():
        while True:
            try:
                return await client.subscribe("a", *client.cursor("a"))
            except FanError:
                await asyncio.sleep(0.1)

    async with asyncio.timeout(30):
        assert (await back())["recovered"]
    topics.produce(topic, [("a", b"3")])
    assert [p["data"] for p in await client.wait_pubs("a", 3)] == [1, 2, 3]
    assert worker.metrics().total("fanfare_worker_compacted_topics") == 0
    assert worker.metrics().total("fanfare_worker_incarnations_total") == 0


async def test_latest_of_each_key(nodes, topics, kafka, redis, compacted, fan):
    """Keys that stand still since long (their record is in Kafka only), and keys that move."""
    still, busy = [f"s{i}" for i in range(20)], [f"b{i}" for i in range(10)]
    topics.produce(compacted, rounds(0, 20, still + busy))
    topics.produce(compacted, [("gone", b"1"), ("gone", None)])
    topics.produce(compacted, rounds(20, 60, busy))
    wait_compacted(topics, kafka, compacted, 200)
    topics.produce(compacted, rounds(80, 10, busy))
    spaces = {"": {"topic": compacted, "history": "latest"}}
    worker = nodes.worker(namespaces=spaces, rebuild_records=60)
    edge = nodes.edge(namespaces=spaces)
    client = await fan(edge)
    region = Region(redis, compacted)
    wait_until(lambda: worker.metrics().total("fanfare_worker_entries_total") >= 50, "the stream", 20)
    log, last = region.log(), by_key(kafka, compacted)
    for key in still + busy + ["gone"]:
        reply = await client.subscribe(key, offset=1, epoch=log)
        assert reply["recovered"] and reply["offset"] == 1 and "gap" not in reply, (key, reply)
        (pub,) = await client.wait_pubs(key, 1)
        assert (pub["offset"], pub["data"]) == (last[key].position, json.loads(last[key].value or "null"))
    assert edge.metrics().total("fanfare_edge_deep_segments_total") > 0
    reply = await client.subscribe("never", offset=1, epoch=log)
    assert reply["recovered"] and "publications" not in reply
    other = await fan(edge)
    for key, cursor in (("s3", {"epoch": ""}), ("b3", {"epoch": "otherlog", "offset": 10**6})):
        reply = await other.subscribe(key, **cursor)
        assert reply["recovered"] and [p["offset"] for p in reply["publications"]] == [last[key].position]
    assert "publications" not in await other.subscribe("s4")
    topics.produce(compacted, [("s3", b"77"), ("s4", b"78")])
    assert (await other.wait_pubs("s3", 2))[1]["data"] == 77
    assert (await other.wait_pubs("s4", 1))[0]["data"] == 78


async def test_the_record_at_the_last_position_is_gone(nodes, topics, kafka, redis, compacted, fan):
    """What compaction took can't be compared: the log goes on, and cursors with it."""
    spaces = {"": {"topic": compacted, "history": "latest"}}
    worker, edge = nodes.worker(namespaces=spaces), nodes.edge(namespaces=spaces)
    client = await fan(edge)
    first = await client.subscribe("a")
    ((_, offset),) = topics.produce(compacted, [("a", b"1")])
    await client.wait_pubs("a", 1)
    assert Region(redis, compacted).log() == first["epoch"]
    worker.stop()
    topics.produce(compacted, [("a", b"2"), ("b", b"3")])

    def is_gone():
        topics.produce(compacted, [("filler", b"0")])
        return all(r.offset != offset for r in read_topic(kafka.bootstrap, compacted))

    wait_until(is_gone, "the record at the last position is compacted away", 60, every=0.2)
    worker.start()
    assert [p["data"] for p in await client.wait_pubs("a", 2)] == [1, 2]
    m = worker.metrics()
    assert m.total("fanfare_worker_overlap_checks_total") > 0
    assert m.total("fanfare_worker_overlap_failures_total") == 0
    assert m.total("fanfare_worker_incarnations_total") == 0 and m.total("fanfare_worker_gaps_total") == 0
    assert not client.pushes and Region(redis, compacted).log() == first["epoch"]
