# SPDX-License-Identifier: Apache-2.0
"""What an edge knows of Kafka's end, it knows from the beacon: a client whose cursor lies beyond that is told
only if the beacon is fresh. Old news is none, however late it comes."""

import asyncio

import pytest

from harness.client import FanError


def same_partition(log, partition, count):
    """Names of channels in one partition."""
    found = (c for c in (f"c{i}" for i in range(100 * count)) if log.partition(c) == partition)
    return [next(found) for _ in range(count)]


async def resume(client, channel, log, offset):
    """What the client is told: "recovered", "not recovered", or "error" (a temporary one)."""
    try:
        reply = await client.subscribe(channel, offset=offset, epoch=log.log)
    except FanError as e:
        return "error" if e.code == 100 else str(e)
    return "recovered" if reply.get("recovered") else "not recovered"


@pytest.fixture
async def gate(gates, redis):
    return await gates(redis)


async def start(edges, gate):
    """An edge whose way to Redis is the gate."""
    return await asyncio.to_thread(edges, redis_url=f"redis://127.0.0.1:{gate.port}")


async def test_a_late_answer_is_no_news(edges, gate, fake_log, fan):
    """The network holds back what Redis answers for more than two seconds. Meanwhile the log goes on, and
    clients come that have been further elsewhere; the two seconds of one after the other end."""
    edge, part = await start(edges, gate), fake_log.partition("a")
    client = await fan(edge)
    fake_log.append([("a", 1)])
    await client.subscribe("a")
    await asyncio.sleep(0.7)  # two beacons
    gate.silence(answers_only=True)
    await asyncio.sleep(0.5)  # the question under way is answered with this end
    fake_log.last[part] += 50  # Kafka has them; this region not yet
    tasks = []
    for channel in same_partition(fake_log, part, 90):
        tasks.append(asyncio.create_task(resume(client, channel, fake_log, fake_log.last[part])))
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.1)
    gate.silence(False)
    assert set(await asyncio.gather(*tasks)) <= {"recovered", "error"}
    assert await resume(client, "a2", fake_log, fake_log.last[fake_log.partition("a2")]) == "recovered"


async def test_what_a_dead_worker_left_is_no_news(edges, fake_log, fan):
    """No worker writes. A client waits for its two seconds; just before they are over the edge sees rows of
    the beacon for the first time: those of a Redis that came back with what it had kept, perhaps old."""
    fake_log.append([("a", 1)])
    fake_log.close()
    fake_log.r.delete("ff:beacon")
    client = await fan(edges())
    told = asyncio.create_task(resume(client, "a", fake_log, 50))
    await asyncio.sleep(1.4)
    fake_log.beat(fake_log.r)
    assert await told == "error"
