# SPDX-License-Identifier: Apache-2.0
"""Which faults a soak makes, when and with what parameters: a pure function of its seed.

A fault takes something (a worker, an edge, Redis, a broker, a way …) for some seconds. Two faults may
overlap if they don't take the same thing; what was taken has a rest before it is taken again. A longer
soak of the same seed makes the same faults, then more. KINDS is the table; soak_faults.py makes them happen.
Left out are faults whose clients may be told (a topic made anew, records deleted): here told must be 0.
"""

import random
from dataclasses import dataclass, field

FIRST = 1.0  # seconds from the load's start to the first fault
AT_ONCE = 3  # faults that may overlap


@dataclass(frozen=True)
class Kind:
    name: str
    weight: int
    takes: str  # what it takes; of several (WIDTH) a number is drawn
    seconds: tuple = (0, 0)  # how long it lasts; (0, 0): it is over at once
    params: dict = field(default_factory=dict)  # name: (least, most), drawn as an integer


WIDTH = {"worker": 2, "edge": 3, "way": 5, "broker": 3}  # ways: first the workers', then the edges'
REST = {"redis": 2.5, "worker": 1.5, "edge": 1.5, "way": 1.0, "broker": 4.0}

KINDS = (
    Kind("worker.kill", 4, "worker", (0.2, 8)),
    Kind("worker.stop", 3, "worker", (1, 14)),
    Kind("worker.restart", 2, "worker", (3, 5)),
    Kind("worker.second-owner", 2, "second", (5, 10)),
    Kind("edge.kill", 4, "edge", (0.2, 5)),
    Kind("edge.stop", 3, "edge", (1, 8)),
    Kind("edge.restart", 2, "edge", (3, 5)),
    Kind("edge.kill-all", 1, "edges", (0.2, 2)),
    Kind("redis.kill-kept", 2, "redis", (0.2, 4)),
    Kind("redis.kill-empty", 2, "redis", (0.2, 4)),
    Kind("redis.failover", 3, "redis", (0.5, 3)),
    Kind("redis.flushall", 2, "redis"),
    Kind("redis.del-stream", 2, "redis", params={"partition": (0, 3)}),
    Kind("redis.del-side", 1, "redis", params={"partition": (0, 3)}),
    Kind("redis.del-topic", 1, "redis"),
    Kind("redis.script-flush", 1, "redis"),
    Kind("redis.goes-back", 3, "redis", (0.5, 4), {"partition": (0, 3)}),
    Kind("redis.pause", 2, "redis", (1, 5)),
    Kind("redis.read-only", 1, "redis", (0.5, 3)),
    Kind("redis.full", 1, "redis", (1, 3)),
    Kind("way.cut", 3, "way", (0.5, 8)),
    Kind("way.silence", 3, "way", (1, 10)),
    Kind("way.slow", 2, "way", (3, 10), {"delay_ms": (50, 400), "kbytes_s": (8, 200)}),
    Kind("clients.away", 3, "clients", (5, 60)),
    Kind("kafka.kill", 3, "broker", (1, 10)),
)


@dataclass(frozen=True)
class Fault:
    number: int
    at: float  # seconds from the start
    kind: str
    lasts: float
    target: int  # which worker, edge, way or broker; -1: there is one only
    params: tuple = ()  # (name, value)

    def __str__(self):
        text = self.kind + (f" {self.target + 1}" if self.target >= 0 else "")
        text += "".join(f" {name}={value}" for name, value in self.params)
        return text + (f" for {self.lasts:.1f} s" if self.lasts else "")


def claims(kind, target):
    """The things that a fault takes. The edges at once are each of them; brokers are taken as one: two of
    three away is another matter. A way and whose it is are one thing."""
    if kind.takes == "edges":
        return {f"edge{i}" for i in range(WIDTH["edge"])} | {"edges"}
    if kind.takes == "broker":
        return {"broker"}
    if kind.takes == "way":
        workers = WIDTH["worker"]
        return {f"worker{target}" if target < workers else f"edge{target - workers}"}
    return {kind.takes + (str(target) if target >= 0 else "")}


def rest_of(thing):
    return REST.get(thing.rstrip("0123456789"), 1.0)


def draw(rng, at, number, kinds):
    """A fault, and what it takes. Everything is drawn in the same order whatever comes of it."""
    kind = rng.choices(kinds, [k.weight for k in kinds])[0]
    lasts = round(rng.uniform(*kind.seconds), 1)
    target = rng.randrange(WIDTH[kind.takes]) if kind.takes in WIDTH else -1
    params = tuple((name, rng.randint(*span)) for name, span in kind.params.items())
    return Fault(number, at, kind.name, lasts, target, params), claims(kind, target)


def plan(seed, seconds, pace=6.5, leave_out=()):
    """The faults of a soak, in order; about one each `pace` seconds. leave_out: beginnings of names."""
    rng = random.Random(f"fanfare {seed}")
    kinds = [k for k in KINDS if not k.name.startswith(tuple(leave_out))]
    free = {}  # thing: when it may be taken again
    ends, faults, at = [], [], FIRST
    while at <= seconds:
        fault, takes = draw(rng, round(at, 1), len(faults) + 1, kinds)
        ends = [e for e in ends if e > at]
        if len(ends) < AT_ONCE and all(free.get(thing, 0) <= at for thing in takes):
            faults.append(fault)
            ends.append(at + fault.lasts)
            for thing in takes:
                free[thing] = at + fault.lasts + rest_of(thing)
            at += rng.uniform(0.2, 2 * pace - 0.2)
        else:
            at += 0.5
    return [f for f in faults if f.at + f.lasts <= seconds]


def steps(faults):
    """Beginnings and ends in the order of their time: [(seconds, "begin" or "end", fault)]."""
    out = []
    for f in faults:
        out.append((f.at, "begin", f))
        if f.lasts:
            out.append((round(f.at + f.lasts, 1), "end", f))
    return sorted(out, key=lambda s: (s[0], s[2].number))
