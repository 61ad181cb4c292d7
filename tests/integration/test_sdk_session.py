# SPDX-License-Identifier: Apache-2.0
"""The official SDKs over a connection's life: tokens and their refresh, server-side subscriptions, pings,
edges that stop or die, and the whole way from Kafka. Each test runs with both; see test_sdk.py.
"""

import asyncio
import json
import time

import jwt
import pytest

from harness.sdk import JsSdk, PythonSdk, got, join, numbers

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(params=[JsSdk, PythonSdk], ids=lambda kind: kind.name)
async def sdk(request, edges):
    """After edges, so that it leaves before they stop: nobody waits for a client without a loop."""
    sdk = await request.param().start()
    yield sdk
    await sdk.stop()


def token(user="u", ttl=3600, **claims):
    return jwt.encode({"sub": user, "exp": int(time.time()) + ttl, **claims}, SECRET, algorithm="HS256")


async def test_token_decides_about_channels(sdk, edges, fake_log, redis):
    namespaces = {"": {"topic": "t", "anonymous": False}}
    edge = edges(namespaces=namespaces, anonymous=False, token_hmac_secret=SECRET)
    await sdk.create(edge.url, token=token(allow=["a", "room-*"]), tokens={"sub": [token(channel="sub")]})
    await sdk.connect()
    await sdk.event("connected")
    for channel in ("a", "room-1", "sub"):
        await sdk.subscribe(channel)
        await sdk.event("subscribed", channel=channel)
    await sdk.subscribe("b")
    await sdk.event("unsubscribed", channel="b", code=103)


async def test_a_bad_token_ends_it(sdk, edges, fake_log):
    edge = edges(anonymous=False, token_hmac_secret=SECRET)
    await sdk.create(edge.url, token=token()[:-4] + "AAAA")
    await sdk.connect()
    await sdk.event("disconnected", code=3500)


async def test_server_side_subscriptions_recover(sdk, edges, fake_log, gates):
    gate = await gates(edges(anonymous=False, token_hmac_secret=SECRET))
    await sdk.create(gate.url, token=token(channels=["a", "b"]))
    await sdk.connect()
    for channel in ("a", "b"):
        assert (await sdk.event("server_subscribed", channel=channel))["recoverable"]
    fake_log.append(numbers(0, 5) + numbers(0, 5, "b"))
    await sdk.wait_pubs("a", 5)
    await sdk.wait_pubs("b", 5)
    gate.cut(stay_open=False)
    await sdk.event("connecting", count=2)
    fake_log.append(numbers(5, 300) + numbers(5, 2, "b"))
    gate.open = True
    for channel in ("a", "b"):
        back = await sdk.event("server_subscribed", count=2, channel=channel)
        assert back["was_recovering"] and back["recovered"]
    await sdk.wait_pubs("a", 305)
    await sdk.wait_pubs("b", 7)
    assert got(sdk, "a") == list(range(305)) and got(sdk, "b") == list(range(7))
    assert all(p["server"] for p in sdk.pubs("a"))


async def test_server_side_subscription_is_told(sdk, edges, fake_log):
    """A push with nothing but a `gap` stands before the close: SDKs don't know it, and reconnect."""
    edge = edges(anonymous=False, token_hmac_secret=SECRET)
    await sdk.create(edge.url, token=token(channels=["a"]))
    await sdk.connect()
    await sdk.event("server_subscribed", channel="a")
    fake_log.append(numbers(0, 5))
    await sdk.wait_pubs("a", 5)
    fake_log.lose("a", 3)
    fake_log.append(numbers(8, 1))
    await sdk.event("connecting", code=3010)
    back = await sdk.event("server_subscribed", count=2, channel="a")
    assert back["was_recovering"] and not back["recovered"]
    fake_log.append(numbers(9, 3))
    await sdk.wait_pubs("a", 8)
    assert got(sdk, "a") == [0, 1, 2, 3, 4, 9, 10, 11]
    assert not sdk.all("error") and not sdk.all("disconnected")


