# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own arithmetic: the interval of a median, what counts as met and as worse, the page."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))

# ruff: noqa: E402 (these need the path above)
import compare
import page
from figure import Figure, median_interval


def figure(values, unit="×", **more):
    return Figure("delivery", "records-1", "edge / bare", values, unit, **more)


def test_interval_of_a_median_holds_95_percent():
    assert median_interval(range(1, 16)) == (4, 12)
    assert median_interval(range(1, 10)) == (2, 8)


def test_few_values_have_their_whole_spread():
    assert median_interval([3, 1, 2]) == (1, 3)
    assert median_interval([7]) == (7, 7)


def test_median_decides_whether_reach_is_met():
    assert figure([1.0, 1.1, 9.0], reach=1.2).met
    assert not figure([1.3, 1.3, 0.1], reach=1.2).met
    assert figure([900], unit="k/s", reach=800, at_least=True).met
    assert not figure([700], unit="k/s", reach=800, at_least=True).met
    assert figure([5]).met  # nothing to reach


def old_file(tmp_path, *figures):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"figures": [f.as_json() for f in figures]}))
    return path


def test_ratio_a_quarter_worse_fails(tmp_path, capsys):
    old = old_file(tmp_path, figure([1.0]))
    assert compare.compare(old, [figure([1.24])]) == []
    assert [f.key for f in compare.compare(old, [figure([1.26])])] == ["records-1"]
    assert "WORSE" in capsys.readouterr().out


def test_rate_a_quarter_lower_fails(tmp_path):
    old = old_file(tmp_path, figure([1000], at_least=True))
    assert compare.compare(old, [figure([810], at_least=True)]) == []
    assert compare.compare(old, [figure([790], at_least=True)])


def test_absolute_time_is_shown_but_never_fails(tmp_path, capsys):
    old = old_file(tmp_path, figure([1.0], unit="ms"))
    assert compare.compare(old, [figure([9.0], unit="ms")]) == []
    assert "9.00 times" in capsys.readouterr().out


def test_page_says_each_figure_its_reach_and_verdict():
    told = {
        "environment": {"cores": 2},
        "figures": [figure([1.25, 1.3, 1.35], reach=1.2, note="µs").as_json()],
        "series": [{"bench": "delivery", "key": "peers", "title": "Peers"}],
    }
    text = page.page(told)
    assert "| edge / bare | 1.3 × | 1.25 … 1.35 (3) | ≤ 1.2 × | **not met** |" in text
    assert "- edge / bare: µs" in text
    assert "![Peers](performance/delivery-peers.svg)" in text
    assert "./dev bench delivery" in text
