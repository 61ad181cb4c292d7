# SPDX-License-Identifier: Apache-2.0
"""Positions older than the region's stream: read from Kafka by way of the workers.

The streams here keep some hundred entries; everything before is deep history. What a client got is
compared with what Kafka holds.
"""

import asyncio
import json

import pytest

from harness.client import FanError
from harness.oracle import by_channel, compare, read_topic
from harness.util import wait_until

CHANNELS = [f"ch{i}" for i in range(20)]
RECORDS = 30_000  # over 4 partitions: two rows of segments in each


def records(first, count, pad=60):
    filler = "x" * pad
    return [
        (CHANNELS[i * 7 % 20], json.dumps({"i": i, "pad": filler})) for i in range(first, first + count)
    ]


async def produce(topics, topic, first, count, **kw):
    await asyncio.to_thread(topics.produce, topic, records(first, count, **kw))


def entries(worker):
    return worker.metrics().total("fanfare_worker_entries_total")


@pytest.fixture
async def region(nodes, topics, topic):
    """(worker, edge, log id): all records in Kafka, some hundred of each partition in its stream."""
    await produce(topics, topic, 0, RECORDS)
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(namespaces=spaces, stream_bytes=20_000, rebuild_records=1_000)
    edge = nodes.edge(namespaces=spaces)
    wait_until(lambda: entries(worker) >= 900, "the streams", 20)
    return worker, edge, worker.event("attached")["stream"][4:12]


async def wait_all(client, expected, after):
    for channel in after:
        want = sum(1 for position, _ in expected.get(channel, []) if position > after[channel])
        await client.wait_pubs(channel, want, timeout=30)
    verdict = compare({ch: expected.get(ch, []) for ch in after}, client.pubs, after)
    verdict.check()
    return verdict


async def test_all_from_the_log_s_start(region, topics, kafka, topic, fan):
    worker, edge, log = region
    client = await fan(edge)
    for channel in CHANNELS:
        reply = await client.subscribe(channel, offset=0, epoch=log)
        assert reply["recovered"] is True and reply.get("offset", 0) == 0, reply
    await produce(topics, topic, RECORDS, 500)
    expected = by_channel(read_topic(kafka.bootstrap, topic))
    verdict = await wait_all(client, expected, dict.fromkeys(CHANNELS, 0))
    assert verdict.expected == RECORDS + 500
    assert not client.pushes
    assert worker.metrics().total("fanfare_worker_deep_segments_total") >= 8
    # shared: once a row, not once a client (the row at the log's end isn't closed: read again)
    wants = worker.metrics().total("fanfare_worker_deep_wants_total")
    others = [await fan(edge) for _ in range(20)]
    for other in others:
        await other.subscribe("ch1", offset=0, epoch=log)
    for other in others:
        await wait_all(other, expected, {"ch1": 0})
    assert worker.metrics().total("fanfare_worker_deep_wants_total") < wants + 8


async def test_from_the_middle(region, kafka, topic, fan):
    _, edge, log = region
    expected = by_channel(read_topic(kafka.bootstrap, topic))
    client = await fan(edge)
    after = {ch: v[len(v) // 3][0] for ch, v in expected.items()}
    for channel, offset in after.items():
        reply = await client.subscribe(channel, offset=offset, epoch=log)
        assert reply["recovered"] is True and reply["offset"] == offset
    await wait_all(client, expected, after)
    assert not client.pushes


async def test_what_kafka_no_longer_has_is_told(region, topics, kafka, topic, fan):
    _, edge, log = region
    for partition in range(4):
        topics.delete_records(topic, partition, 3000)

    client = await fan(edge)
    expected = by_channel(read_topic(kafka.bootstrap, topic))

    async def told():
        reply = await client.subscribe("ch1", offset=1, epoch=log)
        await client.unsubscribe("ch1")
        return reply

    reply = await told()
    assert not reply.get("recovered") and not reply.get("publications")
    first = expected["ch4"][0][0] - 1  # all that is left of it
    reply = await client.subscribe("ch4", offset=first, epoch=log)
    assert reply["recovered"] is True
    await wait_all(client, expected, {"ch4": first})


async def test_history_command_reaches_behind_the_stream(region, kafka, topic, fan):
    _, edge, log = region
    expected = by_channel(read_topic(kafka.bootstrap, topic))["ch9"]
    client = await fan(edge)
    at = expected[5][0]
    result = await client.history("ch9", limit=10, since=(at, log))
    assert [p["offset"] for p in result["publications"]] == [pos for pos, _ in expected[6:16]]


async def test_large_records_make_short_segments(nodes, topics, topic, kafka, fan):
    await produce(topics, topic, 0, 600, pad=30_000)
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(namespaces=spaces, stream_bytes=1_000_000, rebuild_records=100)
    edge = nodes.edge(namespaces=spaces)
    wait_until(lambda: entries(worker) >= 90, "the streams", 20)
    client = await fan(edge)
    after = dict.fromkeys(CHANNELS[:5], 0)
    for channel in after:
        reply = await client.subscribe(channel, offset=0, epoch=worker.event("attached")["stream"][4:12])
        assert reply["recovered"] is True
    await wait_all(client, by_channel(read_topic(kafka.bootstrap, topic)), after)


async def test_no_room_is_said(nodes, topics, topic, fan):
    await produce(topics, topic, 0, 8000)
    spaces = {"": {"topic": topic}}
    worker = nodes.worker(
        namespaces=spaces, stream_bytes=20_000, rebuild_records=400, history_bytes=20_000
    )
    edge = nodes.edge(namespaces=spaces)
    wait_until(lambda: entries(worker) >= 390, "the streams", 20)
    client = await fan(edge)
    with pytest.raises(FanError) as error:
        await client.subscribe("ch1", offset=1, epoch=worker.event("attached")["stream"][4:12])
    assert error.value.code == 111
    assert worker.metrics().total("fanfare_worker_deep_full_total") >= 1


async def test_without_a_worker_the_low_is_believed_for_three_seconds(region, fan, nodes):
    worker, edge, log = region
    client = await fan(edge)
    await client.subscribe("ch1")  # its partition's beacon is known
    worker.kill()
    with pytest.raises(FanError) as error:
        for _ in range(5):
            reply = await client.subscribe("ch2", offset=1, epoch=log)
            assert reply["recovered"] is True  # Kafka has it; pushes will come
            await client.unsubscribe("ch2")
    assert error.value.code == 100
