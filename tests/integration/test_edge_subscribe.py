# SPDX-License-Identifier: Apache-2.0
"""subscribe, resume, history, unsubscribe and their errors, on an edge and a Redis written by hand."""

import base64

import pytest

from harness.client import FanError
from harness.stream import BINARY, NULL, TEXT, FakeLog


def numbers(first, count, key="a"):
    return [(key, {"n": n}) for n in range(first, first + count)]


def got(client, channel="a"):
    return [p["data"]["n"] for p in client.pubs[channel]]


def code(caught):
    return caught.value.code


async def test_a_subscriber_gets_what_comes_after_it(edges, fake_log, fan):
    edge = edges()
    fake_log.append(numbers(0, 3))
    client = await fan(edge)
    sub = await client.subscribe("a")
    assert sub == {
        "recoverable": True,
        "positioned": True,
        "epoch": fake_log.log,
        "offset": fake_log.last[fake_log.partition("a")],
    }
    positions = fake_log.append(numbers(3, 5))
    pubs = await client.wait_pubs("a", 5)
    assert [p["offset"] for p in pubs] == positions
    assert got(client) == [3, 4, 5, 6, 7]


async def test_each_kind_of_payload(edges, fake_log, fan):
    client = await fan(edges())
    await client.subscribe("a")
    fake_log.append([("a", b'{"x":[1,2.50,9007199254740993]}')])
    fake_log.append([("a", 'a "quote", \u20ac, \\, \t'.encode())], kind=TEXT)
    fake_log.append([("a", bytes(range(256)))], kind=BINARY)
    fake_log.append([("a", b"")], kind=NULL, tags={"h": 'v"'})
    fake_log.append([("a", b"")], kind=NULL, marker=True, tags={"fanfare-error": "too_large"})
    pubs = await client.wait_pubs("a", 5)
    assert pubs[0]["data"] == {"x": [1, 2.5, 9007199254740993]}
    assert pubs[1]["data"] == 'a "quote", \u20ac, \\, \t'
    assert base64.b64decode(pubs[2]["data"]) == bytes(range(256))
    assert pubs[3]["data"] is None and pubs[3]["tags"] == {"h": 'v"'}
    assert pubs[4]["data"] is None and pubs[4]["tags"] == {"fanfare-error": "too_large"}


@pytest.mark.parametrize("count", [10, 3000])
async def test_resume(edges, fake_log, fan, count):
    first, second = edges(), edges()
    fake_log.append([("a", {"n": -1}), ("b", {"n": -1})])
    client = await fan(first)
    await client.subscribe("a")
    fake_log.append(numbers(0, 5))
    await client.wait_pubs("a", 5)
    at, epoch = client.cursor("a")
    await client.abort()
    for n in range(5, count, 500):
        fake_log.append(numbers(n, min(500, count - n)) + numbers(0, 100, "b"))
    again = await fan(second)
    sub = await again.subscribe("a", offset=at, epoch=epoch)
    assert sub["was_recovering"] and sub["recovered"] and sub["offset"] == at
    fake_log.append(numbers(count, 3))
    await again.wait_pubs("a", count - 2)
    assert got(again) == list(range(5, count + 3))


async def test_an_epoch_without_offset_gets_all(edges, fake_log, fan):
    edge = edges()
    fake_log.append(numbers(0, 1200))
    client = await fan(edge)
    sub = await client.subscribe("a", epoch=fake_log.log)
    assert sub["recovered"]
    await client.wait_pubs("a", 1200)
    assert got(client) == list(range(1200))


async def test_trimmed_is_told(edges, fake_log, fan):
    edge = edges()
    positions = fake_log.append(numbers(0, 100))
    fake_log.trim(fake_log.partition("a"), 10)
    client = await fan(edge)
    sub = await client.subscribe("a", offset=positions[88], epoch=fake_log.log)
    assert not sub.get("recovered") and sub["was_recovering"] and sub["offset"] == positions[99]
    assert "publications" not in sub
    await client.unsubscribe("a")
    sub = await client.subscribe("a", offset=positions[89], epoch=fake_log.log)
    assert sub["recovered"]
    await client.wait_pubs("a", 10)
    assert got(client) == list(range(90, 100))


@pytest.mark.parametrize("epoch", ["otherlog", "_", ""])
async def test_a_foreign_epoch_is_told(edges, fake_log, fan, epoch):
    edge = edges()
    last = fake_log.append(numbers(0, 3))[-1]
    client = await fan(edge)
    sub = await client.subscribe("a", offset=1, epoch=epoch)
    assert not sub.get("recovered") and sub["offset"] == last and sub["epoch"] == fake_log.log


async def test_beyond_the_end_is_told(edges, fake_log, fan):
    edge = edges()
    last = fake_log.append(numbers(0, 3))[-1]
    client = await fan(edge)
    sub = await client.subscribe("a", offset=last + 1000, epoch=fake_log.log)
    assert not sub.get("recovered") and sub["offset"] == last


