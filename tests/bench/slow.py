# SPDX-License-Identifier: Apache-2.0
"""bench slow: what clients that read at a tenth of their channels' rate cost those that read.

300 clients, each of one of 10 channels that bring 200 KB/s; without slow ones, and with one in a hundred
that reads 20 KB/s. Runs of both alternate; latencies are those of clients that aren't slow. A run with
slow clients counts only if the edge saw them lag. The oracle's verdict must be clean: the slow ones get
everything, too.
"""

import statistics

import latency
from figure import Figure

from harness.loadgen import Runner

CLIENTS, CHANNELS, RATE, PAYLOAD = 300, 10, 200, 10_000


def load(broker, pipeline, edge, directory, slow):
    before = edge.metrics().total("fanfare_edge_slow_total")
    result = Runner(broker, pipeline.topic, directory).run(
        pipeline.url,
        clients=CLIENTS,
        channels=CHANNELS,
        subscriptions=1,
        rate=RATE,
        payload=PAYLOAD,
        warm_up="1s",
        duration="4s",
        straggler_timeout="30s",
        slow_percent=slow,
        **{f"pids.{name}": pid for name, pid in pipeline.pids.items()},
    )
    if result.code != 0:
        raise RuntimeError(f"fanfare-loadgen: exit {result.code}\n{result.out}{result.err}")
    lagged = edge.metrics().total("fanfare_edge_slow_total") - before
    if slow and not lagged:
        raise RuntimeError("no slow client lagged")
    return result.report


def run(options, directory):
    pairs = 5 if options.quick else 15
    broker, topics = options.kafka()
    reports = {0: [], 1: []}
    with latency.ours(directory, broker, topics, name="bench-slow") as (pipeline, edge):
        for i in range(pairs):
            for slow in (0, 1) if i % 2 else (1, 0):
                reports[slow].append(load(broker, pipeline, edge, directory, slow))

    def ratios(value):
        return [value(w) / value(o) for w, o in zip(reports[1], reports[0], strict=True)]

    def at(quantile):
        return lambda report: report["latency_ms"][quantile]

    def seen(quantile):
        def of(slow):
            return statistics.median(r["latency_ms"][quantile] for r in reports[slow])

        return f"with {of(1):.2f} ms, without {of(0):.2f} ms"

    def edge_cpu(report):
        return next(c["us_per_delivery"] for c in report["cpu"] if c["name"] == "edge")

    def of_others(quantile, reach):
        name, values = f"{quantile} of the others, 1 % slow / none", ratios(at(quantile))
        return Figure("slow", quantile, name, values, "×", reach, note=seen(quantile))

    return [
        of_others("p50", 1.25),
        of_others("p99", 1.5),
        Figure("slow", "cpu", "edge CPU a delivery, 1 % slow / none", ratios(edge_cpu), "×", 1.05),
    ]
