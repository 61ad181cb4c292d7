#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How large a cluster must be: the formula of docs/capacity.md, with the constants that ./dev bench measured.

    capacity.py                          writes that page's tables anew, of docs/performance/figures.json
    capacity.py users=1e6 each=1 …       what such a cluster needs; --help lists what can be given

A constant whose figure isn't in figures.json is the one written here; the page says which are.
"""

import dataclasses
import json
import math
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"
PAGE, FIGURES = DOCS / "capacity.md", DOCS / "performance" / "figures.json"
STREAMS = 16  # of one connection of an edge to Redis
BATCH = 100  # records, at most, that share a reply's cost

# name: (value, unit, what it is, "bench/key" of its figure or None, its value made of that)
CONSTANTS = {
    "deliver": (4.0, "µs", "edge: a record to one of many clients, alone in its write", "fanout/write", None),
    "alone": (8.0, "µs", "edge: a record to its channel's only client", "channels/million-delivery", None),
    "skip": (0.7, "µs", "edge: a record that it reads in bulk and nobody wants", "channels/unwanted", None),
    "read": (5.9, "µs", "edge: the same, few at a time", "affinity/read-edge", None),
    "deliver_tls": (3.8, "µs", "edge: what TLS adds to a delivery", "delivery/tls-extra", None),
    "connect": (37.0, "µs", "edge: a new connection", "connect/ready-cpu", None),
    "connect_tls": (900.0, "µs", "edge: the same by TLS, full handshake", "connect/tls-full-cpu", None),
    "memory": (1.75, "KiB", "edge: an idle connection", "memory/plain", None),
    "memory_tls": (16.0, "KiB", "edge: an idle connection by TLS", "memory/tls", None),
    "socket": (4.0, "KiB", "kernel: an idle connection", None, None),
    "channel": (450.0, "B", "edge: a channel with a subscription", "channels/million-memory", None),
    "append": (1.2, "µs", "worker: a record, in bulk", "worker/rate", lambda v: 1e3 / v),
    "redis_append": (2.2, "µs", "Redis: a record appended, in bulk", "worker/redis-append", None),
    "redis_alone": (60.0, "µs", "Redis: a record appended alone in its batch", "affinity/append-redis", None),
    "redis_bulk": (0.7, "µs", "Redis: a record to one edge, in bulk", None, None),
    "redis_read": (3.9, "µs", "Redis: the same, few at a time", "affinity/read-redis", None),
    "envelope": (68.0, "B", "around a payload for an edge", "affinity/read-bytes", lambda v: v - 115),
    "redis_edge": (760.0, "µs", "Redis: a second of an edge, nothing coming", "affinity/idle-redis", None),
    "redis_beacon": (0.4, "µs", "Redis: the beacon, a second, edge and partition", None, None),
    "beacon": (205.0, "B", "the same, out of Redis", "affinity/beacon-bytes", None),
    "frame": (130.0, "B", "around a payload for a client, its packet included", None, None),
    "spill": (1.7, "", "edges that read a partition, by place with a bound of 1.5", None, None),
}


def constants():
    """(values by name, names of those that figures.json has)"""
    told = json.loads(FIGURES.read_text())["figures"] if FIGURES.exists() else []
    seen = {f"{f['bench']}/{f['key']}": f["value"] for f in told}
    values, measured = {}, set()
    for name, (fallback, _, _, source, make) in CONSTANTS.items():
        values[name] = fallback
        if source in seen:
            values[name] = make(seen[source]) if make else seen[source]
            measured.add(name)
    return values, measured


def given(default, what):
    """A field of Plan, with what --help and the page say of it."""
    return dataclasses.field(default=default, metadata={"what": what})


@dataclasses.dataclass
class Plan:
    users: float = given(1e6, "clients connected at a time, in all regions")
    each: float = given(1.0, "records a second that a user gets")
    rate: float = given(1e3, "records a second, of all topics: each region carries all of them")
    channels: float = given(1.0, "channels of a user")
    own: bool = given(False, "a channel has one user")
    payload: float = given(200.0, "bytes of a record")
    partitions: int = given(64, "of all topics")
    regions: int = given(1, "over which the users are spread evenly")
    placed: bool = given(False, "clients are led to edges by place")
    tls: bool = given(False, "edges end it")
    life: float = given(3600.0, "seconds that a connection lasts")
    cores: float = given(4.0, "of an edge")
    gib: float = given(16.0, "memory of an edge, its kernel's part included")
    gbit: float = given(10.0, "network of an edge, and of Redis")
    most: float = given(250e3, "users of one edge: who comes back at once when it is lost")
    busy: float = given(0.6, "share of any of these that may be used")
    wait: float = given(20e-3, "seconds that a record may wait for others where it is busy")


def readers(plan, c, edges):
    """How many edges read a record."""
    if plan.placed:
        return min(edges, c["spill"])
    wanting = plan.users * plan.channels / plan.partitions
    return edges * (1 - (1 - 1 / edges) ** wanting)


def sharing(plan, c, edges, q):
    """(records in one append, records in one reply): batches clock themselves, so as many as the busier of
    Redis and an edge's feed thread makes it, but no more than come within the wait."""
    rate = plan.rate * q / edges  # that an edge reads
    connections = math.ceil(plan.partitions * q / edges / STREAMS)

    def within(records):
        return min(BATCH, max(1, records * plan.wait))

    def needed(cost, fixed):
        spare = plan.busy - fixed / 1e6
        return cost / 1e6 / spare if spare > 0 else math.inf

    by_feed = needed(rate * (c["read"] - c["skip"]), rate * c["skip"])
    each = c["redis_alone"] - c["redis_append"] + q * (c["redis_read"] - c["redis_bulk"])
    fixed = plan.rate * (c["redis_append"] + q * c["redis_bulk"]) + polling(plan, c, edges)
    by_redis = needed(plan.rate * each, fixed)
    appended = max(1, min(within(plan.rate / plan.partitions), by_redis))
    return appended, max(1, min(within(rate / connections), max(by_feed, by_redis)))


