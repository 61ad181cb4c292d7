# SPDX-License-Identifier: Apache-2.0
"""The official SDKs, unchanged, behind one face, so that the same test runs on each.

An Sdk takes verbs and keeps a list of events, dicts in the order in which the SDK told them; names are
those of the JavaScript SDK.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
import subprocess

import centrifuge

from .util import REPO, WaitError, cache_dir, locked, need_program, scaled, snippet

SDK_DIR = REPO / "tests" / "integration" / "sdk"


def node_modules():
    """The npm packages of sdk/package-lock.json, installed once a machine; their directory."""
    files = [SDK_DIR / "package.json", SDK_DIR / "package-lock.json"]
    key = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]
    where = cache_dir() / f"sdk-{key}"
    with locked(cache_dir() / "sdk.lock"):
        if not (where / "complete").exists():
            shutil.rmtree(where, ignore_errors=True)
            where.mkdir(parents=True)
            for f in files:
                shutil.copy(f, where)
            argv = [
                need_program("npm"),
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]
            subprocess.run(argv, cwd=where, check=True, stdin=subprocess.DEVNULL, timeout=scaled(120))
            (where / "complete").touch()
    return where


class Sdk:
    """What both have: the events, and waiting for them."""

    def __init__(self):
        self.events = []
        self._changed = asyncio.Condition()

    async def _tell(self, event):
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def all(self, kind, **fields):
        return [e for e in self.events if e["event"] == kind and fields.items() <= e.items()]

    def pubs(self, channel):
        return self.all("publication", channel=channel)

    async def until(self, probe, what, timeout=15):
        try:
            async with asyncio.timeout(scaled(timeout)), self._changed:
                await self._changed.wait_for(probe)
        except TimeoutError:
            raise WaitError(f"not within {scaled(timeout):g} s: {what}; last: {self.events[-8:]}") from None

    async def event(self, kind, count=1, timeout=15, **fields):
        """The count-th event of that kind with those fields."""
        what = f"{count} × {kind} {fields}"
        await self.until(lambda: len(self.all(kind, **fields)) >= count, what, timeout)
        return self.all(kind, **fields)[count - 1]

    async def wait_pubs(self, channel, count, timeout=15):
        await self.until(lambda: len(self.pubs(channel)) >= count, f"{count} of {channel}", timeout)
        return self.pubs(channel)


class JsSdk(Sdk):
    """npm `centrifuge` in a Node process (sdk/remote.mjs)."""

    name = "js"

    async def start(self):
        where = node_modules()
        shutil.copy(SDK_DIR / "remote.mjs", where)  # packages are looked for beside the program
        placed = snippet("docs/protocol.md", "js", "function placedClient(")
        imports = 'import { Centrifuge } from "centrifuge";\n'
        (where / "placed.mjs").write_text(f"{imports}{placed}\nexport {{ placedClient }};\n")
        self.process = await asyncio.create_subprocess_exec(
            need_program("node"),
            where / "remote.mjs",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 24,
        )
        self._ids = 0
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self):
        async for line in self.process.stdout:
            await self._tell(json.loads(line))

    def _do(self, verb, **args):
        self.process.stdin.write(json.dumps({"verb": verb, **args}).encode() + b"\n")

    async def create(self, url, token=None, tokens=None, **options):
        """tokens: {"" or channel: [what getToken answers, one after the other]}."""
        self._do("tokens", tokens=tokens or {})
        self._do("create", url=url, options=options, **({"token": token} if token else {}))

    async def create_placed(self, url, channel):
        """By the document's own words: docs/protocol.md's placedClient()."""
        self._do("create", url=url, placed=channel)

    async def connect(self):
        self._do("connect")

    async def disconnect(self):
        self._do("disconnect")

    async def subscribe(self, channel, token=None, recoverable=True, since=None):
        """since: (offset, epoch) to begin with; the Python SDK has no such option."""
        more = {"token": token} if token else {}
        options = {"recoverable": recoverable}
        if since:
            options["since"] = {"offset": since[0], "epoch": since[1]}
        self._do("subscribe", channel=channel, options=options, **more)

    async def unsubscribe(self, channel):
        self._do("unsubscribe", channel=channel)

    async def history(self, channel, limit=0, since=None, reverse=False):
        self._ids += 1
        options = {"limit": limit, "reverse": reverse}
        if since:
            options["since"] = {"offset": since[0], "epoch": since[1]}
        self._do("history", id=self._ids, channel=channel, options=options)
        return await self.event("result", id=self._ids)

    async def stop(self):
        self.process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), scaled(5))
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._task


def _position(ctx):
    p = ctx.stream_position
    return {"offset": p.offset, "epoch": p.epoch} if p else None


def _pub(pub):
    return {"data": pub.data, "offset": pub.offset, "tags": getattr(pub, "tags", None) or {}}


def _subscribed(ctx):
    return {
        "recoverable": ctx.recoverable,
        "was_recovering": ctx.was_recovering,
        "recovered": ctx.recovered,
        "position": _position(ctx),
    }


class _ClientEvents(centrifuge.ClientEventHandler):
    def __init__(self, sdk):
        self.tell = sdk._tell

    async def on_connecting(self, ctx):
        await self.tell({"event": "connecting", "code": ctx.code, "reason": ctx.reason})

    async def on_connected(self, ctx):
        await self.tell({"event": "connected", "client": ctx.client, "data": ctx.data})

    async def on_disconnected(self, ctx):
        await self.tell({"event": "disconnected", "code": ctx.code, "reason": ctx.reason})

    async def on_error(self, ctx):
        await self.tell({"event": "error", "code": ctx.code, "message": str(ctx.error)})

    async def on_subscribing(self, ctx):
        await self.tell({"event": "server_subscribing", "channel": ctx.channel})

    async def on_subscribed(self, ctx):
        await self.tell({"event": "server_subscribed", "channel": ctx.channel, **_subscribed(ctx)})

    async def on_unsubscribed(self, ctx):
        await self.tell({"event": "server_unsubscribed", "channel": ctx.channel})

    async def on_publication(self, ctx):
        await self.tell({"event": "publication", "channel": ctx.channel, "server": True, **_pub(ctx.pub)})


class _SubEvents(centrifuge.SubscriptionEventHandler):
    def __init__(self, sdk, channel):
        self.sdk, self.channel = sdk, channel

    async def tell(self, kind, **fields):
        await self.sdk._tell({"event": kind, "channel": self.channel, **fields})

    async def on_subscribing(self, ctx):
        await self.tell("subscribing", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx):
        await self.tell("subscribed", **_subscribed(ctx))

    async def on_unsubscribed(self, ctx):
        await self.tell("unsubscribed", code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx):
        await self.tell("publication", **_pub(ctx.pub))

    async def on_error(self, ctx):
        error = ctx.error
        error = error.__cause__ or error
        await self.tell("sub_error", code=getattr(error, "code", ctx.code), message=str(error))


class PythonSdk(Sdk):
    """PyPI `centrifuge-python`, in this process."""

    name = "python"

    async def start(self):
        self.subs = {}
        return self

    def _get_token(self, channel):
        tokens = self.tokens.get(channel)
        if tokens is None:
            return None

        async def get(*_):
            await self._tell({"event": "get_token", "channel": channel})
            return tokens.pop(0) if len(tokens) > 1 else tokens[0]

        return get

    async def create(self, url, token=None, tokens=None, **options):
        self.tokens = {k: list(v) for k, v in (tokens or {}).items()}
        self.client = centrifuge.Client(
            url,
            events=_ClientEvents(self),
            token=token or "",
            get_token=self._get_token(""),
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.3,
            proxy=None,
            **options,
        )

    async def connect(self):
        await self.client.connect()

    async def disconnect(self):
        await self.client.disconnect()

    async def subscribe(self, channel, token=None, recoverable=True):
        if channel not in self.subs:
            self.subs[channel] = self.client.new_subscription(
                channel,
                events=_SubEvents(self, channel),
                token=token or "",
                get_token=self._get_token(channel),
                min_resubscribe_delay=0.05,
                max_resubscribe_delay=0.3,
                recoverable=recoverable,
            )
        await self.subs[channel].subscribe()

    async def unsubscribe(self, channel):
        await self.subs[channel].unsubscribe()

    async def history(self, channel, limit=0, since=None, reverse=False):
        since = since and centrifuge.StreamPosition(offset=since[0], epoch=since[1])
        try:
            r = await self.subs[channel].history(limit=limit, since=since, reverse=reverse)
        except centrifuge.ReplyError as e:
            return {"event": "result", "code": e.code, "message": str(e)}
        pubs = [_pub(p) for p in r.publications]
        return {"event": "result", "offset": r.offset, "epoch": r.epoch, "publications": pubs}

    async def stop(self):
        if hasattr(self, "client"):
            await self.client.disconnect()


# Steps that the tests share.


def numbers(first, count, key="a"):
    return [(key, {"n": n}) for n in range(first, first + count)]


def got(sdk, channel):
    return [p["data"]["n"] for p in sdk.pubs(channel)]


async def join(sdk, where, channel="a", token=None, tokens=None, **options):
    """Connects and subscribes; the subscribed event."""
    await sdk.create(where.url, token=token, tokens=tokens, **options)
    await sdk.connect()
    await sdk.subscribe(channel)
    return await sdk.event("subscribed", channel=channel)
