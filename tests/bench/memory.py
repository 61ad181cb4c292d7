# SPDX-License-Identifier: Apache-2.0
"""bench memory: resident bytes of an edge a plain connection, at 10,000 that sent their connect command."""

from figure import Figure
from measure import LOAD_CPU, Talker, rss_bytes, tool
from servers import CHANNEL, Sink

from harness.node import Edge
from harness.redis import RedisServer
from harness.util import wait_until

CONNECTIONS = 10_000


def settled(pid):
    """Its RSS once two readings in a row are equal: the kernel counts it in batches."""
    last = [0]

    def probe():
        now, before = rss_bytes(pid), last[0]
        last[0] = now
        return now if now == before else None

    return wait_until(probe, "the memory settles", 10, every=0.3)


def run(options, directory):
    redis = RedisServer(directory / "redis").start()
    values = []
    try:
        with Talker(tool("feeder"), redis.url, "bench", CHANNEL, 128, cpu=LOAD_CPU) as feeder:
            feeder.hear()
            for i in range(1 if options.quick else 3):
                config = {"redis_url": redis.url, "namespaces": {"": {"topic": "bench"}}}
                edge = Edge(config, directory, name=f"edge-{i}").start()
                try:
                    before = settled(edge.pid)
                    with Sink("fanfare", edge.address, CONNECTIONS):
                        values.append((settled(edge.pid) - before) / CONNECTIONS / 1024)
                finally:
                    edge.stop()
    finally:
        redis.remove()
    return [Figure("memory", "plain", f"edge RSS a connection at {CONNECTIONS}", values, "KiB", 2.0)]
