# SPDX-License-Identifier: Apache-2.0
"""Breaks the code on purpose, one small defect at a time, and sees that the chaos suite's oracle says so.

    ./dev test chaos --mutants [-k NAME]

tests/chaos/mutants/NAME.patch begins with three lines:

    What: the defect in words
    Row: the test that must find it
    Expect: missing | duplicate | disorder | wrong | false recovered

and goes on as a unified diff. Each is applied to a copy of the tree (build/mutants/), which is built and runs
that row. A mutant is caught only if the oracle judged the row and saw what is expected: a patch that
doesn't apply, a build error, a crash, a sanitizer's report, a row that never came to its verdict are misses.
One line each: mutant, row, expected, seen. Last `N passed, N failed`, as the other suites.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

REPO = pathlib.Path(__file__).resolve().parents[2]
PATCHES = REPO / "tests" / "chaos" / "mutants"
TREE = REPO / "build" / "mutants" / "tree"
LOGS = REPO / "build" / "log" / "mutants"
PRESET = "debug"
TARGETS = ["fanfare-worker", "fanfare-edge", "fanfare-loadgen"]
PARTS = ["CMakeLists.txt", "CMakePresets.json", "LICENSE", "NOTICE", "README.md"]
PARTS += ["common", "edge-node", "fanout-worker", "loadgen", "schemas", "tests", "docs", "docker"]
KINDS = ("missing", "duplicate", "disorder", "wrong", "false recovered")
BUILD_S, ROW_S = 600, 240


class PatchError(Exception):
    """It isn't a patch of ours, or doesn't apply."""


@dataclass
class Mutant:
    name: str
    what: str
    row: str
    expect: str
    hunks: list  # (path, lines before, lines after)
    changed: int  # lines taken out and put in


def load(path):
    """The mutant in a patch file."""
    text = path.read_text()
    head, _, diff = text.partition("--- a/")
    fields = dict(re.findall(r"^(What|Row|Expect): (.+)$", head, re.M))
    if set(fields) != {"What", "Row", "Expect"} or fields["Expect"] not in KINDS:
        raise PatchError(f"{path.name}: it begins with What:, Row: and Expect: ({', '.join(KINDS)})")
    hunks, changed, file = [], 0, None
    for line in ("--- a/" + diff).splitlines():
        if line.startswith("--- a/"):
            file = line[6:].split("\t")[0]
        elif line.startswith("@@"):
            hunks.append((file, [], []))
        elif hunks and not line.startswith("+++ "):
            _, old, new = hunks[-1]
            mark, rest = line[:1] or " ", line[1:]  # an empty line is one of the file's
            old.extend([rest] * (mark != "+"))
            new.extend([rest] * (mark != "-"))
            changed += mark != " "
    if not hunks:
        raise PatchError(f"{path.name}: no hunk")
    return Mutant(path.stem, fields["What"], fields["Row"], fields["Expect"], hunks, changed)


def apply(mutant, root):
    """Patches the tree at root; {path: the text that was there}. Lines may have moved, but what a hunk shows
    must stand in the file exactly once."""
    before, after = {}, {}
    for file, old, new in mutant.hunks:
        path = root / file
        if not path.exists():
            raise PatchError(f"{mutant.name}.patch doesn't apply any more: there is no {file}")
        before.setdefault(path, path.read_text())
        text = after.get(path, before[path])
        old_text, new_text = ("".join(line + "\n" for line in lines) for lines in (old, new))
        found = text.count(old_text)
        if found != 1:
            stale = f"{mutant.name}.patch doesn't apply any more: {file} has these lines"
            raise PatchError(f"{stale} {found} times:\n{old_text}")
        after[path] = text.replace(old_text, new_text)
    for path, text in after.items():
        path.write_text(text)
    return before


@contextlib.contextmanager
def applied(mutant, root):
    before = apply(mutant, root)
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


def all_mutants(directory=PATCHES):
    return [load(p) for p in sorted(directory.glob("*.patch"))]


# ---- the copy and its build ----


def copy_tree():
    """The sources as they are now; what is unchanged keeps its time, so that ninja builds little."""
    wanted = set()
    for part in PARTS:
        top = REPO / part
        for source in [top] if top.is_file() else sorted(top.rglob("*")):
            if not source.is_file() or "__pycache__" in source.parts:
                continue
            target = TREE / source.relative_to(REPO)
            wanted.add(target)
            data = source.read_bytes()
            if not target.exists() or target.read_bytes() != data:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    for old in TREE.rglob("*"):
        if old.is_file() and TREE / "build" not in old.parents and old not in wanted:
            old.unlink()


def run(argv, log, timeout, **more):
    """The exit code; None on time-out."""
    with open(log, "ab") as out:
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=timeout, **more
            )
            return done.returncode
        except subprocess.TimeoutExpired:
            return None


def build(log):
    """Warnings are no errors there: a defect may leave a parameter unused."""
    options = ["-DFANFARE_WERROR=OFF", "-DFANFARE_COVERAGE=OFF"]
    options += ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    configured = run(["cmake", "--preset", PRESET, *options], log, BUILD_S, cwd=TREE) == 0
    return configured and run(["ninja", "-C", f"build/{PRESET}", *TARGETS], log, BUILD_S, cwd=TREE) == 0


# ---- one mutant ----


def run_row(mutant, log, directory):
    """The row's entry in chaos.json, or None."""
    report = directory / "chaos.json"
    report.unlink(missing_ok=True)
    env = os.environ | {"FANFARE_BUILD": str(TREE / "build" / PRESET), "FANFARE_CHAOS_LOGS": str(directory)}
    env.pop("FANFARE_ROWS_FD", None)  # its rows are nobody else's
    argv = [sys.executable, "-m", "pytest", "-c", "tests/integration/pytest.ini", "-p", "no:cacheprovider"]
    argv += ["-o", f"timeout={ROW_S}", mutant.row]
    run(argv, log, ROW_S + 60, cwd=REPO, env=env)
    rows = json.loads(report.read_text())["rows"] if report.exists() else []
    return rows[0] if len(rows) == 1 else None


