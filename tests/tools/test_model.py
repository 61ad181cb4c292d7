# SPDX-License-Identifier: Apache-2.0
"""The models' runner believes only what the verifier has shown: each way to be fooled is tried once."""

import subprocess
import sys

import pytest

from harness.util import REPO, scaled

# Counts to N; there the check `far` fails if BROKEN. With UNSEEN line 18 is a place that no run comes to.
MODEL = """\
#ifndef N
#define N 5
#endif
#define CHECK(what, ok) assert((ok) || what)
#define KEY(switch) skip
hidden byte far;
int n = 0;
#ifdef BROKEN
#define GOOD n < N
#else
#define GOOD n <= N
#endif
active proctype Count()
{
    do
    :: atomic { n < N -> KEY(); n++ }
#ifdef UNSEEN
    :: atomic { n > N -> KEY(); n = 0 }
#endif
#ifdef IDLE
    :: n < N -> n = 0
#endif
    :: atomic { n == N -> KEY(WHOLE); CHECK(far, GOOD); break }
    od
}
#ifdef LIVE
ltl live { <> (n == N) }
#endif
"""


def run(folder, rows, *words):
    (folder / "count.pml").write_text(MODEL)
    (folder / "runs.txt").write_text(rows)
    argv = [sys.executable, str(REPO / "tests/model/run.py"), "--folder", str(folder), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=scaled(60))
    return done.returncode, done.stdout + done.stderr


def test_good_and_broken_runs_pass(tmp_path):
    rows = "ok 20 count WHOLE\nfar 20 count BROKEN # as it must\nok 20 count LIVE\ncycle 20 count LIVE IDLE\n"
    code, said = run(tmp_path, rows, "count")
    assert code == 0 and said.endswith("4 passed, 0 failed\n"), said


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("ok 20 count BROKEN", "expected ok, seen far"),
        ("far 20 count", "expected far, seen ok"),
        ("near 20 count BROKEN", "expected near, seen far"),
        ("ok 3 count", "at most 3"),
        ("ok 20 count UNSEEN", "never reached: count.pml:18"),
        ("ok 20 count N=300000", "seen an early end"),
        ("ok 20 count BORKEN", "knows no switch BORKEN"),
        ("ok 20 count N=)", "spin failed"),
    ],
)
def test_a_run_that_shows_something_else_fails(tmp_path, row, why):
    code, said = run(tmp_path, row + "\n", "count")
    assert code == 1 and why in said and said.endswith("0 passed, 1 failed\n"), said


def test_a_key_that_no_run_looks_at_fails(tmp_path):
    code, said = run(tmp_path, "ok 20 count\n")
    assert code == 1 and "FAILED count.pml:18: no run looks at this key" in said, said
