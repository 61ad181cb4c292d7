# SPDX-License-Identifier: Apache-2.0
"""Runs the test suites and counts: the second half of `./dev test`.

One row of SUITES per suite. Each prints one line with its count and time, its failures and the reason of
each skip; counts are compared with tests/minimum.txt, so that tests which silently stop being run are a
failure; at the end a coverage figure (debug build) and the sum. Standard library only.
"""

import argparse
import glob
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LOGS = REPO / "build" / "log"
INTEGRATION = "tests/integration"
APART = {"sdk": f"{INTEGRATION}/test_sdk*.py", "page": f"{INTEGRATION}/test_page*.py"}

# suite: (kind, where its tests are, seconds it may take). Patterns without a match are no tests.
SUITES = {
    "unit": ("ctest", ["unit"], 300),
    "fuzz": ("ctest", ["fuzz"], 300),
    "house": ("pytest", ["tests/tools/test_*.py"], 900),
    "integration": ("pytest", [f"{INTEGRATION}/test_*.py"], 1500),
    "sdk": ("pytest", [APART["sdk"], "tests/sdk"], 600),
    "page": ("pytest", [APART["page"], "tests/page"], 600),
    "autobahn": ("script", ["tests/autobahn/run.sh"], 600),
    "model": ("script", ["tests/model/run.py"], 600),
    "chaos": ("pytest", ["tests/chaos/test_*.py"], 2700),
    "cluster": ("pytest", ["tests/cluster/test_*.py"], 2700),
    "deploy": ("pytest", ["tests/deploy/test_*.py"], 2400),
    "bench": ("script", ["tests/bench/ci.sh"], 1800),
    "k8s": ("pytest", ["tests/k8s/test_*.py"], 1800),
}
SHORT = ("chaos", "cluster", "deploy")  # unless named (or --all or -k is given), only tests marked `short`
ROWS = ("chaos", "cluster")  # each test is a row of a table
TOLD = (*ROWS, "deploy", "k8s")  # they take minutes, and say meanwhile what they find
HOSTED = "cluster"  # in a network of its own
TSAN_SUITES = ["unit", "integration"]
LONGER = {"chaos": 240, "cluster": 240, "deploy": 900, "k8s": 900}  # seconds for a test; 120 elsewhere
NAMED_ONLY = {"k8s"}  # it needs root, and fetches and builds for minutes first
WHY_MAX = 500  # characters of a failure's message
CI_ONLY = "bench"  # unless it is named: a machine that does other things beside gets other figures
SLOWER = {"asan": 3, "tsan": 6}  # what a wait is multiplied by


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)  # "test", or "test: why"
    reasons: list = field(default_factory=list)  # "test: why it was skipped"

    @property
    def total(self):
        return self.passed + self.failed + self.skipped

    def fail(self, name, why=""):
        self.failed += 1
        self.failures.append(f"{name}: {why}" if why else name)

    def skip(self, name, why):
        self.skipped += 1
        self.reasons.append(f"{name}: {why}")

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run(argv, log, timeout, env=None, pass_fds=()):
    """The exit code, or None on time-out; all output in the log."""
    with open(log, "wb") as out:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                timeout=timeout,
                pass_fds=pass_fds,
                env={**os.environ, **(env or {})},
            )
            return done.returncode
        except subprocess.TimeoutExpired:
            out.write(f"\nsuites: not done after {timeout:g} s\n".encode())
            return None


def count_cmocka(count, name, text, failed):
    """The single tests of one cmocka program by its output; a crash is one more failure."""
    tests = re.findall(r"^\[ *(OK|FAILED|SKIPPED) *\] (\w+)$", text, re.M)
    before = count.failed
    for test, result in {test: result for result, test in tests}.items():
        full = f"{name}:{test}"
        if result == "OK":
            count.passed += 1
        elif result == "SKIPPED":
            said = re.search(rf"^\[ RUN +\] {test}\n(.*)\n(?:.*\n)*?\[ +SKIPPED \] {test}$", text, re.M)
            why = said[1].strip() if said and not said[1].startswith("[") else "(it prints no reason)"
            count.skip(full, why)
        else:
            count.fail(full)
    if failed and count.failed == before:
        count.fail(f"{name} (no test failed, the program did)")
    elif not tests and not failed:
        count.passed += 1


