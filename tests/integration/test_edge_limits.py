# SPDX-License-Identifier: Apache-2.0
"""Every bound that a client can meet, and how it is told: close codes and errors."""

import asyncio
import time

import pytest
import websockets

from harness.client import FanClient, FanError
from harness.util import scaled


@pytest.fixture
async def raw(edges, fake_log):
    """raw(text or bytes, …): an edge's answer to these messages: its close code."""
    edge = edges(frame_max=2048, connect_timeout="700ms")
    opened = []

    async def make(*messages, connect=True):
        client = await FanClient.open(edge.url)
        opened.append(client)
        for message in (['{"id":1,"connect":{}}'] if connect else []) + list(messages):
            await client.send_raw(message)
        return (await client.wait_closed())[0]

    yield make
    for client in opened:
        await client.close()


@pytest.mark.parametrize(("size", "expected"), [(2049, 1009), (200000, 1009), (2048, 3501)])
async def test_frame_max(raw, size, expected):
    assert await raw('"' + "x" * (size - 2) + '"') == expected


@pytest.mark.parametrize(
    "text",
    ["", "\n", "no json", "[]", "5", '{"id":2,"ping":{}', '{"id":-1,"ping":{}}', '{"id":"2","ping":{}}',
     '{"id":4294967296,"ping":{}}', '{"id":2,"ping":{}}\n}', '{"subscribe":{"channel":"a"}}',
     '{"id":2,"connect":{}}'],
)  # fmt: skip
async def test_what_is_not_the_protocol(raw, text):
    assert await raw(text) == 3501


async def test_the_first_command_is_connect(raw):
    assert await raw('{"id":1,"subscribe":{"channel":"a"}}', connect=False) == 3501


@pytest.mark.parametrize("subs", ['"a"', '{"a":7}', '{"a":{"recover":true,"offset":"7"}}'])
async def test_a_resume_is_not_dropped_silently(raw, subs):
    assert await raw('{"id":1,"connect":{"subs":%s}}' % subs, connect=False) == 3501


async def test_no_connect_in_time(raw):
    began = time.monotonic()
    assert await raw(connect=False) == 3502
    assert time.monotonic() - began > 0.6


async def test_no_pong(edges, fake_log, fan):
    edge = edges(ping_interval="1s", pong_timeout="500ms")
    silent = await fan(edge, auto_pong=False)
    lively = await fan(edge)
    assert silent.connected["ping"] == 1 and silent.connected["pong"] is True
    assert (await silent.wait_closed())[0] == 3012
    await lively.wait(lambda: lively.pings >= 3, "three pings")
    assert not lively.closed


async def test_channels_max(edges, fake_log, fan):
    client = await fan(edges(channels_max=3))
    for name in "abc":
        await client.subscribe(name)
    with pytest.raises(FanError) as caught:
        await client.subscribe("d")
    assert caught.value.code == 106
    await client.unsubscribe("b")
    await client.subscribe("d")


async def test_a_batch_is_answered_command_by_command(edges, fake_log, fan):
    client = await fan(edges())
    replies = await client.batch(
        [
            {"ping": {}},
            {"subscribe": {"channel": "a"}},
            {"subscribe": {"channel": 1}},
            {"history": {"channel": "a"}},
        ]
    )
    assert [sorted(set(r) - {"id"})[0] for r in replies] == ["ping", "subscribe", "error", "history"]


async def test_too_many_history_requests_at_once(edges, fake_log, fan):
    client = await fan(edges())
    replies = await client.batch([{"history": {"channel": f"c{i}"}} for i in range(12)])
    codes = [r.get("error", {}).get("code") for r in replies]
    assert codes.count(111) == 4 and codes.count(None) == 8


HERE, ELSEWHERE = "https://here.example", "https://elsewhere.example"
REFUSED = [
    ("/nowhere", HERE, 404),
    ("/", HERE, 404),
    ("/health/live", HERE, 404),
    ("/connection/websocket?format=protobuf", HERE, 400),
    ("/connection/websocket?cf_protocol=protobuf", HERE, 400),
    ("/connection/websocket", ELSEWHERE, 403),
]


async def upgrade(edge, path, origin):
    """The status of an upgrade's answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: edge\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def test_upgrades_that_are_refused(edges, fake_log, fan):
    """Each with its status; the edge serves on."""
    edge = edges(origins=[HERE])
    for path, origin, status in REFUSED:
        assert await upgrade(edge, path, origin) == status, path
    client = await fan(edge, origin=HERE)
    await client.subscribe("a")
    fake_log.append([("a", 1)])
    await client.wait_pubs("a", 1)


async def answer(edge, head):
    """All that a connection is told until the edge closes it, which is soon."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write((head + "\r\nHost: edge\r\n\r\n").encode())
    text = await asyncio.wait_for(reader.read(), scaled(3))
    writer.close()
    return text.decode()


@pytest.mark.parametrize(("to", "status"), [("h2c", 400), ("H2C", 400), ("other", 403)])
async def test_no_upgrade_but_to_websocket(edges, fake_log, fan, to, status):
    edge = edges()
    head = f"GET /health/live HTTP/1.1\r\nUpgrade: {to}\r\nConnection: Upgrade, HTTP2-Settings"
    told = await answer(edge, f"{head}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    assert told.split()[1] == str(status)
    await (await fan(edge)).subscribe("a")


@pytest.mark.parametrize("path", ["/health/live", "/x"])
async def test_no_bodies(edges, fake_log, fan, path):
    """Also of a request that came together with the one before it."""
    edge = edges()
    head = f"GET {path} HTTP/1.1\r\nHost: edge\r\n"
    told = await answer(edge, f"{head}Content-Length: 0\r\n\r\n{head}Content-Length: 5")
    assert [told.count(f" {status} ") for status in (200 if "live" in path else 404, 413)] == [1, 1], told
    await (await fan(edge)).subscribe("a")


@pytest.mark.parametrize(
    "head",
    ["GET / HTTP/1.1\r\nTransfer-Encoding: chunked"]
    + [f"{method} /health/live HTTP/1.{minor}" for method in ("POST", "PUT", "PATCH") for minor in (0, 1)],
)
async def test_no_bodies_of_unknown_length(edges, fake_log, fan, head):
    edge = edges()
    told = await answer(edge, f"GET / HTTP/1.1\r\nHost: edge\r\n\r\n{head}")
    assert [told.count(f" {status} ") for status in (404, 413)] == [1, 1], told
    await (await fan(edge)).subscribe("a")


async def test_no_tunnel(edges, fake_log):
    assert await answer(edges(), "CONNECT edge:80 HTTP/1.1") == ""


async def test_no_memory_for_more_clients(edges, fake_log):
    edge = edges(memory_max=1)  # less than it has already
    with pytest.raises(websockets.InvalidStatus) as refused:
        await FanClient.open(edge.url)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "1"
    assert edge.metrics().total("fanfare_edge_refused_total") == 1
    assert edge.event("memory_full")["limit"] == "1"
