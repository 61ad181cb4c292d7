# SPDX-License-Identifier: Apache-2.0
"""bench latency: Kafka (acks=all) → worker → Redis → edge → clients, beside a bare pipeline.

Four shapes of load (two with --quick), records of 200 B in 8 partitions. CPU of worker, Redis and edge
per delivery is compared with that of a bare pipeline (`bare_worker.c`, a Redis of its own,
`bare_edge.c`: a compare-and-set append, XREAD, a `send()` for each subscriber; no group, no checks, no
beacon, no index, no resume) in pairs of runs of 2 s on the same broker, with the same load and clients.
Which one goes first alternates.

Latency runs from the moment when a record was due to the client's read, so a stall shows in full. Its
floor is a bare librdkafka consumer of the same topic in the same run; half of it more is allowed to p99,
which is the machine's stalls: below zero is better than allowed. The samples of five runs are pooled
before a quantile is taken, and each pool gives one value. All processes share the machine's cores with
Kafka and the clients, so where these don't do, latency is waiting for a core: the bare pipeline's, the
least that this design can be, tells. A record is sent at once (linger.ms=0) at 300 and 1,000 records/s; at
5,000 and 20,000 with the producer's default of 5 ms: without it Kafka alone would take up to half of two
cores, which the pipelines then lack.

The oracle's verdict must be clean, for both pipelines, or the run doesn't count.
"""

import dataclasses

import pipeline
from figure import Figure, Series
from histogram import Histogram
from pipeline import Shape, ours  # noqa: F401 (slow.py runs ours, too)

POOL = 5  # runs whose samples are one
QUANTILES = (50, 90, 99, 99.9)


@dataclasses.dataclass(frozen=True)
class Reach:
    """What is asked of a shape; None: not asked, only told."""

    cpu: float
    p50_ms: float | None = None
    p99_over_ms: float | None = None  # over 1.5 × the floor's


SHAPES = {
    Shape("1000x10", 1000, 100, 1000): Reach(1.15, 0.2, 1.0),
    Shape("5000x10", 5000, 100, 1000, linger_ms=5): Reach(1.15, 0.5),
    Shape("20000x1", 20_000, 8, 8, linger_ms=5): Reach(1.1, 0.7),
    Shape("300x500", 300, 1, 500): Reach(1.1),
}
QUICK_PAIRS = {"1000x10": 3, "20000x1": 2}


@dataclasses.dataclass
class Pool:
    """Some runs' samples as one."""

    seen: Histogram
    floor: Histogram

    def over(self, percent, times=1.0):
        return self.seen.ms(percent) - times * self.floor.ms(percent)


def pools(runs, size=POOL):
    """One for each `size` runs; what is left over goes to the last one."""
    count = max(1, len(runs) // size)
    parts = [runs[i * size : (i + 1) * size] for i in range(count - 1)] + [runs[(count - 1) * size :]]
    return [
        Pool(Histogram.pooled(r.seen for r in part), Histogram.pooled(r.floor for r in part))
        for part in parts
    ]


def quantile_text(histogram):
    return ", ".join(f"p{p:g} {histogram.ms(p):.2f}" for p in QUANTILES)


def cost_text(runs):
    parts = pipeline.split(runs)
    return f"{sum(parts.values()):.1f} ({', '.join(f'{k} {v:.1f}' for k, v in parts.items())})"


def figures(shape, reach, own, bares):
    ratios = [o.cpu / b.cpu for o, b in zip(own, bares, strict=True)]
    found, whole, least = pools(own), pools(own, len(own))[0], pools(bares, len(bares))[0]
    late = max(r.late for r in own + bares)

    def figure(key, title, values, unit, bound=None, note=""):
        name = f"{shape.text}: {title}"
        return Figure("latency", f"{shape.key}-{key}", name, values, unit, bound, note=note)

    cost = f"µs a delivery: ours {cost_text(own)}, bare {cost_text(bares)}"
    seen = f"ms: {quantile_text(whole.seen)}; floor: {quantile_text(whole.floor)}"
    beside = f"ms: {quantile_text(least.seen)}; floor: {quantile_text(least.floor)}"
    theirs = [p.over(50) for p in pools(bares)]
    p99 = [p.over(99, 1.5) for p in found]
    return [
        figure("cpu", "CPU / bare pipeline", ratios, "×", reach.cpu, cost),
        figure("p50", "p50 over the floor", [p.over(50) for p in found], "ms", reach.p50_ms, seen),
        figure("p50-bare", "the bare pipeline's p50 over its floor", theirs, "ms", note=beside),
        figure("p99", "p99 over 1.5 × floor", p99, "ms", reach.p99_over_ms),
        figure(
            "p99-9",
            "p99.9 over the floor",
            [p.over(99.9) for p in found],
            "ms",
            note=f"at most {late:.1%} of a run's records left over 1 ms late",
        ),
    ]


def quantile_plot(shape, own, bares):
    def line(histogram):
        return [(round(100 / (100 - p)), histogram.ms(p)) for p in QUANTILES]

    mine, least = pools(own, len(own))[0], pools(bares, len(bares))[0]
    data = {"ours": mine.seen, "bare pipeline": least.seen, "floor: a bare consumer": mine.floor}
    data = {name: line(histogram) for name, histogram in data.items()}
    title, x = f"Latency at {shape.text}: p50, p90, p99, p99.9", "one delivery in so many is slower"
    return Series("latency", f"{shape.key}-quantiles", title, "ms", data, x=x, log_x=True)


def cpu_plot(measured):
    data = {}
    for shape, (own, bares) in measured.items():
        for name, runs in ("Fanfare", own), ("bare pipeline", bares):
            data[f"{name}, {shape.text}"] = pipeline.split(runs)
    return Series("latency", "cpu", "CPU of worker, Redis and edge", "µs a delivery", data)


def run(options, directory):
    seconds, found, measured = 2, [], {}
    broker, topics = options.kafka()
    with (
        pipeline.ours(directory, broker, topics, stream_bytes=pipeline.STREAM_BYTES) as (mine, _),
        pipeline.bare(directory, broker, topics) as least,
    ):
        for shape, reach in SHAPES.items():
            pairs = QUICK_PAIRS.get(shape.key, 0) if options.quick else 15
            if not pairs:
                continue
            runs = pipeline.compare(directory, broker, (mine, least), shape, pairs, seconds)
            measured[shape] = runs
            found += figures(shape, reach, *runs)
            found.append(quantile_plot(shape, *runs))
    return [*found, cpu_plot(measured)]
