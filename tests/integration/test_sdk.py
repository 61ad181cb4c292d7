# SPDX-License-Identifier: Apache-2.0
"""The official SDKs, as published, against an edge and a real Redis: each test runs with both.

Entries are put into the region's streams by FakeLog; the SDK talks to the edge through a Gate, which
cuts connections beneath it. What counts: every publication once and in order, and `recovered` true.
"""

import asyncio

import pytest

from harness.sdk import JsSdk, PythonSdk, got, join, numbers
from harness.stream import FakeLog


@pytest.fixture(params=[JsSdk, PythonSdk], ids=lambda kind: kind.name)
async def sdk(request, edges):
    """After edges, so that it leaves before they stop: nobody waits for a client without a loop."""
    sdk = await request.param().start()
    yield sdk
    await sdk.stop()


async def test_receives_what_comes_live(sdk, edges, fake_log):
    fake_log.append(numbers(0, 3))
    subscribed = await join(sdk, edges())
    assert subscribed["recoverable"] and not subscribed["was_recovering"]
    assert subscribed["position"] == {"offset": 3, "epoch": fake_log.log}
    fake_log.append(numbers(3, 5))
    fake_log.append([("b", {"n": 99})])
    pubs = await sdk.wait_pubs("a", 5)
    assert [p["offset"] for p in pubs] == [4, 5, 6, 7, 8]
    assert got(sdk, "a") == [3, 4, 5, 6, 7]


async def test_payloads_and_tags_arrive_as_they_were(sdk, edges, fake_log):
    await join(sdk, edges())
    fake_log.append(
        [("a", {"text": 'ä "\\ \U0001f600', "list": [1.5, None, True], "n": 2**53 - 1})], tags={"h": "v ü"}
    )
    fake_log.append([("a", "line\nbreak \U0001f600".encode())], kind=1)
    fake_log.append([("a", b"\x00\xff\x10")], kind=2)
    fake_log.append([("a", b"")], kind=3)
    fake_log.append(
        [("a", b"")], kind=3, marker=True, tags={"fanfare-error": "too_large", "fanfare-size": "70000"}
    )
    pubs = await sdk.wait_pubs("a", 5)
    assert pubs[0]["data"] == {"text": 'ä "\\ \U0001f600', "list": [1.5, None, True], "n": 2**53 - 1}
    assert [p["data"] for p in pubs[1:]] == ["line\nbreak \U0001f600", "AP8Q", None, None]
    if sdk.name == "js":  # the Python SDK keeps no tags
        assert pubs[0]["tags"] == {"h": "v ü"}
        assert pubs[4]["tags"] == {"fanfare-error": "too_large", "fanfare-size": "70000"}


async def test_recovers_after_a_cut(sdk, edges, fake_log, gates):
    gate = await gates(edges())
    await join(sdk, gate)
    sent = 0
    for round_ in range(3):
        fake_log.append(numbers(sent, 10))
        await sdk.wait_pubs("a", sent + 10)
        gate.cut(stay_open=False)
        await sdk.event("connecting", count=round_ + 2)
        fake_log.append(numbers(sent + 10, 10))
        gate.open = True
        back = await sdk.event("subscribed", count=round_ + 2, channel="a")
        assert back["was_recovering"] and back["recovered"]
        sent += 20
    await sdk.wait_pubs("a", sent)
    fake_log.append(numbers(sent, 1))
    await sdk.wait_pubs("a", sent + 1)
    assert got(sdk, "a") == list(range(sent + 1))


async def test_recovers_several_channels_at_once(sdk, edges, fake_log, gates):
    gate = await gates(edges())
    await join(sdk, gate, "c0")
    names = [f"c{i}" for i in range(20)]
    for name in names[1:]:
        await sdk.subscribe(name)
        await sdk.event("subscribed", channel=name)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    fake_log.append([(name, {"n": n}) for n in range(30) for name in names])
    gate.open = True
    for name in names:
        assert (await sdk.event("subscribed", count=2, channel=name))["recovered"]
        await sdk.wait_pubs(name, 30)
    assert all(got(sdk, name) == list(range(30)) for name in names)


async def test_recovers_more_than_one_reply_holds(sdk, edges, fake_log, gates):
    """Hundreds of KB: a first page in the reply, the rest as pushes, while more comes live."""
    gate = await gates(edges())
    await join(sdk, gate)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    filler = "x" * 1000
    fake_log.append([("a", {"n": n, "filler": filler}) for n in range(800)])
    gate.open = True
    for n in range(800, 850):
        fake_log.append(numbers(n, 1))
        await asyncio.sleep(0)
    back = await sdk.event("subscribed", count=2, channel="a")
    assert back["recovered"]
    await sdk.wait_pubs("a", 850, timeout=30)
    assert got(sdk, "a") == list(range(850))


