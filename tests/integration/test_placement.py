# SPDX-License-Identifier: Apache-2.0
"""Placement: who names a channel in the URL is told its place, and comes back to the edge that a balancer
chooses by it. What documents have backends compute is taken out of them and run.
"""

import asyncio
import json
import re
import subprocess
import urllib.parse

import pytest

from harness.gate import Balancer
from harness.sdk import JsSdk, PythonSdk, got, numbers
from harness.stream import FakeLog, murmur2, partition_of
from harness.util import REPO, need_program, scaled, snippet

PARTITIONS = 5
NAMESPACES = {
    "": {"topic": "t"},
    "q": {"topic": "q.1_x"},
    "full": {"topic": "f", "key": "full"},
    "any": {"topic": "live", "partitioner": "any"},
    "moved": {"topic": "u"},
    "none": {"topic": "no-worker-knows-it"},
}
TOPICS = {"t": "", "q.1_x": "q", "f": "full", "live": "any", "u": "moved"}


@pytest.fixture
def edge(edges, redis):
    logs = [FakeLog(redis, t, namespace=n, partitions=PARTITIONS) for t, n in TOPICS.items()]
    logs[2].register(key="full")
    logs[3].register(partitioner="any")
    logs[4].register(state="unmapped")
    node = edges(namespaces=NAMESPACES)
    node.wait_for(lambda: len(node.events("topic")) == len(TOPICS), "all topics are known", 10)
    yield node
    for log in logs:
        log.close()


async def told(fan, edge, query):
    """`data` of the connect reply; None without one. Whatever the URL says, the client is served."""
    client = await fan(edge.url + query)
    assert client.connected["client"]
    return client.connected.get("data")


def named(channel):
    return "?channel=" + urllib.parse.quote(channel, safe="")


NAMES = ["a", "b c", "x&y=z;w", "a+b", "100%", "%41", "ü/é", "日本", 'quo"te', "a?b#c", "=", "other:key"]
NAMES += ["n" * 255]


async def test_told(edge, fan):
    for key in NAMES:
        place = f"t-{partition_of(key, PARTITIONS)}"
        assert await told(fan, edge, named(key)) == {"place": place, "partitions": PARTITIONS}, key
        if len(key) < 250:
            of_q = await told(fan, edge, named(f"q:{key}"))
            assert of_q["place"] == f"q.1_x-{partition_of(key, PARTITIONS)}"
            of_full = await told(fan, edge, named(f"full:{key}"))
            assert of_full["place"] == f"f-{partition_of(f'full:{key}', PARTITIONS)}"
    assert edge.metrics().total("fanfare_edge_places_total", result="told") == 3 * len(NAMES) - 2


async def test_told_beside_other_arguments(edge, fan):
    expected = f"t-{partition_of('a', PARTITIONS)}"
    long = "x" * 2000
    for query in ("?place=t-9&channel=a", f"?t={long}&channel=a&b", "?&channel=a", "?channel=a&channel=b"):
        assert (await told(fan, edge, query))["place"] == expected, query


UNTOLD = ["", "?", "?channel", "?channel=", "?channels=a", "?place=t-1", "?Channel=a"]
UNKNOWN = ["none:a", "any:a", "moved:a"]
BAD = ["%FF", "q:", "n" * 256]


async def test_not_told_and_served(edge, fan):
    for query in UNTOLD:
        assert await told(fan, edge, query) is None, query
    for channel in UNKNOWN:
        assert await told(fan, edge, named(channel)) is None, channel
    for text in BAD:
        assert await told(fan, edge, f"?channel={text}") is None, text
    metrics = edge.metrics()
    assert metrics.total("fanfare_edge_places_total", result="told") == 0
    assert metrics.total("fanfare_edge_places_total", result="unknown") == len(UNKNOWN)
    assert metrics.total("fanfare_edge_places_total", result="bad") == len(BAD)


async def test_without_a_default_namespace(edges, fan):
    edge = edges(namespaces={"q": {"topic": "t"}})
    assert await told(fan, edge, "?channel=a") is None
    assert edge.metrics().total("fanfare_edge_places_total", result="bad") == 1


async def test_partitions_are_added(edges, redis, fan, fake_log):
    edge = edges()
    await asyncio.to_thread(edge.wait_event, "topic")
    assert (await told(fan, edge, "?channel=a"))["partitions"] == fake_log.partitions
    with FakeLog(redis, "t", partitions=7, n=2):
        async with asyncio.timeout(scaled(10)):
            while (await told(fan, edge, "?channel=a"))["partitions"] != 7:
                await asyncio.sleep(0.1)
        assert (await told(fan, edge, "?channel=a"))["place"] == f"t-{partition_of('a', 7)}"