def run_ctest(suite, labels, opts):
    count, report = Count(), LOGS / f"suite-{suite}.xml"
    report.unlink(missing_ok=True)
    argv = ["ctest", "--test-dir", opts.build, "-L", f"^({'|'.join(labels)})$", "-j", str(os.cpu_count())]
    argv += ["--output-on-failure", "--output-junit", str(report), "--no-tests=ignore"]
    argv += ["--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000"]
    argv += ["-R", opts.k.replace(" or ", "|")] if opts.k else []
    argv += ["--timeout", str(120 * opts.scale)]
    code = run(argv, opts.log, opts.timeout, opts.env)
    if report.exists():
        for case in ET.parse(report).getroot().iter("testcase"):
            failed = case.get("status") not in ("run", "disabled", "notrun")
            if case.find("skipped") is not None:
                missing = case.find("skipped").get("message", "")
                if "Disabled" in missing or "SKIP" in missing:
                    count.skip(case.get("name"), missing)
                else:
                    count.fail(f"{case.get('name')} (not run: {missing or 'not built'})")
                continue
            count_cmocka(count, case.get("name"), case.findtext("system-out", ""), failed)
    elif code != 0:
        count.fail(f"ctest ended with {code}")
    return count


def run_told(argv, opts):
    """A suite that takes minutes: what it says with harness/telling.py is shown at once."""
    said = os.dup(1)
    try:
        return run(argv, opts.log, opts.timeout, {**opts.env, "FANFARE_ROWS_FD": str(said)}, (said,))
    finally:
        os.close(said)


def run_pytest(suite, patterns, opts):
    count, report = Count(), LOGS / f"suite-{suite}.xml"
    report.unlink(missing_ok=True)
    apart = {p for name, pattern in APART.items() if name != suite for p in glob.glob(pattern, root_dir=REPO)}
    paths = sorted({p for pattern in patterns for p in glob.glob(pattern, root_dir=REPO)} - apart)
    if not paths:
        return count
    argv = [sys.executable, "tests/cluster/apart.py"] if suite == HOSTED else []
    argv += [sys.executable, "-m", "pytest", "-c", f"{INTEGRATION}/pytest.ini", "-p", "no:cacheprovider"]
    argv += [f"--junitxml={report}", "--durations=8"]
    each = LONGER.get(suite, 120)  # one test that hangs ends them all
    seconds = 1200 if suite in ROWS and opts.long else each
    argv += ["-o", f"timeout={seconds * opts.scale}"] + (["-k", opts.k] if opts.k else [])
    argv += ["-m", "short"] if suite in SHORT and not (opts.all or opts.k) else []
    if suite in TOLD:
        code = run_told([*argv, *paths], opts)
    else:
        code = run([*argv, *paths], opts.log, opts.timeout, opts.env)
    if not report.exists():
        count.fail(f"pytest ended with {code}")
        return count
    cases = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # a teardown's error is a row of its own
        name = "::".join(filter(None, (case.get("classname", "").rpartition(".")[2], case.get("name"))))
        cases.setdefault(name, []).extend(case)
    for name, children in cases.items():
        skips = [c for c in children if c.tag == "skipped"]
        wrong = [c.get("message", "") for c in children if c.tag in ("failure", "error")]
        if wrong:
            count.fail(name, " ".join(wrong[0].split())[:WHY_MAX])
        elif skips:
            count.skip(name, skips[0].get("message", ""))
        else:
            count.passed += 1
    if code not in (0, 5) and not count.failed:
        count.fail(f"pytest ended with {code}")
    return count


def run_script(suite, paths, opts):
    """A script that prints `N passed, N failed[, N skipped]` last, and `SKIPPED name: why` before."""
    count, script = Count(), REPO / paths[0]
    if not script.exists():
        return count
    code = run([str(script)], opts.log, opts.timeout, opts.env)
    text = Path(opts.log).read_text(errors="replace")
    sums = re.findall(r"^(\d+) passed, (\d+) failed", text, re.M)
    for name, why in re.findall(r"^SKIPPED ([^:]+): (.*)$", text, re.M):
        count.skip(name, why)
    if sums:
        count.passed, count.failed = map(int, sums[-1])
        count.failures = re.findall(r"^FAILED (.*)$", text, re.M)
    if code != 0 and not count.failed:
        count.fail(f"{paths[0]} ended with {code}")
    return count


def read_minimum():
    """tests/minimum.txt: `suite N` a line, # comments."""
    rows = {}
    path = REPO / "tests" / "minimum.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split("#")[0].split()
        if words:
            rows[words[0]] = int(words[1])
    return rows


