#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the models of this folder with spin, as runs.txt lists them.

    run.py                       every run but the deep ones
    run.py append NO_CAS         the runs that have all these words
    run.py --deep [WORD…]        the deep ones, too: minutes
    run.py --trail WORD…         one run's counterexample, step by step

A run passes if the verifier saw what its row expects, and all of it: a search that ended early (depth,
memory, time) proves nothing; nor does a model in which nothing happens: so a good run must
have come to each KEY() in its model, and to each KEY(A) if it has the switch A.
The last line is `N passed, N failed`. Needs spin and gcc; standard library only.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 120 * float(os.environ.get("FANFARE_TIMEOUT_SCALE", "1"))  # a run's; ten times that: a deep run's
DEPTH, MEMORY_MB = 100000, 4096
LONG = 300000  # states
CCACHE = ["ccache"] if shutil.which("ccache") else []
KEY = re.compile(r"^(?!#).*\bKEY\((?P<switch>\w*)\)")
EARLY = ("max search depth too small", "out of memory", "-DMEMLIM", "VECTORSZ", "aborting")


@dataclass
class Run:
    expect: str
    most: int  # states
    model: str
    switches: list
    deep: bool
    seen: str = ""
    states: int = 0
    seconds: float = 0
    wrong: list = field(default_factory=list)
    output: str = ""
    keys: set = field(default_factory=set)  # lines whose statement exists in this run

    @property
    def name(self):
        return " ".join([self.model, *self.switches])

    def defines(self, folder):
        return [*(f"-D{s}" for s in self.switches), str(folder / f"{self.model}.pml")]

    def has(self, switch):
        return any(s == switch or re.fullmatch(rf"{switch}=[1-9]\d*", s) for s in self.switches)


def read_table(path):
    """`expect, most states, model, switches…` a line; `deep` before them; # comments."""
    runs = []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        deep = words[0] == "deep"
        expect, most, model, *switches = words[deep:]
        runs.append(Run(expect, int(most.replace(",", "")), model, switches, deep))
    return runs