def polling(plan, c, edges):
    """µs of Redis a second, for the beacon and what else edges ask for all the time."""
    return edges * (c["redis_edge"] + plan.partitions * c["redis_beacon"])


def feed_needs(plan, c, edges):
    """The part of one core that an edge's feed thread uses."""
    q = readers(plan, c, edges)
    each = c["skip"] + (c["read"] - c["skip"]) / sharing(plan, c, edges, q)[1]
    return plan.rate * q / edges * each / 1e6


def redis_needs(plan, c, edges):
    """(the part of its one thread that Redis uses, Gbit/s out of it)"""
    q = readers(plan, c, edges)
    appended, replied = sharing(plan, c, edges, q)
    append = c["redis_append"] + (c["redis_alone"] - c["redis_append"]) / appended
    read = c["redis_bulk"] + (c["redis_read"] - c["redis_bulk"]) / replied
    cpu = plan.rate * (append + q * read) + polling(plan, c, edges)
    sent = plan.rate * q * (plan.payload + c["envelope"]) + edges * plan.partitions * c["beacon"]
    return cpu / 1e6, sent * 8 / 1e9


def edge_needs(plan, c, edges):
    """What all edges use, in edges of this kind, by resource."""
    deliver = c["alone" if plan.own else "deliver"] + (c["deliver_tls"] if plan.tls else 0)
    deliver *= plan.users * plan.each
    connect = plan.users / plan.life * c["connect_tls" if plan.tls else "connect"]
    kept = plan.users * (c["memory_tls" if plan.tls else "memory"] + c["socket"]) * 1024
    kept += plan.users * plan.channels * c["channel"]
    sent = plan.users * plan.each * (plan.payload + c["frame"]) * 8
    return {
        "deliveries": deliver / 1e6 / plan.cores / plan.busy,
        "connects": connect / 1e6 / plan.cores / plan.busy,
        "reading": edges * feed_needs(plan, c, edges) / plan.cores / plan.busy,
        "memory": kept / 2**30 / plan.gib / plan.busy,
        "network": sent / 1e9 / plan.gbit / plan.busy,
        "users": plan.users / plan.most,
    }


def edges_for(plan, c):
    """How many edges one Redis' users need; None: no number is enough."""
    edges = 1
    while edges < 10_000:
        needs = edge_needs(plan, c, edges)
        cpu = needs["deliveries"] + needs["connects"] + needs["reading"]
        want = max(cpu, needs["memory"], needs["network"], needs["users"])
        if want <= edges:
            return edges
        edges = max(edges + 1, math.ceil(want))
    return None