def run_suite(suite, opts):
    kind, where, timeout = SUITES[suite]
    opts.log, opts.timeout = LOGS / f"suite-{suite}.log", timeout * opts.scale
    (LOGS / f"{suite}.txt").unlink(missing_ok=True)
    began = time.monotonic()
    count = {"ctest": run_ctest, "pytest": run_pytest, "script": run_script}[kind](suite, where, opts)
    counted = f"{suite}-all" if suite in SHORT and opts.all else suite
    least = 0 if opts.k else read_minimum().get(counted, 0)
    if count.total < least:
        count.fail(f"{suite}: {count.total} tests, the committed minimum is {least} (tests/minimum.txt)")
    took = time.monotonic() - began
    nothing = "" if count.total else ": no tests in the tree" if not opts.k else ": none matches"
    print(f"suite   {suite}: {count} ({took:.1f} s){nothing}", flush=True)
    for reason in count.reasons:
        print(f"        skipped: {reason}")
    for name in count.failures:
        print(f"        FAILED: {name}")
    if count.failed:
        lines = opts.log.read_text(errors="replace").splitlines() if opts.log.exists() else []
        print(f"        all of it in {opts.log.relative_to(REPO)}; it ends:")
        print("\n".join("    | " + line for line in lines[-60:]), flush=True)
    return count


def coverage(build):
    """Lines of our three parts that the tests ran, by gcovr on the debug build."""
    argv = ["gcovr", "-r", str(REPO), build, "-j", str(os.cpu_count())]
    for part in ("common", "edge-node", "fanout-worker"):
        argv += ["--filter", f"{REPO}/{part}/"]
    argv += ["--gcov-ignore-parse-errors", "--html", str(REPO / "build" / "coverage.html"), "-s"]
    argv += ["--exclude-throw-branches"]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"^lines: (.*)$", done.stdout, re.M)
    if found:
        print(f"coverage: {found[1]} of lines in common, edge-node, fanout-worker (build/coverage.html)")
    else:
        print("coverage: none (gcovr: " + (done.stderr.strip().splitlines() or ["no data"])[-1] + ")")


def chosen_by_default(preset):
    if preset == "tsan":
        return TSAN_SUITES
    left = NAMED_ONLY if preset == "debug" and os.environ.get("CI") else NAMED_ONLY | {CI_ONLY}
    return [s for s in SUITES if s not in left]


def main():
    parser = argparse.ArgumentParser(prog="dev test", description="runs the test suites")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("-k", metavar="EXPR", help="only tests whose name matches")
    shorter = ", ".join(SHORT)
    parser.add_argument("--short", action="store_true", help=f"{shorter}: its short form, although named")
    parser.add_argument("--all", action="store_true", help=f"{shorter}: all of it")
    parser.add_argument("--long", action="store_true", help="cluster: drills last as long as in the field")
    parser.add_argument("--mutants", action="store_true", help="chaos: break the code and see it caught")
    parser.add_argument("--list", action="store_true", help="name the suites and end")
    parser.add_argument("--preset", default="debug", help=argparse.SUPPRESS)
    parser.add_argument("--build-failed", action="store_true", help=argparse.SUPPRESS)
    opts = parser.parse_args()
    opts.all = opts.all or (not opts.short and not set(SHORT).isdisjoint(opts.suites))
    unknown = set(opts.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))} ({', '.join(SUITES)})")
    if opts.list:
        print("\n".join(SUITES))
        return 0
    if opts.mutants and opts.suites != ["chaos"]:
        parser.error("--mutants is the chaos suite's")
    if opts.mutants:
        argv = [sys.executable, "tests/chaos/mutants.py", *(["-k", opts.k] if opts.k else [])]
        return subprocess.run(argv, cwd=REPO, stdin=subprocess.DEVNULL).returncode
    LOGS.mkdir(parents=True, exist_ok=True)
    opts.build = os.environ["FANFARE_BUILD"]
    opts.scale = SLOWER.get(opts.preset, 1) * float(os.environ.get("FANFARE_TIMEOUT_SCALE", "1"))
    opts.env = {"FANFARE_TIMEOUT_SCALE": str(opts.scale), "FANFARE_LONG": "yes" if opts.long else ""}
    chosen = opts.suites or chosen_by_default(opts.preset)
    if opts.preset == "debug":
        for old in Path(opts.build).rglob("*.gcda"):
            old.unlink()
    total = Count()
    if opts.build_failed:
        print("        FAILED: the build (its errors are above)")
        total.fail("build", "its errors are above")
    for suite in chosen:
        count = run_suite(suite, opts)
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
        total.failures += [f"{suite}: {failure}" for failure in count.failures]
    if opts.preset == "debug":
        coverage(opts.build)
    for failure in total.failures:  # again, for who reads only the end
        print(f"FAILED: {failure}")
    print(total, flush=True)
    return 1 if total.failed or not total.total else 0


if __name__ == "__main__":
    sys.exit(main())