async def test_recovers_across_holes_and_other_keys(sdk, edges, fake_log, gates):
    gate = await gates(edges())
    fake_log.append(numbers(0, 2), step=7)
    await join(sdk, gate)
    fake_log.append(numbers(2, 1), step=1000)
    await sdk.wait_pubs("a", 1)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    fake_log.append([(f"other-{i}", {"n": i}) for i in range(200)], step=3)
    fake_log.append(numbers(3, 5), step=11)
    gate.open = True
    assert (await sdk.event("subscribed", count=2, channel="a"))["recovered"]
    await sdk.wait_pubs("a", 6)
    assert got(sdk, "a") == [2, 3, 4, 5, 6, 7]


async def test_told_when_the_stream_was_trimmed(sdk, edges, fake_log, gates):
    edge = edges()
    gate = await gates(edge)
    await join(sdk, gate)
    fake_log.append(numbers(0, 5))
    await sdk.wait_pubs("a", 5)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    fake_log.append(numbers(5, 100))
    fake_log.trim(fake_log.partition("a"), keep=10)
    gate.lead_to(edges())  # an edge that has none of it in memory
    gate.open = True
    back = await sdk.event("subscribed", count=2, channel="a")
    assert back["was_recovering"] and not back["recovered"]
    assert back["position"] == {"offset": 105, "epoch": fake_log.log}
    fake_log.append(numbers(105, 3))
    await sdk.wait_pubs("a", 8)
    assert got(sdk, "a") == [0, 1, 2, 3, 4, 105, 106, 107]


async def test_told_of_a_hole_under_it(sdk, edges, fake_log):
    """An unsubscribe push and the reply to the next subscribe, both with a `gap` that SDKs don't know."""
    await join(sdk, edges())
    fake_log.append(numbers(0, 5))
    await sdk.wait_pubs("a", 5)
    fake_log.lose("a", 3)
    fake_log.append(numbers(8, 1))
    back = await sdk.event("subscribed", count=2, channel="a")
    assert back["was_recovering"] and not back["recovered"]
    assert sdk.all("subscribing", channel="a", code=2500)
    fake_log.append(numbers(9, 3))
    await sdk.wait_pubs("a", 8)
    assert got(sdk, "a") == [0, 1, 2, 3, 4, 9, 10, 11]
    assert not sdk.all("error") and not sdk.all("disconnected")


async def choke(edge, gate, log, metric):
    """Nothing reaches the SDK any more, and records come until the edge has counted it (the kernel takes
    some MB at first, and some more when it notices). Returns how many there are then."""
    gate.silence()
    filler, count = "x" * 4000, 0
    while not edge.metrics().total(metric):
        log.append([("a", {"n": n, "filler": filler}) for n in range(count, count + 100)])
        count += 100
        await asyncio.sleep(0.01)
        assert count < 20000, "it takes and takes"
    return count


async def test_slow_and_closed_it_resumes(sdk, edges, fake_log, gates):
    edge = edges(namespaces={"": {"topic": "t", "slow_clients": "disconnect", "slow_time": "300ms"}})
    gate = await gates(edge)
    await join(sdk, gate)
    end = await choke(edge, gate, fake_log, "fanfare_edge_slow_disconnects_total")
    gate.silence(False)
    await sdk.event("connecting", code=3008, reason="slow", timeout=30)
    back = await sdk.event("subscribed", count=2, channel="a", timeout=30)
    assert back["recovered"]
    await sdk.wait_pubs("a", end, timeout=30)
    assert got(sdk, "a") == list(range(end))
    assert not sdk.all("disconnected")


async def test_slow_and_given_the_latest(sdk, edges, fake_log, gates):
    edge = edges(namespaces={"": {"topic": "t", "slow_clients": "latest"}})
    gate = await gates(edge)
    await join(sdk, gate)
    end = await choke(edge, gate, fake_log, "fanfare_edge_slow_total")
    fake_log.append(numbers(end, 1))
    gate.silence(False)
    await sdk.until(lambda: end in got(sdk, "a"), "the latest record", 30)
    numbers_got = got(sdk, "a")
    assert numbers_got == sorted(set(numbers_got)) and len(numbers_got) < end
    skips = [p for p in sdk.pubs("a") if "fanfare-gap" in p["tags"]]
    assert skips or sdk.name == "python"  # which keeps no tags
    assert not sdk.all("error") and not sdk.all("disconnected")


