# SPDX-License-Identifier: Apache-2.0
"""The chaos suite's mutants: every patch still applies and names a row that exists; what counts as caught."""

import pathlib
import re
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "chaos"))

import mutants  # noqa: E402

ALL = sorted(mutants.PATCHES.glob("*.patch"))
PATCH = """\
What: it counts wrong
Row: tests/chaos/test_x.py::test_y
Expect: duplicate
--- a/part/count.c
+++ b/part/count.c
@@ -1,3 +1,3 @@
 int count(int n)
 {
-    return n;
+    return n + 1;
 }
"""


def test_there_are_enough_of_them():
    assert len(ALL) >= 9
    assert {mutants.load(p).expect for p in ALL} >= {"missing", "duplicate", "disorder", "false recovered"}


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_it_applies_to_the_tree(path, tmp_path):
    mutant = mutants.load(path)
    for file, _, _ in mutant.hunks:
        copy = tmp_path / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((REPO / file).read_bytes())
    mutants.apply(mutant, tmp_path)
    assert mutant.changed <= 4, "one small defect"
    file, _, name = mutant.row.partition("::")
    function = re.escape(name.partition("[")[0])
    assert re.search(rf"^def {function}\(", (REPO / file).read_text(), re.M), mutant.row


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "m.patch").write_text(PATCH)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "count.c").write_text("/* moved */\n\nint count(int n)\n{\n    return n;\n}\n")
    return tmp_path


def test_it_is_applied_and_taken_back(tree):
    file = tree / "part" / "count.c"
    before = file.read_text()
    with mutants.applied(mutants.load(tree / "m.patch"), tree):
        assert file.read_text() == before.replace("return n;", "return n + 1;")
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no part/count.c"),
        ("int count(int n)\n{\n    return 2;\n}\n", "0 times"),
        ("int count(int n)\n{\n    return n;\n}\n" * 2, "2 times"),
    ],
)
def test_one_that_no_longer_applies_says_so(tree, text, said):
    file = tree / "part" / "count.c"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(mutants.PatchError, match=said):
        mutants.apply(mutants.load(tree / "m.patch"), tree)


@pytest.mark.parametrize("bad", [PATCH.replace("Row:", "Rows:"), PATCH.replace("duplicate", "a crash")])
def test_a_header_must_be_whole(tree, bad):
    (tree / "m.patch").write_text(bad)
    with pytest.raises(mutants.PatchError, match="begins with"):
        mutants.load(tree / "m.patch")


@pytest.mark.parametrize(
    ("row", "caught", "said"),
    [
        ({"missing": 0, "duplicate": 3, "failed_in": ["call"]}, True, "seen duplicate 3"),
        ({"missing": 5, "duplicate": 0, "failed_in": ["call"]}, False, "seen missing 5"),
        ({"missing": 5, "false_recovered": 5, "failed_in": ["call"]}, False, "seen false recovered 5"),
        ({"missing": 0, "duplicate": 0}, False, "seen nothing"),
        ({"why": "not within 30 s", "failed_in": ["call"]}, False, "no verdict: not within 30 s"),
        ({"missing": 0, "duplicate": 3, "why": "x", "failed_in": ["call", "teardown"]}, False, "accident: x"),
        (None, False, "the row didn't run"),
    ],
)
def test_only_the_oracles_expected_verdict_counts(tree, monkeypatch, row, caught, said):
    monkeypatch.setattr(mutants, "TREE", tree)
    monkeypatch.setattr(mutants, "LOGS", tree / "log")
    monkeypatch.setattr(mutants, "build", lambda log: True)
    monkeypatch.setattr(mutants, "run_row", lambda *a: row)
    found, line = mutants.try_one(mutants.load(tree / "m.patch"))
    assert found == caught and line.endswith(said)


def test_what_does_not_build_is_missed(tree, monkeypatch):
    monkeypatch.setattr(mutants, "TREE", tree)
    monkeypatch.setattr(mutants, "LOGS", tree / "log")
    monkeypatch.setattr(mutants, "build", lambda log: False)
    found, line = mutants.try_one(mutants.load(tree / "m.patch"))
    assert not found and line.endswith("seen it doesn't build")
