# SPDX-License-Identifier: Apache-2.0
"""The test runner counts rightly: what passes, fails, crashes, is skipped, or silently isn't there."""

import types

import pytest
import suites

CMOCKA = """\
[==========] Running 3 test(s).
[ RUN      ] test_a
[       OK ] test_a
[ RUN      ] test_b
[  FAILED  ] test_b
[ RUN      ] test_c
no IPv6 here
[  SKIPPED ] test_c
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] test_b
"""


@pytest.fixture
def opts(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "LOGS", tmp_path)
    monkeypatch.setattr(suites, "REPO", tmp_path)
    known = {"timeout": 60, "env": {}, "k": None, "scale": 1, "all": False, "long": False}
    return types.SimpleNamespace(log=tmp_path / "log", **known)


def test_cmocka_counts_each_test():
    count = suites.Count()
    suites.count_cmocka(count, "base/test_x", CMOCKA, True)
    assert str(count) == "1 passed, 1 failed, 1 skipped"
    assert count.failures == ["base/test_x:test_b"]
    assert count.reasons == ["base/test_x:test_c: no IPv6 here"]
    count = suites.Count()
    suites.count_cmocka(count, "x", CMOCKA.replace("no IPv6 here\n", ""), True)
    assert count.reasons == ["x:test_c: (it prints no reason)"]


def test_cmocka_crash_is_a_failure():
    count = suites.Count()
    suites.count_cmocka(count, "base/test_x", "[       OK ] test_a\nSegmentation fault\n", True)
    assert (count.passed, count.failed) == (1, 1)


def test_a_program_that_is_no_cmocka_counts_once():
    count = suites.Count()
    suites.count_cmocka(count, "fuzz/json", "37 inputs\n", False)
    assert str(count) == "1 passed, 0 failed"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0\n", "1 passed, 1 failed"),
        ("import pytest\ndef test_a(): pytest.skip('no such thing here')\n", "0 passed, 0 failed, 1 skipped"),
        (
            "import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0\ndef test_a(f): pass\n",
            "0 passed, 1 failed",
        ),
        ("import nothing_of_that_name\n", "0 passed, 1 failed"),
    ],
)
def test_pytest_counts(opts, tmp_path, body, expected):
    ini = tmp_path / suites.INTEGRATION / "pytest.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(body)
    count = suites.run_pytest("house", ["test_it.py"], opts)
    assert str(count) == expected
    if count.skipped:
        assert "no such thing here" in count.reasons[0]


def test_chaos_says_each_row_at_once(opts, tmp_path, capfd):
    text = "import os\ndef test_it(): os.write(int(os.environ['FANFARE_ROWS_FD']), b'a row\\n')\n"
    ini = tmp_path / suites.INTEGRATION / "pytest.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(text)
    opts.all = True
    assert suites.run_pytest("chaos", ["test_it.py"], opts).passed == 1
    assert capfd.readouterr().out.splitlines()[-1] == "a row"


@pytest.mark.parametrize("suite", suites.SHORT)
def test_a_short_selection_runs_unless_told(opts, tmp_path, monkeypatch, suite):
    monkeypatch.setattr(suites, "HOSTED", None)
    ini = tmp_path / suites.INTEGRATION / "pytest.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[pytest]\nmarkers = short\n")
    body = "import pytest\n@pytest.mark.short\ndef test_a(): pass\ndef test_b(): pass\n"
    (tmp_path / "test_it.py").write_text(body)
    assert suites.run_pytest(suite, ["test_it.py"], opts).total == 1
    opts.all = True
    assert suites.run_pytest(suite, ["test_it.py"], opts).total == 2
    opts.all, opts.k = False, "test"
    assert suites.run_pytest(suite, ["test_it.py"], opts).total == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 5 passed, 0 failed", "5 passed, 0 failed"),
        ("echo FAILED 1.2: no; echo 5 passed, 1 failed; exit 1", "5 passed, 1 failed"),
        ("echo 5 passed, 0 failed; exit 3", "5 passed, 1 failed"),
        ("echo SKIPPED cases: no Python 2; echo 0 passed, 0 failed", "0 passed, 0 failed, 1 skipped"),
        ("exit 0", "0 passed, 0 failed"),
        ("exec sleep 30", "0 passed, 1 failed"),
    ],
)
def test_script_counts(opts, tmp_path, body, expected):
    script = tmp_path / "run.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    opts.timeout = 2 if "sleep" in body else 60
    assert str(suites.run_script("autobahn", ["run.sh"], opts)) == expected


def test_fewer_than_the_minimum_fails(opts, tmp_path, monkeypatch, capsys):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "minimum.txt").write_text("# so many\nhouse 3 # at least\n")
    monkeypatch.setitem(suites.SUITES, "house", ("pytest", ["nothing/*.py"], 10))
    assert suites.run_suite("house", opts).failed == 1
    assert "the committed minimum is 3" in capsys.readouterr().out
    opts.k = "some"
    assert suites.run_suite("house", opts).failed == 0


def test_benches_run_in_ci_or_when_they_are_named(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert "bench" not in suites.chosen_by_default("debug")
    monkeypatch.setenv("CI", "true")
    assert suites.chosen_by_default("debug") == [s for s in suites.SUITES if s != "k8s"]
    assert not {"bench", "k8s"} & set(suites.chosen_by_default("asan"))
    assert suites.chosen_by_default("tsan") == ["unit", "integration"]
