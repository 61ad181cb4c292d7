# SPDX-License-Identifier: Apache-2.0
"""GET /connect on the client port of an edge alone: JSON, redirects, web pages of other origins, and what a
hostile client may ask.
"""

import asyncio
import http.client
import json
import socket

import pytest
from websockets.asyncio.client import connect as ws_connect

from harness.sdk import PythonSdk, got, node_modules, numbers
from harness.stream import partition_of
from harness.util import need_program, scaled, snippet


def ask(edge, query="", method="GET", **headers):
    """(status, headers, JSON or None)"""
    c = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=scaled(5))
    c.request(method, f"/connect{query}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    body = r.read()
    c.close()
    return r.status, r.headers, json.loads(body) if body else None


@pytest.fixture
def edge(edges, fake_log):
    node = edges(node="one", region="eu")
    node.wait_for(lambda: node.get("/health/ready")[0] == 200, "ready", 10)
    return node


def test_itself(edge, fake_log):
    status, headers, said = ask(edge)
    assert status == 200 and headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    own = {"transport": "websocket", "endpoint": edge.url, "node": "one", "region": "eu"}
    assert said == {"endpoints": [own]}
    place = f"t-{partition_of('a b', fake_log.partitions)}"
    assert ask(edge, "?channel=a%20b")[2] == {"endpoints": [own], "place": place}
    assert ask(edge, "?channel=a%20b&transport=websocket")[0] == 200
    for channel in ("%FF", "n" * 256, ""):
        assert ask(edge, f"?channel={channel}")[2] == {"endpoints": [own]}
    assert edge.metrics().total("fanfare_edge_endpoints_told_total") == 6
    assert edge.metrics().total("fanfare_edge_places_total", result="bad") == 2
    status, _, said = ask(edge, "?transport=sse")
    assert status == 400 and said["endpoints"] == [] and "websocket" in said["error"]


def test_advertised(edges, fake_log):
    edge = edges(advertise="wss://edge-1.example.com")
    assert ask(edge)[2]["endpoints"][0]["endpoint"] == "wss://edge-1.example.com/connection/websocket"


def test_redirect(edge):
    status, headers, said = ask(edge, "?redirect=1")
    assert status == 307 and headers["location"] == edge.url and said["endpoints"]
    for query in ("?redirect=0", "?redirect", "?x=redirect=1"):
        assert ask(edge, query)[0] == 200


async def test_a_websocket_is_led_on(edge):
    """The library follows redirects, and so does the SDK that uses it."""
    async with ws_connect(f"ws://{edge.address}/connect?channel=a") as ws:
        await ws.send(json.dumps({"id": 1, "connect": {}}))
        assert json.loads(await ws.recv())["connect"]["node"] == "one"


async def test_the_python_sdk_is_led_on(edge, fake_log):
    sdk = await PythonSdk().start()
    try:
        await sdk.create(f"ws://{edge.address}/connect?channel=a")
        await sdk.connect()
        await sdk.subscribe("a")
        await sdk.event("subscribed", channel="a")
        fake_log.append(numbers(0, 5))
        await sdk.wait_pubs("a", 5)
        assert got(sdk, "a") == list(range(5))
    finally:
        await sdk.stop()


ASKING = """
import {{ Centrifuge }} from "centrifuge";
import WS from "ws";
globalThis.WebSocket = WS;
{snippet}
const client = new Centrifuge("ws://{address}/connect?channel=a", {{ websocket: AskingSocket }});
const sub = client.newSubscription("a");
sub.on("subscribed", () => console.log("subscribed"));
sub.on("publication", (context) => console.log(JSON.stringify(context.data)));
sub.subscribe();
client.connect();
"""


async def test_the_documents_class_for_javascript(edge, fake_log):
    script = node_modules() / "asking.mjs"  # packages are looked for beside the program
    words = snippet("docs/protocol.md", "js", "class AskingSocket")
    script.write_text(ASKING.format(snippet=words, address=edge.address))
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(need_program("node"), script, stdout=pipe)
    try:
        async with asyncio.timeout(scaled(15)):
            assert await node.stdout.readline() == b"subscribed\n"
            fake_log.append([("a", 7)])
            assert await node.stdout.readline() == b"7\n"
    finally:
        node.kill()
        await node.wait()


def test_nobody_takes_clients(edge):
    assert edge.get("/admin/drain", method="POST")[0] == 200
    edge.wait_for(lambda: ask(edge)[0] == 503, "503", 5)
    assert ask(edge)[2] == {"endpoints": [], "error": "no edge takes clients; ask again"}
    assert ask(edge, "?redirect=1")[0] == 503 and "location" not in ask(edge, "?redirect=1")[1]
    assert edge.get("/admin/drain", method="DELETE")[0] == 200
    edge.wait_for(lambda: ask(edge)[0] == 200, "200", 5)


def test_pages_of_any_origin(edge):
    _, headers, _ = ask(edge, Origin="https://app.example")
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in ask(edge)[1]


async def test_pages_of_listed_origins(edges, fake_log):
    edge = edges(origins=["https://app.example"])
    status, headers, _ = await asyncio.to_thread(ask, edge, Origin="https://app.example")
    assert status == 200 and headers["access-control-allow-origin"] == "https://app.example"
    assert headers["vary"] == "Origin"
    status, headers, said = await asyncio.to_thread(ask, edge, Origin="https://evil.example")
    assert status == 403 and not said["endpoints"]
    assert (await asyncio.to_thread(ask, edge))[0] == 200
    evil = {"Origin": "https://evil.example"}
    assert await asyncio.to_thread(edge.upgrade, "/connect", evil) == 403


def test_beside_a_page(edges, fake_log, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("a page")
    edge = edges(page_dir=str(tmp_path / "page"))
    assert ask(edge)[0] == 200
    assert edge.get("/", edge.address) == (200, "a page")
    assert edge.get("/connecting", edge.address)[0] == 404


def test_several_on_one_connection(edge):
    """Pipelined ones, too; a body ends the connection, and the edge lives on."""
    request = b"GET /connect?channel=a HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), scaled(5)) as s:
        for count in (1, 1, 3):
            s.sendall(request * count)
            found = b""
            while found.count(b"HTTP/1.1 200") < count or not found.endswith(b"}\n"):
                more = s.recv(4096)
                assert more
                found += more
    with socket.create_connection(("127.0.0.1", edge.port), scaled(5)) as s:
        s.sendall(b"POST /connect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert s.recv(4096).startswith(b"HTTP/1.1 413")
    assert ask(edge)[0] == 200


def test_a_header_cannot_be_forged(edge):
    for query in ("?channel=a%0d%0aX-Bad:1", "?transport=a%0d%0aX-Bad:1", "?channel=%00"):
        with socket.create_connection(("127.0.0.1", edge.port), scaled(5)) as s:
            s.sendall(f"GET /connect{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert b"\r\nX-Bad" not in s.recv(4096)
    assert ask(edge)[0] == 200