# The official SDKs, behind a balancer.


@pytest.fixture
async def balancer(edges, fake_log):
    both = [edges(), edges()]
    for edge in both:
        await asyncio.to_thread(edge.wait_event, "topic")
    way = await Balancer(both).start()
    yield way
    await way.stop()


def channel_at(balancer, log, index):
    """(a channel whose place leads there, the place)"""
    for i in range(1000):
        place = f"t-{log.partition(f'c{i}')}"
        if balancer.index_of(place) == index:
            return f"c{i}", place
    raise AssertionError("all places lead to one edge")


def sessions(balancer):
    return [edge.metrics().total("fanfare_edge_sessions") for edge in balancer.edges]


async def test_the_sdk_comes_back_to_its_place(balancer, edges, fake_log):
    """The document's placedClient(): the first connect isn't placed, the next one is, and nothing is lost."""
    sdk = await JsSdk().start()
    try:
        channel, place = channel_at(balancer, fake_log, 1)
        await sdk.create_placed(balancer.url, channel)
        await sdk.connect()
        await sdk.subscribe(channel)
        await sdk.event("subscribed", channel=channel)
        connected = await sdk.event("connected")
        assert connected["data"] == {"place": place, "partitions": fake_log.partitions}
        assert sessions(balancer) == [1, 0]
        fake_log.append(numbers(0, 10, channel))
        await sdk.wait_pubs(channel, 10)
        balancer.cut(stay_open=False)
        await sdk.event("connecting", count=2)
        fake_log.append(numbers(10, 10, channel))
        balancer.open = True
        assert (await sdk.event("subscribed", count=2, channel=channel))["recovered"]
        await sdk.wait_pubs(channel, 20)
        assert sessions(balancer) == [0, 1]
        assert balancer.asked[0] is None and set(balancer.asked[1:]) == {place}
        assert got(sdk, channel) == list(range(20))
    finally:
        await sdk.stop()


@pytest.mark.parametrize("kind", [JsSdk, PythonSdk], ids=lambda kind: kind.name)
async def test_sdks_hand_the_place_on(kind, balancer, edges, fake_log):
    """For the next client's URL, where a client can't change its own."""
    channel, place = channel_at(balancer, fake_log, 1)
    for query in (f"?channel={channel}", f"?channel={channel}&place={place}"):
        sdk = await kind().start()
        try:
            await sdk.create(balancer.url + query)
            await sdk.connect()
            assert (await sdk.event("connected"))["data"]["place"] == place
        finally:
            await sdk.stop()
    assert balancer.asked == [None, place]


# What the document has backends compute.

DOCUMENT = "docs/protocol.md"
KEYS = [k * n for n in (1, 7, 100) for k in ("a", "ab", "abc", "ü", "日本", "\U0001f600", "x:y")]


def vectors():
    """The document's table: [(key, murmur2, place of topic t with 64 partitions)]"""
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| `(t-\d+)` \|$", (REPO / DOCUMENT).read_text(), re.M)
    assert len(rows) > 5
    return [(key, int(number), place) for key, number, place in rows]


def by_javascript(keys):
    code = snippet(DOCUMENT, "js", "function murmur2(")
    code += """
    const keys = JSON.parse(require('fs').readFileSync(0));
    const rows = keys.map((k) => [murmur2(new TextEncoder().encode(k)), place('t', k, 64)]);
    console.log(JSON.stringify(rows));
    """
    done = subprocess.run(
        [need_program("node"), "-e", code],
        input=json.dumps(keys),
        capture_output=True,
        text=True,
        timeout=scaled(30),
    )
    assert done.returncode == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout)]


def by_python(keys):
    scope = {}
    exec(snippet(DOCUMENT, "python", "def murmur2("), scope)
    return [(scope["murmur2"](k.encode()), scope["place"]("t", k, 64)) for k in keys]


@pytest.mark.parametrize("compute", [by_javascript, by_python])
def test_backends_compute_the_same(compute):
    keys = [row[0] for row in vectors()] + KEYS
    found = compute(keys)
    assert found[: len(vectors())] == [row[1:] for row in vectors()]
    assert found == [(murmur2(k.encode()), f"t-{partition_of(k, 64)}") for k in keys]
