# SPDX-License-Identifier: Apache-2.0
"""bench fanout: 10,000 clients of 100 channels, 512 B, at one record a second a channel and flat out.

This is the shape in which Kafkorama, a commercial gateway from Kafka to WebSockets, publishes its figures:
a record reaches 100 of the clients. (28,000 to 31,000 messages a second of a core, on other machines and
with a network between; so the shape is the same, and the numbers can't be compared.) At one record a
second a channel, records come one every 10 ms, and all that a server does in between counts: an edge of
one shard also pings its clients and watches its region's beacon, the bare server does nothing. Flat out, a
round is one record for each channel, and the next one is published as soon as no more than two are still
on their way; an edge that finds several records of a channel sends them as one block, the bare server
sends each as it comes. Deliveries per second of an edge's CPU are those of the runs flat out: by perf, 97
% of that CPU time is within io_uring_enter(), much of it the clients' part: over loopback a receiver's
softirq runs in its sender.
"""

from delivery import note_of
from figure import Figure
from servers import Bare, Fed, compare, cost_ahead, cost_paced

CLIENTS, CHANNELS, SIZE = 10_000, 100, 512
AHEAD = 2  # rounds
SECONDS, ROUNDS = 2, 20  # a run at one record a second a channel, and one flat out
REACH, RATE_REACH = 1.25, 200_000


def paced(servers, pairs, seconds):
    """(ratios, costs) of any two servers (servers.compare()) at one record a second a channel."""
    return compare(
        servers, pairs, lambda v, sink, n: cost_paced(v, sink, CHANNELS, n), round(CHANNELS * seconds), 30
    )


def flat_out(servers, pairs, rounds):
    """(ratios, costs) as fast as it goes."""
    return compare(servers, pairs, lambda v, sink, n: cost_ahead(v, sink, n, CHANNELS, AHEAD), rounds, 6)


def beside_bare(key, how, seen):
    ratios, costs = seen
    name = f"edge / bare, {CLIENTS} clients, {CHANNELS} channels, {how}"
    return Figure("fanout", key, name, ratios, "×", REACH, note=note_of(costs))


def rate_of(costs, before, now):
    """Deliveries per second of the edge's CPU, and what a write costs it, which is a delivery's cost while
    no channel has two records at once; before, now: its metrics around the runs."""
    deliveries, writes = (
        now.total(name) - before.total(name)
        for name in ("fanfare_edge_deliveries_total", "fanfare_edge_writes_total")
    )
    note = f"{deliveries / writes:.1f} records a write"
    rates = [1e6 / c for c in costs["edge"]]
    name = "deliveries per second of edge CPU, flat out"
    each = [c * deliveries / writes for c in costs["edge"]]
    return [
        Figure("fanout", "rate", name, rates, "/s", RATE_REACH, at_least=True, note=note),
        Figure("fanout", "write", "edge CPU a write, flat out", each, "µs"),
    ]


def run(options, directory):
    pairs = 3 if options.quick else 15
    bare, fed = Bare(SIZE, CHANNELS), Fed(directory, SIZE, CHANNELS)
    try:
        with bare.sink(CLIENTS) as one, fed.sink(CLIENTS) as other:
            servers = {"bare": (bare, one), "edge": (fed, other)}
            slow = paced(servers, pairs, SECONDS)
            before = fed.edge.metrics()
            fast = flat_out(servers, pairs, ROUNDS)
            rates = rate_of(fast[1], before, fed.edge.metrics())
    finally:
        fed.close()
        bare.close()
    return [beside_bare("paced", "1 rec/s each", slow), beside_bare("fast", "flat out", fast), *rates]
