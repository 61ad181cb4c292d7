# SPDX-License-Identifier: Apache-2.0
"""From Kafka to WebSocket clients through a worker, Redis and two edges, all real.

What each client got is compared with what Kafka itself holds, per channel.
"""

import asyncio
import json

import pytest

from harness.oracle import by_channel, compare, read_topic

CHANNELS = [f"ch{i}" for i in range(20)]


@pytest.fixture
def region(nodes, topic):
    """A worker and two edges for this test's topic, as the default namespace."""
    spaces = {"": {"topic": topic}}
    nodes.worker(namespaces=spaces)
    return [nodes.edge(namespaces=spaces, drain_time="1s") for _ in range(2)]


def records(first, count):
    return [
        (CHANNELS[i % len(CHANNELS)], json.dumps({"i": i, "pad": "x" * (i % 200)}))
        for i in range(first, first + count)
    ]


async def produce(topics, topic, first, count):
    await asyncio.to_thread(topics.produce, topic, records(first, count))


async def subscribe_all(client, before=None):
    """Subscribes to every channel; with `before`, from that client's cursors."""
    for channel in CHANNELS:
        if before is None:
            await client.subscribe(channel)
        else:
            offset, epoch = before.cursor(channel)
            reply = await client.subscribe(channel, offset=offset, epoch=epoch)
            assert reply["recovered"] is True, reply


def together(*clients):
    """The publications of one user's connections, one after the other."""
    return {ch: [p for c in clients for p in c.pubs[ch]] for ch in CHANNELS}


async def wait_all(topics, kafka, topic, last, *earlier, after=None):
    expected = by_channel(read_topic(kafka.bootstrap, topic))
    for channel in CHANNELS:
        have = sum(len(c.pubs[channel]) for c in earlier)
        start = (after or {}).get(channel, 0)
        want = sum(1 for position, _ in expected.get(channel, []) if position > start)
        await last.wait_pubs(channel, want - have, timeout=20)
    verdict = compare(expected, together(*earlier, last), after)
    verdict.check()
    return verdict


async def test_every_record_reaches_a_client_once_in_order(region, topics, kafka, topic, fan):
    client = await fan(region[0])
    await subscribe_all(client)
    await produce(topics, topic, 0, 2000)
    verdict = await wait_all(topics, kafka, topic, client)
    assert verdict.expected == 2000


async def test_a_client_resumes_on_the_other_edge_where_it_was(region, topics, kafka, topic, fan):
    first = await fan(region[0])
    await subscribe_all(first)
    await produce(topics, topic, 0, 500)
    await wait_all(topics, kafka, topic, first)
    region[0].kill()
    await first.wait_closed()
    await produce(topics, topic, 500, 3000)
    second = await fan(region[1])
    await subscribe_all(second, first)
    await produce(topics, topic, 3500, 100)
    verdict = await wait_all(topics, kafka, topic, second, first)
    assert verdict.expected == 3600


async def test_a_client_resumes_while_records_keep_coming(region, topics, kafka, topic, fan):
    clients = [await fan(region[0])]
    await subscribe_all(clients[0])
    stop = asyncio.Event()

    async def keep_producing():
        first = 0
        while not stop.is_set():
            await produce(topics, topic, first, 100)
            first += 100

    producing = asyncio.create_task(keep_producing())
    for i in range(6):
        await clients[-1].wait_pubs(CHANNELS[i], 5)
        await clients[-1].abort()
        clients.append(await fan(region[i % 2]))
        have = {ch: together(*clients)[ch] for ch in CHANNELS}
        epoch = clients[0].subs[CHANNELS[0]]["epoch"]
        for channel in CHANNELS:
            first = clients[0].subs[channel].get("offset", 0)
            offset = have[channel][-1]["offset"] if have[channel] else first
            reply = await clients[-1].subscribe(channel, offset=offset, epoch=epoch)
            assert reply["recovered"] is True, reply
    stop.set()
    await producing
    await wait_all(topics, kafka, topic, clients[-1], *clients[:-1])


async def test_a_cursor_of_zero_gets_the_log_from_its_start(region, topics, kafka, topic, fan):
    await produce(topics, topic, 0, 5000)
    probe = await fan(region[0])
    epoch = (await probe.subscribe(CHANNELS[0]))["epoch"]
    client = await fan(region[1])
    for channel in CHANNELS:
        assert (await client.subscribe(channel, epoch=epoch))["recovered"] is True
    verdict = await wait_all(topics, kafka, topic, client)
    assert verdict.expected == 5000
