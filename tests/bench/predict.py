# SPDX-License-Identifier: Apache-2.0
"""bench predict: what the formula for capacity makes of runs with 1, 2 and 4 edges, 1 to 64 partitions.

2,048 clients with a channel each, placed at random, and a record a second for each channel, as in affinity.
Two runs, of 64 partitions with one edge and with four, give the constants: a delivery, a record that one more
edge reads, a record appended, an edge that idles. [The formula](capacity.md#the-formula) then predicts the
other seven runs: how many edges read a record, what their CPU is, and Redis' CPU and bytes. A figure is
predicted / measured, a value for each run. One machine carries all of it, at a load that leaves it time:
records come alone, so it is the formula's form that is checked here, not its batches under load. Not in
--quick.
"""

import random

import affinity
import capacity
from figure import Figure, Series

PARTITIONS, EDGES = (1, 8, 64), (1, 2, 4)
KNOWN = (64, 1), (64, 4)  # (partitions, edges) of the runs that give the constants


def readers(partitions, edges):
    plan = capacity.Plan(users=affinity.CLIENTS, partitions=partitions)
    return capacity.readers(plan, {}, edges)


def linear(found, key):
    """(at one reader, for each further reader) of what a record costs"""
    one, four = (found[run][key] for run in KNOWN)
    each = (four - one) / (readers(*KNOWN[1]) - 1)
    return one, each


def predicted(found, key, partitions, edges):
    """Of what grows with readers; what idles grows with edges, and is in it."""
    one, each = linear(found, key)
    return one + each * (readers(partitions, edges) - 1)


def ratios(found, key):
    rest = [run for run in found if run not in KNOWN]
    return [predicted(found, key, *run) / found[run][key] for run in rest]


def run(options, directory):
    chance, found = random.Random(23), {}
    for partitions in PARTITIONS:
        own = directory / f"p{partitions}"
        own.mkdir()
        with affinity.region_of(options, own, f"bench-scale-{partitions}", partitions) as region:
            for edges in EDGES:
                found[partitions, edges] = affinity.measure(region, "at random", edges, chance)
    read = [readers(*r) * r[0] / found[r]["read"] for r in found]
    named = {
        "edges": ("CPU of all edges", "µs"),
        "redis": ("Redis' CPU", "µs"),
        "bytes": ("bytes out of Redis", "B"),
    }
    figures = [Figure("predict", "read", "partitions that edges read, predicted / seen", read, "")]
    for key, (name, unit) in named.items():
        title = f"{name} for a record, predicted / seen"
        seen = ", ".join(f"{p}/{e}: {found[p, e][key]:.0f}" for p, e in found)
        note = f"seen, in {unit}, by partitions/edges: {seen}"
        figures.append(Figure("predict", key, title, ratios(found, key), "", note=note))
    data = {f"{p} partitions": [(e, found[p, e]["redis"]) for e in EDGES] for p in PARTITIONS}
    plot = Series("predict", "redis", "Redis' CPU for each record", "µs of Redis a record", data, x="edges")
    return [*figures, plot]
