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


# ---- what a worker does with a want: the test is the edge ----


def key(log, partition, start, tail=""):
    return f"ff:{{{log}:{partition}}}:seg:{start}{tail}"


def want(r, log, partition, start):
    """As an edge leaves it."""
    assert r.set(key(log, partition, start, ":want"), "1", nx=True, px=1000)
    r.rpush("ff:want", f"{log} {partition} {start}")


def is_there(r, log, partition, start):
    return r.exists(key(log, partition, start)) == 1


def failures(worker):
    return [e["why"] for e in worker.events("deep_history_failed")]


async def test_the_log_is_compared_behind_each_row(region, redis):
    worker, _, log = region
    r = redis.client()
    want(r, log, 0, 0)
    wait_until(lambda: is_there(r, log, 0, 0), "the first row", 10)
    # Within a second of a check that passed, the stream's last record is another one.
    r.hset(f"ff:{{{log}:0}}:side", "fp", 1)
    want(r, log, 0, 4096)
    worker.wait_for(lambda: "Kafka's log isn't the stream's" in failures(worker), "it is refused", 10)
    assert not is_there(r, log, 0, 4096)


async def test_a_want_ends_with_its_row(region, redis):
    worker, _, log = region
    r = redis.client()
    for start in (0, 4096):
        want(r, log, 1, start)
        wait_until(lambda at=start: is_there(r, log, 1, at), "the row", 10)
        wait_until(lambda at=start: not r.exists(key(log, 1, at, ":want")), "it may be asked anew", 1)
    r.hset(f"ff:{{{log}:2}}:side", "fp", 1)
    want(r, log, 2, 0)
    worker.wait_event("deep_history_failed")
    wait_until(lambda: not r.exists(key(log, 2, 0, ":want")), "it may be asked anew", 1)
    # Somebody else has published it meanwhile: nothing is read again.
    before = worker.metrics().total("fanfare_worker_deep_positions_total")
    want(r, log, 1, 0)
    wait_until(lambda: not r.exists(key(log, 1, 0, ":want")), "it may be asked anew", 1)
    assert worker.metrics().total("fanfare_worker_deep_positions_total") == before


async def test_an_error_of_redis_is_said(region, redis):
    worker, _, log = region
    r = redis.client()
    r.set(f"ff:{{{log}:77}}", "no stream")
    r.delete(f"ff:{{{log}:3}}:side")
    r.set(f"ff:{{{log}:3}}:side", "no hash")
    want(r, log, 3, 0)
    worker.wait_for(lambda: any("WRONGTYPE" in why for why in failures(worker)), "it is said", 10)
    wait_until(lambda: not r.exists(key(log, 3, 0, ":want")), "it may be asked anew", 1)
