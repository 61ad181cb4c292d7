# SPDX-License-Identifier: Apache-2.0
"""`./dev chaos`: many faults over one long load, and one verdict.

    ./dev chaos --seed 7 --minutes 30

The seed decides which faults come, when and with what parameters (soak_plan.py), so a failing seed can be
replayed; how the machine answers is its own affair. One thread makes the faults at their times, in their
order: one that comes late keeps its place. Logs are in build/log/chaos-soak/.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import zlib

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/integration"), str(REPO / "tests/chaos")]

import soak_faults  # noqa: E402
import soak_plan  # noqa: E402
from soak_region import LOAD, SoakRegion  # noqa: E402
from storm import Storm  # noqa: E402

from harness.cluster import Cluster  # noqa: E402
from harness.gate import Ways  # noqa: E402
from harness.node import Nodes  # noqa: E402
from harness.topics import Topics  # noqa: E402
from harness.util import WaitError, wait_until  # noqa: E402

LOGS = REPO / "build" / "log" / "chaos-soak"
PROGRESS = 15  # seconds between two lines
COUNTS = ("missing", "duplicate", "disorder", "wrong", "told")
HAPPEN = 0.9  # of the faults must really have happened


class Soak:
    def __init__(self, storm, region, faults, say):
        self.storm, self.region, self.faults, self.say = storm, region, faults, say
        self.happened, self.not_happened = 0, 0
        self.began = 0.0
        self.over = threading.Event()

    def now(self):
        return time.monotonic() - self.began

    def run(self, fault_name):
        self.region.start()
        with self.storm.load(fault_name, **LOAD):
            self.began = time.monotonic()
            watcher = threading.Thread(target=self._progress, daemon=True)
            watcher.start()
            try:
                for at, when, fault in soak_plan.steps(self.faults):
                    self._wait(at)
                    self._step(when, fault)
            finally:
                self.over.set()
                watcher.join()
            wait_until(self._is_whole, "the region is whole again", 60, every=0.2)
            self.storm.wait_more(2000, timeout=60)

    def _is_whole(self):
        self._check()
        try:
            return self.region.is_whole()
        except OSError:
            return False

    def _check(self):
        """The load and all nodes are there, but for those that a fault took away."""
        self.storm._alive()
        for node in self.storm.nodes.all:
            code = node.popen.poll() if node.popen else None
            if code == 1 and node.event("boot_failed"):  # e.g. Redis is away, too: a supervisor's business
                why = node.event("boot_failed")["why"]
                self.say(f"{self.now():7.1f} s       {node.name} is started again: {why}")
                node.launch()
            elif code is not None and code not in node.expected:
                raise WaitError(f"{node.name} ended ({code}): {node.log}")
            if code is None and not node.ready:  # started again: where its admin listener is now
                node.ready = node.event("ready") or {}

    def _wait(self, at):
        while self.now() < at:
            self._check()
            time.sleep(max(0.0, min(0.2, at - self.now())))

    def _step(self, when, fault):
        at, why = self.now(), ""
        try:
            happened = soak_faults.make(self.region, when, fault)
        except Exception as e:  # whatever it was: the line says it, and the soak goes on
            happened, why = False, f" ({type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''})"
        if happened is None:
            return
        self.happened += happened
        self.not_happened += not happened
        said = "happened" if happened else f"DID NOT HAPPEN{why}"
        self.say(f"{at:7.1f} s  {fault.number:3}  {fault}: {said}")

    def _progress(self):
        while not self.over.wait(PROGRESS):
            delivered = self.storm.total("fanfare_edge_deliveries_total")
            behind = self.storm.total("fanfare_edge_lagging")
            self.say(f"{self.now():7.1f} s       … {self.happened} faults; {delivered:.0f} deliveries"
                     f" by the edges that run, {behind:.0f} subscriptions behind")

    def verdict(self):
        """(lines, passed). What the oracle said, and what our own clients got."""
        row = self.storm.row
        if "missing" not in row:
            return [], False
        report = self.storm.result.verdict
        wrong, followers = self.region.judge_followers()
        enough = self.happened >= HAPPEN * len(self.faults)
        counts = ", ".join(f"{name} {row[name]}" for name in COUNTS)
        passed = not any(row[name] for name in COUNTS) and not wrong and enough
        return [
            f"clients that were away for long: {wrong or 'exact'} {followers}",
            f"verdict: {'PASSED' if passed else 'FAILED'}: {self.happened} faults happened,"
            f" {self.not_happened} did not; {row['records']} records, {report['delivered']} deliveries,"
            f" {counts}; {row['resumed']} times resumed, longest pause {row['pause_s']:.2f} s",
        ], passed


def soak(storm, region, faults, say, name="soak"):
    """Runs it to its verdict: whether it passed."""
    it, trouble = Soak(storm, region, faults, say), ""
    try:
        it.run(name)
    except AssertionError as e:  # the oracle's verdict, too: it is told below
        trouble = str(e)
    finally:
        storm.end()
    lines, passed = it.verdict()
    accidents = storm.nodes.finish()
    for line in (trouble.splitlines() if not lines else []) + accidents + lines:
        say(line)
    return passed and not accidents and not trouble


def prepare(directory, logs):
    """(storm, region, close): three brokers and what stands on them."""
    cluster, ways = Cluster(directory / "kafka", 3), Ways()
    made = [ways.close, cluster.kill]

    def close():
        for end in made:
            end()

    try:
        cluster.start()
        topics = Topics(cluster.bootstrap)
        topic = topics.create("soak", partitions=4)
        wait_until(lambda: cluster.in_sync(topic) == 3, "three replicas of each partition", 60)
        nodes = Nodes(logs / "nodes", cluster)
        made.insert(0, nodes.finish)
        storm = Storm(nodes, topics, topic, cluster, None, logs)
        made.insert(0, storm.end)
        region = SoakRegion(storm, ways, directory, cluster)
        made.insert(2, region.close)
        return storm, region, close
    except BaseException:
        close()
        raise


def keep_logs(directory):
    """Those of the servers that aren't ours."""
    for log in directory.rglob("*.log"):
        name = "-".join(log.relative_to(directory).parts)
        if not name.startswith("kafka-") or log.name == "kafka.log":
            shutil.copy(log, LOGS / name)


