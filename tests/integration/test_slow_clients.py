# SPDX-License-Identifier: Apache-2.0
"""slow_clients: what becomes of a client that takes less than its channel brings, and what it costs others.

A slow client's socket takes 4 KiB, and it is paused; each test first sees in the metrics that it lags.
"""

import asyncio
import os
import time

import pytest

from harness.client import FanClient
from harness.util import scaled

SANITIZED = os.path.basename(os.environ.get("FANFARE_BUILD", "")) in ("asan", "tsan")
RECORD = "x" * 1000


def spaces(**more):
    return {"": {"topic": "t"} | more}


def numbered(first, count, key="a"):
    return [(key, {"n": n, "pad": RECORD}) for n in range(first, first + count)]


def got(client, channel="a"):
    return [p["data"]["n"] for p in client.pubs[channel]]


@pytest.fixture
async def slow():
    clients = []

    async def make(edge, *channels, read=True):
        client = await FanClient.connect_slow(edge.url)
        clients.append(client)
        for channel in channels:
            await client.subscribe(channel)
        if not read:
            client.pause()
        return client

    yield make
    for client in clients:
        await client.abort()


async def metric(edge, name, least, timeout=10, **labels):
    return await asyncio.to_thread(edge.wait_metric, name, least, timeout, **labels)


async def flood(edge, log, first=0, records=600, reader=None):
    """More than all buffers on the way to a client that doesn't read; returns the next number.

    In many turns of the edge: what comes in one is one write, however large, and who was given all of it
    doesn't lag. A reader that had all of channel a before is given time to read: it isn't to lag.
    """
    had = edge.metrics().total("fanfare_edge_records_total") - first
    for n in range(first, first + records, 50):
        log.append(numbered(n, 50))
        await metric(edge, "fanfare_edge_records_total", had + n + 50)
        if reader:
            await reader.wait_pubs("a", n + 50)
    return first + records


async def lag(edge, log, count=1, first=0, records=600, reader=None):
    """The same, and `count` subscriptions lag."""
    end = await flood(edge, log, first, records, reader)
    await metric(edge, "fanfare_edge_lagging", count)
    return end


async def test_catch_up_brings_everything(edges, fake_log, slow, fan):
    edge = edges(namespaces=spaces())
    client, other = await slow(edge, "a", read=False), await fan(edge)
    await other.subscribe("a")
    end = await lag(edge, fake_log, reader=other)
    assert (await metric(edge, "fanfare_edge_slow_total", 1, policy="catch_up")) == 1
    client.resume()
    await client.wait_pubs("a", end)
    fake_log.append(numbered(end, 5))
    await client.wait_pubs("a", end + 5)
    assert got(client) == got(other)[:end] + list(range(end, end + 5)) == list(range(end + 5))
    m = edge.metrics()
    assert m.total("fanfare_edge_lagging") == 0 and m.total("fanfare_edge_gaps_total") == 0


def assert_all_or_told(client, end):
    """Each record came, or is in the gap that the next one tells; returns how many were told."""
    at, told = 0, 0
    for pub in client.pubs["a"]:
        gap = pub.get("gap")
        if gap:
            assert pub["tags"]["fanfare-gap"] == f"{gap['from']}-{gap['to']}"
            assert gap == {"from": at, "to": pub["offset"] - 1}
            told += pub["offset"] - 1 - at
        else:
            assert pub["offset"] == at + 1
        at = pub["offset"]
    assert at == end
    return told


async def test_latest_skips_and_tells(edges, fake_log, slow, fan):
    """One key alone: positions are without holes, so what is told can be counted."""
    edge = edges(namespaces=spaces(slow_clients="latest"))
    client, other = await slow(edge, "a", read=False), await fan(edge)
    await other.subscribe("a")
    end = await lag(edge, fake_log, reader=other)
    client.resume()
    await client.wait(lambda: client.pubs["a"] and got(client)[-1] == end - 1, "the latest record")
    told = assert_all_or_told(client, end)
    assert told > end / 2 and len(client.pubs["a"]) == end - told
    fake_log.append(numbered(end, 3))  # live again: nothing is skipped
    await client.wait_pubs("a", end - told + 3)
    assert assert_all_or_told(client, end + 3) == told
    await other.wait_pubs("a", end + 3)
    assert got(other) == list(range(end + 3))
    assert edge.metrics().total("fanfare_edge_slow_skips_total") >= 1


