#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench [NAME …|all] [--quick] [--json FILE] [--compare OLD.json]

Prints each figure beside its reach: the median, the reach, met or not, and the 95 % interval over all
pairs or runs. Exit 1 if one is not met, 3 if one could not be measured. Ratios and CPU time are
compared, not wall time, so that a busy machine moves the figures little; still, close other programs.

--compare judges by another run's figures instead: exit 1 if all of the interval of a ratio or a count of
instructions is more than 25 % worse than the median there. ./dev bench page makes docs/performance.md of
docs/performance/figures.json.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

# ruff: noqa: E402 (these need the path above)
import affinity
import channels
import compare
import connect
import deep
import delivery
import fanout
import instructions
import kept
import latency
import measure
import memory
import peers
import predict
import scale
import slow
import storm
import worker
from broker import HardBroker
from figure import Figure, Series

from harness.topics import Topics

BENCHES = {
    "delivery": delivery,
    "instructions": instructions,
    "fanout": fanout,
    "peers": peers,
    "latency": latency,
    "worker": worker,
    "memory": memory,
    "connect": connect,
    "scale": scale,
    "storm": storm,
    "slow": slow,
    "deep": deep,
    "channels": channels,
    "affinity": affinity,
    "predict": predict,
}
# Left out of --quick, unless named: minutes without a ratio of our CPU time that a later run is judged by.
NOT_QUICK = {"peers", "storm", "deep", "affinity", "predict"}


class Options:
    def __init__(self, args, directory, stack):
        self.quick = args.quick
        self._directory = directory
        self._stack = stack
        self._kafka = None
        self.left_out = []

    def leave_out(self, what, why):
        """A bench goes on without something; the whole run then counts as not fully measured."""
        print(f"{what}: could not be measured: {why}", flush=True)
        self.left_out.append(what)

    def kafka(self):
        """(broker, topics): one broker for all benches, started when the first one asks."""
        if not self._kafka:
            broker = HardBroker(self._directory / "kafka").start()
            self._stack.callback(broker.kill)
            topics = Topics(broker.bootstrap)
            topics.create("fanfare.logs", partitions=1)
            self._kafka = broker, topics
        return self._kafka


def measure_all(names, options, directory):
    """(figures, series, names of benches that failed)"""
    figures, series, failed = [], [], []
    for name in names:
        began = time.monotonic()
        try:
            own = directory / name
            own.mkdir()
            found = BENCHES[name].run(options, own)
        except Exception:
            traceback.print_exc()
            print(f"{name}: could not be measured", flush=True)
            failed.append(name)
            continue
        own = [f for f in found if isinstance(f, Figure)]
        for figure in own:
            print(figure.line(), flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        figures += own
        series += [s for s in found if isinstance(s, Series)]
    failed += options.left_out
    return figures, series, failed


def verdict(args, figures, failed):
    """Prints the last line; returns the exit code."""
    if args.compare:
        worse = compare.compare(args.compare, figures)
        print(f"bench: {len(figures) - len(worse)} as good, {len(worse)} worse, {len(failed)} failed")
        return 3 if failed else 1 if worse else 0
    asked = [f for f in figures if f.reach is not None]
    missed = [f for f in asked if not f.met]
    told = f"{len(asked) - len(missed)} met, {len(missed)} not met, {len(figures) - len(asked)} only shown"
    print(f"bench: {told}, {len(failed)} failed")
    return 3 if failed else 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("which", nargs="*", metavar="bench", help=f"{', '.join(BENCHES)} or all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: some 6 min")
    into = "the figures; in a FILE that is there, other benches' stay"
    parser.add_argument("--json", metavar="FILE", help=into)
    parser.add_argument("--compare", metavar="OLD", help="judge by the figures of that file")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations")
    args = parser.parse_args()
    unknown = set(args.which) - set(BENCHES) - {"all"}
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    everything = not args.which or "all" in args.which
    left_out = NOT_QUICK if args.quick else set()
    names = [n for n in BENCHES if n in args.which or (everything and n not in left_out)]

    environment = measure.environment()
    for key, value in environment.items():
        print(f"{key}: {value}")
    if os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1):
        print("warning: other programs keep this machine busy; latency can't be trusted")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="fanfare-bench-"))
    with contextlib.ExitStack() as stack:
        if args.keep:
            print(f"kept: {directory}")
        else:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        measured = measure_all(names, Options(args, directory, stack), directory)
    if args.json:
        kept.write(args.json, environment, args.quick, (names, *measured))
    return verdict(args, measured[0], measured[2])


if __name__ == "__main__":
    sys.exit(main())