def parse(argv):
    about = "Makes faults in a region under load, one each six seconds or so, and judges every client."
    parser = argparse.ArgumentParser(prog="dev chaos", description=about)
    parser.add_argument("--seed", type=int, help="the same seed makes the same faults; default: a new one")
    parser.add_argument("--minutes", type=float, default=5, help="how long (5); 200 faults need 30")
    parser.add_argument("--plan", action="store_true", help="print the faults of this seed and end")
    opts = parser.parse_args(argv)
    if opts.seed is None:
        opts.seed = random.SystemRandom().randrange(1_000_000)
    return opts


def main(argv=None):
    opts = parse(argv)
    faults = soak_plan.plan(opts.seed, opts.minutes * 60)
    text = "\n".join(f"{f.at:7.1f} s  {f.number:3}  {f}" for f in faults)
    again = f"./dev chaos --seed {opts.seed} --minutes {opts.minutes:g}"
    print(f"seed {opts.seed}: {len(faults)} faults in {opts.minutes:g} minutes,"
          f" plan {zlib.crc32(text.encode()):08x}; again: {again}", flush=True)
    if opts.plan:
        print(text)
        return 0
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    (LOGS / "plan.txt").write_text(text + "\n")
    (LOGS / "deliveries").mkdir()
    LOAD["dir"] = LOGS / "deliveries"  # 24 bytes each (loadgen/dlog.h); what is missing can be looked up
    LOAD["duration"] = f"{int(opts.minutes) + 60}m"
    scratch = tempfile.TemporaryDirectory(prefix="fanfare-soak-")
    with scratch as directory, open(LOGS / "soak.txt", "w") as kept:

        def say(line):
            print(line, flush=True)
            print(line, file=kept, flush=True)

        storm, region, close = prepare(pathlib.Path(directory), LOGS)
        try:
            passed = soak(storm, region, faults, say, f"soak, seed {opts.seed}")
        finally:
            close()
        (LOGS / "row.json").write_text(json.dumps(storm.row, indent=1))
        if passed:
            shutil.rmtree(LOGS / "deliveries")
        else:
            keep_logs(pathlib.Path(directory))
            say(f"logs: {LOGS.relative_to(REPO)}/; the same faults again: {again}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