async def test_latest_record(sdk, edges, fake_log, gates):
    gate = await gates(edges(namespaces={"": {"topic": "t", "history": "latest"}}))
    fake_log.register(history="latest")
    fake_log.append(numbers(0, 5))
    first = [4] if sdk.name == "js" else []  # the only one of the two that can ask for it at first
    await sdk.create(gate.url)
    await sdk.connect()
    await sdk.subscribe("a", **({"since": (0, "")} if first else {}))
    await sdk.event("subscribed", channel="a")
    fake_log.append(numbers(5, 1))
    await sdk.wait_pubs("a", len(first) + 1)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    fake_log.append(numbers(6, 50))
    gate.open = True
    assert (await sdk.event("subscribed", count=2, channel="a"))["recovered"]
    fake_log.append(numbers(56, 2))
    await sdk.wait_pubs("a", len(first) + 4)
    assert got(sdk, "a") == [*first, 5, 55, 56, 57]


async def test_told_when_the_log_is_another(sdk, edges, fake_log, redis, gates):
    gate = await gates(edges())
    await join(sdk, gate)
    fake_log.append(numbers(0, 5))
    await sdk.wait_pubs("a", 5)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    with FakeLog(redis, "t", n=2) as newer:
        newer.append(numbers(50, 2))
        gate.lead_to(edges())
        gate.open = True
        back = await sdk.event("subscribed", count=2, channel="a")
        assert back["was_recovering"] and not back["recovered"]
        assert back["position"] == {"offset": 2, "epoch": newer.log}
        newer.append(numbers(52, 2))
        await sdk.wait_pubs("a", 7)
    assert got(sdk, "a") == [0, 1, 2, 3, 4, 52, 53]


async def test_follows_a_log_that_changes_under_it(sdk, edges, fake_log, redis):
    """The edge tells its clients; they come back by themselves and go on in the new log."""
    await join(sdk, edges())
    fake_log.append(numbers(0, 5))
    await sdk.wait_pubs("a", 5)
    with FakeLog(redis, "t", n=2) as newer:
        back = await sdk.event("subscribed", count=2, channel="a")
        assert not back["recovered"] and back["position"]["epoch"] == newer.log
        newer.append(numbers(5, 3))
        await sdk.wait_pubs("a", 8)
    assert got(sdk, "a") == list(range(8))


async def test_history(sdk, edges, fake_log):
    fake_log.append(numbers(0, 30))
    fake_log.append([("other", {"n": 0})])
    await join(sdk, edges())

    async def ask(**options):
        r = await sdk.history("a", **options)
        assert "code" not in r, r
        assert r["epoch"] == fake_log.log
        return [p["offset"] for p in r["publications"]]

    assert await ask(limit=0) == []
    assert await ask(limit=5) == [1, 2, 3, 4, 5]
    assert await ask(limit=5, since=(10, fake_log.log)) == [11, 12, 13, 14, 15]
    assert await ask(limit=50, since=(28, fake_log.log)) == [29, 30]
    assert await ask(limit=3, reverse=True) == [30, 29, 28]
    assert await ask(limit=3, since=(10, fake_log.log), reverse=True) == [9, 8, 7]
    assert (await sdk.history("a", limit=1))["offset"] == fake_log.last[fake_log.partition("a")]
    assert (await sdk.history("a", limit=1, since=(1, "otherlog")))["code"] == 112


async def test_unsubscribes_and_comes_back(sdk, edges, fake_log):
    edge = edges()
    await join(sdk, edge)
    fake_log.append(numbers(0, 2))
    await sdk.wait_pubs("a", 2)
    await sdk.unsubscribe("a")
    await sdk.event("unsubscribed", channel="a")
    await sdk.subscribe("b")
    await sdk.event("subscribed", channel="b")
    fake_log.append(numbers(2, 3) + [("b", {"n": 0})])
    await sdk.wait_pubs("b", 1)
    await sdk.subscribe("a")
    await sdk.event("subscribed", count=2, channel="a")
    fake_log.append(numbers(5, 1))
    await sdk.until(lambda: 5 in got(sdk, "a"), "the record after it came back")
    missed = got(sdk, "a")[2:-1]
    assert missed in ([], [2, 3, 4]), "what came meanwhile: all of it (recovered) or none, never twice"
    assert not sdk.all("disconnected") and not sdk.all("error")


async def test_subscribe_errors(sdk, edges, fake_log, redis):
    namespaces = {"n": {"topic": "t"}, "shut": {"topic": "s", "anonymous": False}, "odd": {"topic": "o"}}
    with FakeLog(redis, "s", namespace="shut"), FakeLog(redis, "o", namespace="odd", state="unmapped"):
        edge = edges(namespaces=namespaces)
        await sdk.create(edge.url)
        await sdk.connect()
        await sdk.event("connected")
        for channel, code in (("nowhere", 102), ("shut:a", 103), ("odd:a", 108)):
            await sdk.subscribe(channel)
            await sdk.event("unsubscribed", channel=channel, code=code)
    await sdk.subscribe("n:a")
    await sdk.event("subscribed", channel="n:a")
