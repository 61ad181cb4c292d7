# SPDX-License-Identifier: Apache-2.0
"""bench memory: resident bytes of an edge a connection, at 10,000 that sent their connect command.

Plain, and over TLS 1.3. All that an edge of one shard has grown by counts, the tables of its libraries
included, once nobody comes or goes any more. What the kernel needs for a socket, some 4 KiB, is not in it.
The reach is 2,000 and 16,000 bytes. The figures of what is left say how much of it the edge still holds, a
connection, after all have gone.
"""

import time

from figure import Figure
from measure import LOAD_CPU, Talker, rss_bytes, tool
from servers import CHANNEL, Sink

from harness.certificate import make_certificate
from harness.node import Edge
from harness.redis import RedisServer
from harness.util import wait_until

CONNECTIONS = 10_000
CALM_S = 2.5  # an edge gives memory back when no more clients come or go


def settled(pid):
    """Its RSS once two readings in a row are equal: the kernel counts it in batches."""
    last = [0]

    def probe():
        now, before = rss_bytes(pid), last[0]
        last[0] = now
        return now if now == before else None

    return wait_until(probe, "the memory settles", 10, every=0.3)


def connection(edge, tls):
    """(KiB a connection, of that what is left when all have gone)"""

    def grown():
        time.sleep(CALM_S)
        return (settled(edge.pid) - before) / CONNECTIONS / 1024

    before = settled(edge.pid)
    with Sink("fanfare", edge.address, CONNECTIONS, tls=tls):
        held = grown()
    return held, grown()


def run(options, directory):
    redis = RedisServer(directory / "redis").start()
    certificate, key = make_certificate(directory)
    kinds = {"plain": {}, "tls": {"tls_certificate": str(certificate), "tls_key": str(key)}}
    found = {kind: [] for kind in kinds}
    base = {"redis_url": redis.url, "shards": 1, "namespaces": {"": {"topic": "bench"}}}
    try:
        with Talker(tool("feeder"), redis.url, "bench", CHANNEL, 128, cpu=LOAD_CPU) as feeder:
            feeder.hear()
            for i in range(1 if options.quick else 3):
                for kind, settings in kinds.items():
                    edge = Edge(base | settings, directory, name=f"{kind}-{i}").start()
                    try:
                        found[kind].append(connection(edge, kind == "tls"))
                    finally:
                        edge.stop()
    finally:
        redis.remove()
    figures = []
    for kind, name, reach in (("plain", "plain", 2000), ("tls", "TLS 1.3", 16000)):
        held, left = zip(*found[kind], strict=True)
        title = f"edge RSS a connection, {CONNECTIONS} of them, {name}"
        figures.append(Figure("memory", kind, title, list(held), "KiB", reach / 1024))
        after = f"left when they are gone, {name}"
        figures.append(Figure("memory", f"{kind}-left", after, list(left), "KiB"))
    return figures