def seen_in(row):
    """{kind: how many} by the oracle, or a text that says why there is no verdict to believe."""
    if row is None:
        return "the row didn't run"
    if set(row.get("failed_in", [])) - {"call"}:
        return f"an accident: {row.get('why', '')}"
    if "missing" not in row:
        return f"no verdict: {row.get('why', '')}"
    counts = {kind: row.get(kind.replace(" ", "_"), 0) for kind in KINDS}
    counts["missing"] -= counts["false recovered"]
    return {kind: n for kind, n in counts.items() if n}


def try_one(mutant):
    """(caught, one line)."""
    directory = LOGS / mutant.name
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log.txt"
    log.unlink(missing_ok=True)
    try:
        with applied(mutant, TREE):
            seen = seen_in(run_row(mutant, log, directory)) if build(log) else "it doesn't build"
    except PatchError as e:
        seen = str(e)
    if isinstance(seen, dict):
        caught = seen.get(mutant.expect, 0) > 0
        seen = ", ".join(f"{kind} {n}" for kind, n in seen.items()) or "nothing"
    else:
        caught = False
    row = mutant.row.rpartition("::")[2]
    result = "caught" if caught else "MISSED"
    return caught, f"{result}  {mutant.name}, {row}, expected {mutant.expect}, seen {seen}"


def try_all(mutants, say=print):
    """How many were caught."""
    copy_tree()
    LOGS.mkdir(parents=True, exist_ok=True)
    caught = 0
    for mutant in mutants:
        found, line = try_one(mutant)
        caught += found
        say(line)
    return caught


def main(argv=None):
    parser = argparse.ArgumentParser(prog="dev test chaos --mutants")
    parser.add_argument("-k", metavar="NAME", default="", help="only mutants with this in their name")
    opts = parser.parse_args(argv)
    mutants = [m for m in all_mutants() if opts.k in m.name]
    caught = try_all(mutants, lambda line: print(line, flush=True))
    missed = len(mutants) - caught
    print(f"{caught} caught, {missed} missed")
    print(f"{caught} passed, {missed} failed")
    return 1 if missed or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
