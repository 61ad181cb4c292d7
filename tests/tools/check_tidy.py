# SPDX-License-Identifier: Apache-2.0
"""clang-tidy 14 over what the build compiles, and each header compiled alone; in parallel, cached.

    check_tidy.py sources BUILD     clang-tidy with the repository's .clang-tidy
    check_tidy.py headers BUILD     every header as a translation unit of its own

A good result is remembered under a hash of all it depends on within the tree: the file, what it includes
(transitively, .def files too), the command, the rules, the tool. So the second run costs a few
milliseconds a file. A bad one is never remembered.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-14"
OURS = ("common", "edge-node", "fanout-worker", "loadgen", "tests")
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)


def cache_dir():
    base = os.environ.get("FANFARE_CACHE") or os.path.expanduser("~/.cache/fanfare")
    path = Path(base) / "tidy"
    path.mkdir(parents=True, exist_ok=True)
    return path


def closure(path, seen):
    """Every file of ours that path includes, itself too."""
    if path in seen or not path.exists():
        return seen
    seen[path] = path.read_bytes()
    for m in INCLUDE.finditer(seen[path]):
        name = m[1].decode()
        for place in (REPO / name, path.parent / name):
            if place.exists():
                closure(place.resolve(), seen)
                break
    return seen


def rules_of(path):
    """The text of every .clang-tidy from the file's directory up to the top."""
    found = b""
    for directory in path.parents:
        rules = directory / ".clang-tidy"
        found += rules.read_bytes() if rules.exists() else b""
        if directory == REPO:
            break
    return found


def key_of(path, argv, tool):
    h = hashlib.sha256()
    command = "\0".join(argv).replace(str(REPO), ".")  # another clone's results are as good
    for part in (tool, rules_of(path), command.encode()):
        h.update(hashlib.sha256(part).digest())
    for name, content in sorted(closure(path, {}).items()):
        h.update(hashlib.sha256(str(name.relative_to(REPO)).encode() + b"\0" + content).digest())
    return h.hexdigest()[:32]


def run(job):
    """None if good, else what the tool said."""
    path, argv, key = job
    known = cache_dir() / key
    if known.exists():
        os.utime(known)
        return None
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=REPO)
    said = done.stdout + done.stderr
    if done.returncode == 0 and "error:" not in said:
        known.touch()
        return None
    drop = re.compile(r"^\d+ warnings? |^Suppressed |^Use -header-filter|^Error while processing")
    lines = [line for line in said.splitlines() if not drop.match(line)]
    return "\n".join(lines) or f"{path}: {argv[0]} ended with {done.returncode}"


def source_jobs(build):
    tool = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    for row in json.loads((build / "compile_commands.json").read_text()):
        path = Path(row["file"]).resolve()
        if not path.is_relative_to(REPO) or path.relative_to(REPO).parts[0] not in OURS:
            continue
        argv = [TIDY, "--quiet", "-p", str(build), "--extra-arg=-Wno-unknown-warning-option", str(path)]
        yield path, argv, key_of(path, [*argv, row["command"]], tool)


def header_jobs(build):
    """Each header with the flags of a source of its own directory (else of any)."""
    flags = {}
    for row in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(row["command"])
        kept = [w for w in words[1:] if w.startswith(("-I", "-D", "-W", "-std", "-f")) or w == "-pthread"]
        kept += [x for w, v in zip(words, words[1:], strict=False) if w == "-isystem" for x in (w, v)]
        flags.setdefault(Path(row["file"]).resolve().parent, kept)
    fallback = max(flags.values(), key=len, default=[])
    tool = subprocess.run(["cc", "--version"], capture_output=True, check=True).stdout
    for top in OURS:
        for path in sorted((REPO / top).rglob("*.h")):
            argv = ["cc", "-x", "c", "-fsyntax-only", "-Werror", "-Wno-unused", f"-I{REPO}"]
            argv += flags.get(path.parent, fallback)
            # a header of macros alone is an empty unit, which is pedantry's only quarrel with it
            argv += ["-Wno-pedantic", "-include", str(path), "/dev/null"]
            yield path, argv, key_of(path, argv, tool)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sources", "headers"])
    parser.add_argument("build", type=Path)
    args = parser.parse_args()
    jobs = list((source_jobs if args.what == "sources" else header_jobs)(args.build))
    bad, told = 0, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for said in filter(None, pool.map(run, jobs)):
            bad += 1
            if said not in told:  # a header's mistake comes with each file that includes it
                print(said, flush=True)
            told.add(said)
    print(f"{len(jobs)} files, {bad} with mistakes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
