# SPDX-License-Identifier: Apache-2.0
"""The fault matrix and its table: every row that is named exists, and the table says what was measured."""

import pathlib
import re
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
CHAOS = REPO / "tests" / "chaos"
sys.path.insert(0, str(CHAOS))

import reporting  # noqa: E402
import table  # noqa: E402
from matrix import MATRIX  # noqa: E402


def test_every_row_named_exists():
    text = "".join(p.read_text() for p in CHAOS.glob("test_*.py"))
    made = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.M))
    for fault, _, tests in MATRIX:
        assert tests, f"{fault}: no row shows it"
        for test in tests:
            assert test.partition("[")[0] in made, f"{fault}: there is no {test}"


def test_no_fault_is_named_twice():
    faults = [fault for fault, _, _ in MATRIX]
    assert len(faults) == len(set(faults)) >= 60


def row(test, **more):
    made = {"test": test, "fault": f"F {test}", "result": "ok", "records": 1, "told": 0, "pause_s": 0.25}
    return made | more


def all_rows():
    return [row(t) for _, _, tests in MATRIX for t in tests]


def test_a_line_for_each_fault():
    text, wrong = table.table([*all_rows(), row("test_more", told=3, pause_s=None)])
    assert not wrong
    assert text.count("\n") == 2 + len(MATRIX) + 1
    assert "| worker: SIGKILL | a pause | 0.2 s |\n" in text
    assert text.endswith("| F test_more | told | - |\n")


def test_the_longest_of_several_rows():
    rows = all_rows()
    next(r for r in rows if r["test"] == "test_clock_of_an_edge")["pause_s"] = 1.5
    assert "| clock jumps by an hour either way | nothing | 1.5 s |\n" in table.table(rows)[0]


def test_a_hole_is_said():
    rows = all_rows()
    gone = rows.pop(0)
    rows[0]["result"] = "FAILED"
    _, wrong = table.table(rows)
    assert len(wrong) == 2 and gone["test"] in wrong[0] and "FAILED" in wrong[1]


def test_a_suites_rows_begin_with_what_they_are(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(reporting, "say", said.append)
    reporting.Rows(tmp_path).pytest_sessionstart()
    assert said == [reporting.HEAD]