async def test_tokens_are_refreshed(sdk, edges, fake_log):
    """Connection and subscription tokens that live three seconds: nothing ends, nothing is lost."""
    edge = edges(
        namespaces={"": {"topic": "t", "anonymous": False}}, anonymous=False, token_hmac_secret=SECRET
    )
    soon = token(ttl=3)
    tokens = {"": [token()], "a": [token(ttl=3, channel="a"), token(channel="a")]}
    await join(sdk, edge, token=soon, tokens=tokens)
    await sdk.event("get_token", channel="", timeout=20)
    await sdk.event("get_token", count=2, channel="a", timeout=20)
    await asyncio.to_thread(edge.wait_metric, "fanfare_edge_sessions", 1)
    deadline = time.monotonic() + 5
    sent = 0
    while time.monotonic() < deadline:  # past both expiries and their grace
        fake_log.append(numbers(sent, 1))
        sent += 1
        await sdk.wait_pubs("a", sent)
        await asyncio.sleep(0.2)
    assert got(sdk, "a") == list(range(sent))
    assert len(sdk.all("connected")) == 1 and len(sdk.all("subscribed")) == 1


async def test_an_expired_token_is_replaced_at_connect(sdk, edges, fake_log):
    edge = edges(anonymous=False, token_hmac_secret=SECRET)
    await sdk.create(edge.url, token=token(ttl=-60), tokens={"": [token()]})
    await sdk.connect()
    await sdk.event("connected")
    assert len(sdk.all("get_token")) == 1


async def test_stays_by_pings(sdk, edges, fake_log):
    """Pings each second: the edge gives up on a client without a pong, the SDK on an edge without a
    ping, both within less than the time that both stay."""
    delay = {"maxServerPingDelay": 4000} if sdk.name == "js" else {"max_server_ping_delay": 4.0}
    edge = edges(ping_interval="1s", pong_timeout="4s")
    await join(sdk, edge, **delay)
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + 8:
        fake_log.append(numbers(sent, 1))
        sent += 1
        await sdk.wait_pubs("a", sent)
        await asyncio.sleep(0.3)
    assert len(sdk.all("connected")) == 1 and not sdk.all("disconnected")


async def test_kafka_to_sdk(sdk, nodes, topics, topic, gates):
    """The whole way, with the edge taken away once."""
    namespaces = {"q": {"topic": topic}}
    nodes.worker(group=topic, namespaces=namespaces)
    first, second = (nodes.edge(namespaces=namespaces, shards=1) for _ in range(2))
    gate = await gates(first)
    await join(sdk, gate, "q:a")

    async def produce(first, count):
        records = [("a", json.dumps({"n": n})) for n in range(first, first + count)]
        await asyncio.to_thread(topics.produce, topic, records)

    await produce(0, 20)
    await sdk.wait_pubs("q:a", 20, timeout=30)
    gate.cut(stay_open=False)
    first.kill()
    await produce(20, 200)
    gate.lead_to(second)
    gate.open = True
    assert (await sdk.event("subscribed", count=2, channel="q:a"))["recovered"]
    await sdk.wait_pubs("q:a", 220)
    await produce(220, 5)
    await sdk.wait_pubs("q:a", 225)
    assert got(sdk, "q:a") == list(range(225))


async def test_moves_to_another_edge_on_sigterm(sdk, edges, fake_log, gates):
    first, second = edges(node="first", drain_time="1s"), edges(node="second")
    gate = await gates(first)
    await join(sdk, gate)
    fake_log.append(numbers(0, 10))
    await sdk.wait_pubs("a", 10)
    gate.lead_to(second)
    stopped = asyncio.create_task(asyncio.to_thread(first.stop))
    await sdk.event("connecting", code=3001)
    fake_log.append(numbers(10, 50))
    back = await sdk.event("subscribed", count=2, channel="a")
    assert back["recovered"]
    fake_log.append(numbers(60, 5))
    await sdk.wait_pubs("a", 65)
    assert got(sdk, "a") == list(range(65))
    assert await stopped == 0
