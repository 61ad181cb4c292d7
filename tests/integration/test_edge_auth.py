# SPDX-License-Identifier: Apache-2.0
"""Tokens: HS256 and RS256, what they grant, when they end, and the forgeries that must not pass."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest

from harness.certificate import make_rsa
from harness.client import FanClient, FanError

SECRET = "a secret of at least thirty-two bytes"
RSA = make_rsa()
PRIVATE = {"": {"topic": "t", "anonymous": False}}


def token(key=SECRET, algorithm="HS256", ttl=3600, **claims):
    claims = {"sub": "u"} | ({"exp": int(time.time()) + ttl} if ttl else {}) | claims
    return jwt.encode(claims, key, algorithm=algorithm)


def forge(header, claims, key):
    """A token signed with HMAC whatever the header says; jwt refuses to make such ones."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (header, claims)]
    mac = hmac.new(key, b".".join(parts), hashlib.sha256).digest() if key else b""
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


@pytest.fixture
def edge(edges, fake_log):
    return edges(anonymous=False, token_hmac_secret=SECRET, token_rsa_public_key=RSA[1], namespaces=PRIVATE)


async def refused(edge, text):
    """The error code or the close code that a connect with this token gets."""
    client = await FanClient.open(edge.url)
    try:
        await client.command({"connect": {"token": text} if text is not None else {}})
    except FanError as e:
        return e.code
    except ConnectionError:
        return (await client.wait_closed())[0]
    finally:
        await client.close()
    return 0


@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (RSA[0], "RS256")])
async def test_what_a_token_allows(edge, fan, key, algorithm):
    client = await fan(edge, token=token(key, algorithm, allow=["one", "team-*"]))
    assert client.connected["expires"] and 3590 <= client.connected["ttl"] <= 3600
    await client.subscribe("one")
    await client.subscribe("team-x")
    for channel in ("two", "one2", "team"):
        with pytest.raises(FanError) as caught:
            await client.subscribe(channel)
        assert caught.value.code == 103, channel


async def test_what_is_refused(edge):
    claims = {"sub": "u", "exp": int(time.time()) + 100}
    good = token()
    assert await refused(edge, good) == 0
    assert await refused(edge, None) == 101
    assert await refused(edge, token(ttl=-5)) == 109
    assert await refused(edge, "nonsense") == 3500
    assert await refused(edge, good[:-2] + ("AA" if good[-2:] != "AA" else "BB")) == 3500
    assert await refused(edge, token("another secret of thirty-two bytes!!")) == 3500
    assert await refused(edge, token(make_rsa()[0], "RS256")) == 3500
    assert await refused(edge, token(nbf=int(time.time()) + 100)) == 3500
    assert await refused(edge, token(channel="one")) == 3500  # a subscription token
    assert await refused(edge, forge({"alg": "none", "typ": "JWT"}, claims, None)) == 3500
    assert await refused(edge, forge({"alg": "RS256", "typ": "JWT"}, claims, SECRET.encode())) == 3500


async def test_hs256_with_the_public_key_as_secret(edges, fake_log):
    """The classic forgery, where only RS256 is configured."""
    edge = edges(anonymous=False, token_rsa_public_key=RSA[1])
    claims = {"sub": "u", "exp": int(time.time()) + 100}
    for key in (RSA[1], RSA[1].strip()):
        text = forge({"alg": "HS256", "typ": "JWT"}, claims, key.encode())
        assert await refused(edge, text) == 3500
    assert await refused(edge, token(RSA[0], "RS256")) == 0


async def test_refresh(edge, fan):
    client = await fan(edge, token=token(ttl=60))
    reply = await client.command({"refresh": {"token": token(ttl=500)}})
    assert reply["expires"] and 490 <= reply["ttl"] <= 500
    with pytest.raises(FanError) as caught:
        await client.command({"refresh": {"token": token(ttl=-1)}})
    assert caught.value.code == 109
    await client.send_raw(json.dumps({"id": 9, "refresh": {"token": token(sub="other")}}))
    assert (await client.wait_closed())[0] == 3500


async def test_server_side_channels_recover(edge, fake_log, fan):
    text = token(channels=["a", "b"])
    client = await fan(edge, token=text)
    subs = client.connected["subs"]
    assert set(subs) == {"a", "b"} and subs["a"]["epoch"] == fake_log.log
    fake_log.append([("a", n) for n in range(5)])
    await client.wait_pubs("a", 5)
    at, epoch = client.cursor("a")
    await client.abort()
    fake_log.append([("a", n) for n in range(5, 9)] + [("b", 0)])
    edge.wait_metric("fanfare_edge_records_total", 10)  # b has no cursor: it begins where the edge is
    again = await fan(edge, token=text, subs={"a": {"recover": True, "offset": at, "epoch": epoch}})
    sub = again.connected["subs"]["a"]
    assert sub["recovered"] and sub["was_recovering"] and sub["offset"] == at
    fake_log.append([("a", 9), ("b", 1)])
    await again.wait_pubs("b", 1)
    assert [p["data"] for p in await again.wait_pubs("a", 5)] == [5, 6, 7, 8, 9]
    assert [p["data"] for p in again.pubs["b"]] == [1]
    fake_log.lose("a", 3)
    fake_log.append([("a", 13)])
    assert (await again.wait_closed())[0] == 3010
    (push,) = again.pushes
    assert push["channel"] == "a" and push["gap"]["from"] >= again.cursor("a")[0]
    assert push["gap"]["to"] == fake_log.last[fake_log.partition("a")] - 1


async def test_subscription_tokens(edge, fake_log, fan):
    client = await fan(edge, token=token())
    for text, code in [
        (token(channel="other"), 103),
        (token(channel="s", sub="somebody"), 103),
        (token(channel="s", ttl=-5), 109),
        (token(), 103),
    ]:
        with pytest.raises(FanError) as caught:
            await client.subscribe("s", token=text)
        assert caught.value.code == code
    sub = await client.subscribe("s", token=token(channel="s", ttl=50))
    assert sub["expires"] and 40 <= sub["ttl"] <= 50
    reply = await client.command({"sub_refresh": {"channel": "s", "token": token(channel="s", ttl=90)}})
    assert 80 <= reply["ttl"] <= 90
    fake_log.append([("s", 1)])
    await client.wait_pubs("s", 1)


async def test_expiry(edge, fan):
    """25 s of grace are kept; so this test is about that long."""
    client = await fan(edge, token=token(ttl=1))
    began = time.monotonic()
    assert (await client.wait_closed(timeout=40))[0] == 3005
    assert time.monotonic() - began > 24
