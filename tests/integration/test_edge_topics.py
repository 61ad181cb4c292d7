# SPDX-License-Identifier: Apache-2.0
"""What an edge makes of a topic hash that it can't serve: where it is said, and what clients are told."""

import asyncio

import pytest

from harness.client import FanError
from harness.stream import FakeLog
from harness.util import scaled


async def refusal(client, channel="a"):
    with pytest.raises(FanError) as caught:
        await client.subscribe(channel)
    return caught.value


async def subscribed(client, channel="a"):
    """The reply, once the edge has read the hash again: it looks every second."""
    async with asyncio.timeout(scaled(10)):
        while True:
            try:
                return await client.subscribe(channel)
            except FanError:
                await asyncio.sleep(0.1)


async def test_another_partitioner_than_the_workers(edges, fake_log, fan):
    fake_log.register(partitioner="crc32")
    edge = edges()
    await asyncio.to_thread(edge.wait_event, "namespace_differs")
    client = await fan(edge)
    assert (await refusal(client)).code == 108
    fake_log.register()  # the workers were configured anew
    assert (await subscribed(client))["epoch"] == fake_log.log
    fake_log.append([("a", 1)])
    await client.wait_pubs("a", 1)
    fake_log.register(partitioner="crc32")  # and back
    push = await client.wait_push("unsubscribe")
    assert push["unsubscribe"]["code"] == 2500
    assert (await refusal(client)).code == 108
    told = edge.events("namespace_differs")
    assert len(told) == 2  # once a change, though the hash is read every second
    said = {(e["topic"], e["knob"], e["edge"], e["worker"]) for e in told}
    assert said == {("t", "partitioner", "murmur2", "crc32")}


FIELDS = [("namespace", "other"), ("key", "full"), ("history", "latest")]


@pytest.mark.parametrize(("field", "theirs"), FIELDS)
async def test_another_namespace_than_the_workers(edges, fake_log, fan, field, theirs):
    fake_log.register(**{field: theirs})
    edge = edges()
    told = await asyncio.to_thread(edge.wait_event, "namespace_differs")
    assert (told["knob"], told["worker"]) == (field, theirs)
    client = await fan(edge)
    assert (await refusal(client)).code == 108
    fake_log.register(**{field: {"namespace": "", "key": "short", "history": "all"}[field]})
    assert (await subscribed(client))["epoch"] == fake_log.log


async def test_another_log_id_than_the_workers(edges, fake_log, fan):
    fake_log.register(log="mirror01", n=0)
    edge = edges(namespaces={"": {"topic": "t", "log_id": "mirror02"}})
    told = await asyncio.to_thread(edge.wait_event, "namespace_differs")
    assert (told["knob"], told["edge"], told["worker"]) == ("log_id", "mirror02", "mirror01")
    assert (await refusal(await fan(edge))).code == 108


async def test_an_edge_that_reads_all_partitions_needs_no_partitioner(edges, fake_log, fan):
    edge = edges(namespaces={"": {"topic": "t", "partitioner": "any"}})
    client = await fan(edge)
    assert await client.subscribe("a") == {}
    fake_log.append([("a", 1)])
    await client.wait_pubs("a", 1)
    assert len(edge.events("namespace_differs")) == 1


def ready(edge):
    return edge.get("/health/ready")


async def test_more_partitions_than_an_edge_takes(edges, fake_log):
    """Of one topic alone, where readiness blamed the worker and the log was silent."""
    fake_log.register(partitions=5000)
    edge = edges()
    told = await asyncio.to_thread(edge.wait_event, "too_many_partitions")
    assert (told["topic"], told["partitions"], told["limit"]) == ("t", "5000", "4096")
    status, why = ready(edge)
    assert status == 503 and "5000 partitions of topic t" in why and "4096" in why
    fake_log.register()
    await asyncio.to_thread(edge.wait_for, lambda: ready(edge)[0] == 200, "ready", 10)
    assert len(edge.events("too_many_partitions")) == 1


async def test_a_log_with_no_room_beside_the_one_before_it(edges, redis, fan):
    """Both together have more partitions than an edge takes: the older one goes first."""
    edge = edges()
    with FakeLog(redis, "t", partitions=3000) as old:
        client = await fan(edge)
        await subscribed(client)
        old.append([("a", 1)])
        await client.wait_pubs("a", 1)
        with FakeLog(redis, "t", partitions=3000, n=2) as new:
            await client.wait_push("unsubscribe")
            assert (await subscribed(client))["epoch"] == new.log
            new.append([("a", 2)])
            await client.wait_pubs("a", 2)
            assert ready(edge)[0] == 200