async def test_history(edges, fake_log, fan):
    edge = edges()
    positions = fake_log.append(numbers(0, 20))
    client = await fan(edge)

    async def pages(**how):
        reply = await client.history("a", **how)
        assert reply["epoch"] == fake_log.log and reply["offset"] == positions[-1]
        return [p["data"]["n"] for p in reply["publications"]]

    assert await pages() == []
    assert await pages(limit=3) == [0, 1, 2]
    assert await pages(limit=-1) == list(range(20))
    assert await pages(limit=4, since=(positions[4], fake_log.log)) == [5, 6, 7, 8]
    assert await pages(limit=3, reverse=True) == [19, 18, 17]
    assert await pages(limit=3, reverse=True, since=(positions[5], fake_log.log)) == [4, 3, 2]
    await client.subscribe("a")  # the plog begins here; history goes on behind it
    positions += fake_log.append(numbers(20, 5))
    await client.wait_pubs("a", 5)
    assert await pages(limit=-1) == list(range(25))
    assert await pages(limit=-1, reverse=True) == list(range(24, -1, -1))
    with pytest.raises(FanError) as caught:
        await client.history("a", limit=1, since=(1, "otherlog"))
    assert code(caught) == 112


async def test_unsubscribe_ends_it(edges, fake_log, fan):
    client = await fan(edges())
    await client.subscribe("a")
    await client.subscribe("b")
    await client.unsubscribe("a")
    fake_log.append(numbers(0, 3) + numbers(0, 3, "b"))
    await client.wait_pubs("b", 3)
    await client.command({"ping": {}})
    assert got(client) == []
    assert await client.unsubscribe("never") == {}


async def test_errors(edges, fake_log, fan):
    edge = edges(namespaces={"ns": {"topic": "t"}, "u": {"topic": "u"}})
    client = await fan(edge)
    fake_log.r.hset(
        "ff:topic:u",
        mapping={"n": 1, "log": "UUUUUUUU", "partitions": 1, "partitioner": "murmur2", "state": "unmapped"},
    )
    edge.wait_for(lambda: edge.get("/health/ready")[0] == 200, "ready", 10)
    await client.subscribe("ns:a")
    for command, expected in [
        ({"subscribe": {"channel": "ns:a"}}, 105),
        ({"subscribe": {"channel": "nowhere:a"}}, 102),
        ({"subscribe": {"channel": "ns:" + "x" * 253}}, 107),
        ({"subscribe": {"channel": "ns:x\ny"}}, 107),
        ({"subscribe": {}}, 107),
        ({"subscribe": {"channel": 5}}, 107),
        ({"history": {"channel": "ns:a", "limit": 1, "since": 7}}, 107),
        ({"subscribe": {"channel": "u:a"}}, 108),
        ({"publish": {"channel": "ns:a", "data": {}}}, 108),
        ({"wat": {}}, 104),
    ]:
        with pytest.raises(FanError) as caught:
            await client.command(command)
        assert code(caught) == expected, command
    await client.subscribe("ns:" + "x" * 252)  # 255 bytes


async def test_no_topic_is_a_temporary_error_within_its_time(edges, redis, fan):
    client = await fan(edges())
    with pytest.raises(FanError) as caught:
        await client.command({"subscribe": {"channel": "a"}}, timeout=3.5)
    assert code(caught) == 100 and caught.value.temporary


async def test_a_superseded_log_is_told(edges, fake_log, redis, fan):
    client = await fan(edges())
    await client.subscribe("a")
    fake_log.append(numbers(0, 1))
    await client.wait_pubs("a", 1)
    with FakeLog(redis, "t", n=2) as newer:
        push = await client.wait_push("unsubscribe")
        assert push["unsubscribe"] == {"code": 2500, "reason": "insufficient state"}
        sub = await client.subscribe("a", *client.cursor("a"))
        assert not sub.get("recovered") and sub["epoch"] == newer.log != fake_log.log
        assert "gap" not in sub  # positions of two logs have nothing between them
        newer.append(numbers(50, 1))
        await client.wait_pubs("a", 2)
    assert got(client) == [0, 50]


async def test_a_hole_is_told(edges, fake_log, fan):
    client = await fan(edges())
    await client.subscribe("a")
    fake_log.append(numbers(0, 1))
    await client.wait_pubs("a", 1)
    fake_log.lose("a", 5)  # five records that never came here, and that Kafka has no more
    fake_log.append(numbers(6, 1))
    push = await client.wait_push("unsubscribe")
    gap = {"from": 1, "to": 6}
    assert push["unsubscribe"] == {"code": 2500, "reason": "insufficient state", "gap": gap}
    assert got(client) == [0]
    sub = await client.subscribe("a", *client.cursor("a"))
    assert not sub.get("recovered") and sub["gap"] == {"from": 1, "to": sub["offset"]}