def call(argv, cwd, seconds=SECONDS):
    """Output and exit code; None: not done in time."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds)
        return (done.stdout + done.stderr).decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace"), None


def unreached(text):
    """Line: how many of its states the search did not come to."""
    lines = {}
    for line in re.findall(r"^\t\S+\.pml:(\d+), state \d+, \"(?!-end)", text, re.M):
        lines[int(line)] = lines.get(int(line), 0) + 1
    return lines


def check_keys(run, source, work, text):
    """A search of two steps comes to nothing: it tells which states there are at all."""
    there = unreached(call(["./pan", "-E", "-m2"], work)[0])
    missed = unreached(text)
    for number, line in enumerate(source.splitlines(), 1):
        key = KEY.search(line)
        if not key or number not in there or (key["switch"] and not run.has(key["switch"])):
            continue
        run.keys.add(number)
        if missed.get(number, 0) == there[number]:
            run.wrong.append(f"never reached: {run.model}.pml:{number}: {line.strip()}")


def judge(run, text, code):
    """What the verifier saw: ok, cycle, or the name of the CHECK that failed."""
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\d+) states, stored", text)
    failed = re.search(r"assertion violated .*\|\|(\w+)\)", text)
    run.states = int(states[1]) if states else 0
    if code is None:
        run.seen = "no end"
    elif failed:
        run.seen = failed[1]
    elif "acceptance cycle" in text and errors and errors[1] != "0":
        run.seen = "cycle"
    elif any(early in text for early in EARLY) or not errors:
        run.seen = "an early end"
    else:
        run.seen = "ok" if errors[1] == "0" else "another error"
    if run.seen != run.expect:
        run.wrong.append(f"expected {run.expect}, seen {run.seen}")
        run.output = text[-4000:] if run.seen in ("no end", "an early end", "another error") else ""
    if run.seen == "ok" and run.states > run.most:
        run.wrong.append(f"{run.states:,} states, at most {run.most:,}: has the model grown?")


def build(run, work, folder):
    """spin, gcc: True if there is a verifier."""
    # -o3: statements are not merged, so that each one is known to be reached or not.
    spin = ["spin", "-o3", "-a", *run.defines(folder)]
    # Most searches are shorter than an optimizing compiler's run.
    gcc = ["gcc", "-O1" if run.expect == "ok" and run.most > LONG else "-O0", "-w", "-c", "pan.c"]
    gcc += ["-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}", *([] if run.has("LIVE") else ["-DSAFETY"])]
    for argv in (spin, [*CCACHE, *gcc], ["gcc", "-o", "pan", "pan.o"]):
        text, code = call(argv, work)
        if code != 0 or not (work / "pan.c").exists():
            run.wrong.append(f"{argv[0]} failed")
            run.output = text[-4000:]
            return False
    return True


def trail_of(run, folder, work):
    """The counterexample: each step's process, place and statement, then what isn't 0 at the end."""
    argv = ["spin", "-t", "-k", f"{run.model}.pml.trail", "-p", "-g", *run.defines(folder)]
    text, end = call(argv, work, 60)[0].partition("spin: trail ends")[::2]
    step = re.compile(r"^ *(\d+):\tproc +(\d+ \(\w+):\d\) \S*?(\w+\.pml:\d+) .*?\t\[(.*)\]$", re.M)
    for at, who, place, what in step.findall(text):
        yield f"{at:>5}  {who})  {place:<18} {what}"
    yield from re.findall(r"^\s*(?:spin: )?(text of failed assertion.*|.* = [1-9]\d*)$", end, re.M)


def check(run, folder, trail=False):
    began = time.monotonic()
    source = (folder / f"{run.model}.pml").read_text()
    for switch in (s.split("=")[0] for s in run.switches):
        if not re.search(rf"\b{switch}\b", source):
            run.wrong.append(f"the model knows no switch {switch}")
    with tempfile.TemporaryDirectory(prefix="fanfare-model-") as name:
        work = Path(name)
        if not run.wrong and build(run, work, folder):
            pan = ["./pan", *(["-a", "-f"] if run.has("LIVE") else ["-E"]), f"-m{DEPTH}", "-w18"]
            text, code = call(pan, work, SECONDS * (10 if run.deep else 1))
            judge(run, text, code)
            if run.expect == run.seen == "ok":
                check_keys(run, source, work, text)
            if trail or (run.wrong and run.seen not in ("ok", "no end")):
                steps = list(trail_of(run, folder, work))
                run.output += "\n".join(steps if trail else steps[-60:])
    run.seconds = time.monotonic() - began
    return run


def check_all_keys(runs, folder):
    """Each key must be looked at in some run: else its comment stands on a line without a statement."""
    for model in sorted({r.model for r in runs}):
        looked = set().union(*(r.keys for r in runs if r.model == model))
        for number, line in enumerate((folder / f"{model}.pml").read_text().splitlines(), 1):
            if KEY.search(line) and number not in looked:
                yield f"{model}.pml:{number}: no run looks at this key"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only runs that have all these words")
    parser.add_argument("--deep", action="store_true", help="the deep runs, too")
    parser.add_argument("--trail", action="store_true", help="print the counterexample of one run")
    parser.add_argument("--folder", type=Path, default=HERE, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder.resolve()
    runs = [r for r in read_table(folder / "runs.txt") if set(args.words) <= set(r.name.split())]
    if args.trail:
        runs = sorted(runs, key=lambda r: len(r.switches))[:1]
    else:
        runs = [r for r in runs if args.deep or not r.deep]
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for run in pool.map(lambda r: check(r, folder, args.trail), runs):
            said = f"{run.name:<58} {run.expect:>9} {run.seen or '-':>9}"
            print(f"{'FAILED' if run.wrong else 'passed'} {said} {run.states:>11,} {run.seconds:6.1f} s")
            for wrong in run.wrong:
                print(f"       {wrong}")
            if run.output:
                print("\n".join("    | " + line for line in run.output.splitlines()), flush=True)
            failed += bool(run.wrong)
    misplaced = [] if args.words or args.trail or failed else list(check_all_keys(runs, folder))
    for text in misplaced:
        print(f"FAILED {text}")
    failed += len(misplaced)
    print(f"{len(runs) + len(misplaced) - failed} passed, {failed} failed")
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
