# SPDX-License-Identifier: Apache-2.0
"""bench delivery: CPU a delivery of an edge of one shard, beside a bare epoll + send() server.

A shard is a thread that holds clients. 5,000 clients on one channel, 128 B of payload; both servers
send the same bytes. Each round publishes one record, or ten at once, and waits until every client has
all of it, so nothing is queued, on either side. The edge is fed through Redis by bench_feeder, and its
threads' whole CPU counts. The bare server frames once and calls send() for each client; ten records are
one frame to it, as to the edge's clients. It has no subscriptions, pings, cursors or slow clients, and
does not read from Redis.

Over TLS 1.3, with the same cipher, the bare server calls OpenSSL's SSL_write() for each client.
Servers run on one CPU, everything else on the other.
"""

import statistics

from figure import Figure
from servers import Bare, Fed, compare, cost

from harness.certificate import make_certificate

CLIENTS, SIZE = 5000, 128
REACH = 1.2
WARM = {1: 6, 10: 2}  # rounds before each run, by their records


def note_of(costs):
    """The median costs, beside a ratio of them."""
    return "µs a delivery: " + ", ".join(f"{k} {statistics.median(v):.2f}" for k, v in costs.items())


def ratio(servers, pairs, rounds, records, key, name):
    def measure(server, sink, n):
        return cost(server, sink, n, records)

    ratios, costs = compare(servers, pairs, measure, rounds, WARM[records])
    title = f"edge / bare, {CLIENTS} clients, {name}"
    return Figure("delivery", key, title, ratios, "×", REACH, note=note_of(costs)), costs["edge"]


def pair(directory, tls, loads):
    """[(figure, the edge's costs)] of one pair of servers; loads: [(pairs, rounds, records, key, name)]."""
    bare, fed = Bare(SIZE, tls=tls), Fed(directory, SIZE, tls=tls)
    try:
        with bare.sink(CLIENTS, bool(tls)) as one, fed.sink(CLIENTS, bool(tls)) as other:
            if one.cipher != other.cipher:
                raise RuntimeError(f"different ciphers: {one.cipher}, {other.cipher}")
            servers = {"bare": (bare, one), "edge": (fed, other)}
            return [ratio(servers, *load) for load in loads]
    finally:
        fed.close()
        bare.close()


def run(options, directory):
    pairs, rounds = (5, 20) if options.quick else (15, 24)
    plain = [
        (pairs, rounds, 1, "records-1", "one record"),
        (pairs, 8, 10, "records-10", "ten records in a turn"),
    ]
    over_tls = [
        (pairs, rounds // 2, 1, "tls-1", "one record, TLS 1.3"),
        (pairs, 8, 10, "tls-10", "ten records in a turn, TLS 1.3"),
    ]
    tls = make_certificate(directory)
    found = pair(directory / "plain", None, plain) + pair(directory / "tls", tls, over_tls)
    (_, alone), _, (_, secured), _ = found
    more = [s - a for s, a in zip(secured, alone, strict=True)]
    extra = Figure("delivery", "tls-extra", "what TLS 1.3 adds to an edge's CPU a delivery", more, "µs")
    return [figure for figure, _ in found] + [extra]