async def test_latest_of_what_left_the_edge(edges, fake_log, slow):
    """What it skips isn't read again, wherever it is."""
    edge = edges(namespaces=spaces(slow_clients="latest"), plog_bytes="1MiB")
    client = await slow(edge, "a", read=False)
    end = await lag(edge, fake_log, records=3000)
    client.resume()
    await client.wait(lambda: client.pubs["a"] and got(client)[-1] == end - 1, "the latest record")
    assert assert_all_or_told(client, end) > 2000
    assert edge.metrics().total("fanfare_edge_history_fetches_total") == 0


async def test_disconnect_says_slow_and_the_cursor_resumes(edges, fake_log, slow, fan):
    edge = edges(namespaces=spaces(slow_clients="disconnect", slow_time="500ms"))
    client, other = await slow(edge, "a", read=False), await fan(edge)
    await other.subscribe("a")
    end = await flood(edge, fake_log, reader=other)
    assert (await metric(edge, "fanfare_edge_slow_total", 1, policy="disconnect")) == 1
    await metric(edge, "fanfare_edge_slow_disconnects_total", 1)
    client.resume()
    assert await client.wait_closed() == (3008, "slow")
    had = len(client.pubs["a"])
    assert had < end
    again = await fan(edge)  # reads well: it is live long before slow_time
    offset, epoch = client.cursor("a")
    assert (await again.subscribe("a", offset=offset, epoch=epoch))["recovered"]
    await again.wait_pubs("a", end - had)
    assert got(client) + got(again) == list(range(end))
    assert not other.closed and edge.metrics().total("fanfare_edge_slow_disconnects_total") == 1


async def test_a_pause_shorter_than_slow_time_is_forgiven(edges, fake_log, slow):
    edge = edges(namespaces=spaces(slow_clients="disconnect", slow_time="20s"))
    client = await slow(edge, "a", read=False)
    end = await lag(edge, fake_log)
    client.resume()
    await client.wait_pubs("a", end)
    assert got(client) == list(range(end)) and not client.closed


async def test_a_slow_client_holds_one_write(edges, fake_log, slow, fan):
    """Hundreds that lag, in the end 3 MB each: the edge's memory grows by a write for each.

    And by segments that the allocator keeps for the next ones (1-3 MiB seen), however many clients there are;
    two writes for each would be 3 MiB over the bound.
    """
    count, write_max, allocator = 400, 16384, 3 << 20
    edge = edges(write_max=write_max, plog_bytes="1MiB")
    other = await fan(edge)
    await other.subscribe("a")
    for _ in range(count):
        await slow(edge, "a", read=False)
    before = edge.rss() - edge.metrics().total("fanfare_edge_plog_bytes")
    end = await lag(edge, fake_log, count, records=400, reader=other)
    sizes = []
    for _ in range(4):
        sizes.append(edge.rss() - edge.metrics().total("fanfare_edge_plog_bytes") - before)
        end = await lag(edge, fake_log, count, end, records=800, reader=other)
    assert got(other) == list(range(end))
    assert edge.metrics().total("fanfare_edge_lagging") == count
    if not SANITIZED:  # their own memory is more than that
        assert max(sizes) < count * (write_max + 1024) + allocator, sizes


async def test_those_who_read_are_not_delayed(edges, fake_log, slow, fan):
    """Beside a client that takes nothing, another gets each record at once."""
    edge = edges()
    await slow(edge, "a", read=False)
    other = await fan(edge)
    await other.subscribe("a")
    end = await lag(edge, fake_log, reader=other)
    took = []
    for n in range(end, end + 100):
        began = time.monotonic()
        fake_log.append(numbered(n, 1))
        await other.wait_pubs("a", n + 1)
        took.append(time.monotonic() - began)
    assert edge.metrics().total("fanfare_edge_lagging") == 1
    assert sorted(took)[50] < scaled(0.05), took