def solve(plan, c):
    """What a region needs, split into the fewest cells that do."""
    of_region = dataclasses.replace(plan, users=plan.users / plan.regions)
    for cells in range(1, 10_000):
        part = dataclasses.replace(
            of_region,
            users=of_region.users / cells,
            rate=plan.rate / cells,
            partitions=max(1, plan.partitions // cells),
        )
        edges = edges_for(part, c)
        if not edges:
            continue
        redis, gbit = redis_needs(part, c, edges)
        if max(redis, feed_needs(part, c, edges), gbit / plan.gbit) <= plan.busy * 1.001:
            break
    needs = edge_needs(part, c, edges)
    q = readers(part, c, edges)
    return {
        "cells": cells,
        "edges": cells * edges,
        "limit": "cells" if edges == 1 < cells else max(needs, key=needs.get),
        "readers": q,
        "in an append": sharing(part, c, edges, q)[0],
        "redis": redis,
        "gbit": gbit,
        "worker": plan.rate * c["append"] / 1e6,
    }


MANY = {"users": 1e8, "regions": 10}
EVENTS = MANY | {"each": 1, "rate": 1e4, "partitions": 64}
INBOXES = MANY | {"each": 0.01, "rate": 1e6, "partitions": 1024, "own": True}
EXAMPLES = [
    ("1 M users, 1,000 channels, a record a second each", Plan(each=1, rate=1e3)),
    ("1 M users, a channel each, a record in 10 s", Plan(each=0.1, rate=1e5, own=True)),
    ("the same, 1,024 partitions", Plan(each=0.1, rate=1e5, own=True, partitions=1024)),
    ("100 M users, 10,000 channels, a record a second each", Plan(**EVENTS)),
    ("100 M users, a channel each, a record in 100 s", Plan(**INBOXES)),
]


def constants_table():
    values, measured = constants()
    rows = ["| constant | value | what | figure |", "| --- | --- | --- | --- |"]
    for name, (_, unit, what, source, _) in CONSTANTS.items():
        origin = f"`{source}`" if name in measured else "by hand"
        rows.append(f"| `{name}` | {float(f'{values[name]:.3g}'):,g} {unit} | {what} | {origin} |")
    return "\n".join(rows)


def example_rows(name, plan, c):
    for placed in (False, True):
        a = solve(dataclasses.replace(plan, placed=placed), c)
        cells = [
            "" if placed else name,
            "by place" if placed else "at random",
            f"{a['cells']}",
            f"{a['edges']}",
            a["limit"],
            f"{a['readers']:.1f}",
            f"{a['in an append']:.1f}",
            f"{a['redis'] * 100:.0f} %",
            f"{a['gbit']:.2g}",
        ]
        yield f"| {' | '.join(cells)} |"


def examples_table():
    c, _ = constants()
    titles = ["load", "clients", "cells", "edges", "their limit", "edges a record", "records an append"]
    titles += ["Redis' thread", "Gbit/s"]
    rows = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for name, plan in EXAMPLES:
        rows += example_rows(name, plan, c)
    return "\n".join(rows)


def inputs_table():
    rows = ["| input | default | what |", "| --- | --- | --- |"]
    for f in dataclasses.fields(Plan):
        default = f.default if not isinstance(f.default, bool) else "no"
        default = default if isinstance(default, str) else f"{default:,.10g}"
        rows.append(f"| `{f.name}` | {default} | {f.metadata['what']} |")
    return "\n".join(rows)


def checked_table():
    """The least and the most of bench predict's runs."""
    told = json.loads(FIGURES.read_text())["figures"]
    rows = ["| | predicted / seen |", "| --- | --- |"]
    for f in told:
        if f["bench"] == "predict":
            what = f["name"].removesuffix(", predicted / seen")
            rows.append(f"| {what} | {min(f['values']):.2f} to {max(f['values']):.2f} |")
    return "\n".join(rows)


TABLES = {
    "inputs": inputs_table,
    "constants": constants_table,
    "examples": examples_table,
    "checked": checked_table,
}
ANSWERS = {
    "cells": "cells of a region: each one a Redis with its workers and edges",
    "edges": "edges of a region, in all its cells",
    "limit": "what decides how many edges",
    "readers": "edges that read a record",
    "in an append": "records that share an append",
    "redis": "of its one core, what a Redis uses",
    "gbit": "Gbit/s out of a Redis",
    "worker": "cores that a region's workers use together",
}


def page(text):
    """The page with its tables made anew: each stands between two marks."""
    for name, make in TABLES.items():
        head, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            sys.exit(f"docs/capacity.md has no place for {name}")
        text = f"{head}{begin}{make()}\n{end}{tail}"
    return text


def plan_of(words):
    fields = {f.name: type(f.default) for f in dataclasses.fields(Plan)}
    found = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in fields:
            sys.exit(f"capacity.py: no such input: {word} (--help lists them)")
        try:
            is_yes = text in ("1", "true", "yes")
            found[name] = is_yes if fields[name] is bool else fields[name](float(text))
        except ValueError:
            sys.exit(f"capacity.py: {word}: a number, such as 1e6, is expected")
    return Plan(**found)


def main():
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(__doc__, inputs_table(), sep="\n")
    elif not words:
        PAGE.write_text(page(PAGE.read_text()))
    else:
        for name, value in solve(plan_of(words), constants()[0]).items():
            text = value if isinstance(value, (str, int)) else f"{value:.3g}"
            print(f"{text:>10}  {ANSWERS[name]}")


if __name__ == "__main__":
    main()
