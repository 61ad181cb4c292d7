# SPDX-License-Identifier: Apache-2.0
"""Figures of this run beside those of another: what `--compare` prints and judges.

Judged are figures that don't depend on the machine's speed (ratios and instruction counts): one fails if
all of its 95 % interval is more than WORSE times the old median, and beyond the old interval. Of a run with
few pairs the interval is the whole spread. Where ratios of single pairs differ by more than WORSE all the
time (two p99 of short runs), all of a few are beyond it now and then by chance; the old interval says how
well the old median is known. Absolute times are shown only.
"""

import json
import pathlib

from figure import median_interval

WORSE = 1.25


def load(path):
    told = json.loads(pathlib.Path(path).read_text())
    return {(f["bench"], f["key"]): f for f in told["figures"]}


def change(before, value, at_least):
    """How many times as bad as before; under 1 is better."""
    if before == value:
        return 1.0
    if not before or not value:
        return float("inf")
    return before / value if at_least else value / before


def is_worse(before, figure):
    """before: the old figure as JSON."""
    low, high = median_interval(figure.values)
    best = high if figure.at_least else low
    worst = before["interval"][0 if figure.at_least else 1]
    times = change(before["value"], best, figure.at_least)
    return figure.is_relative and times > WORSE and change(worst, best, figure.at_least) > 1


def compare(old_path, figures):
    """Prints a line for each figure that both have; returns those that got worse."""
    old, worse = load(old_path), []
    for figure in figures:
        before = old.get((figure.bench, figure.key))
        if not before:
            print(f"{figure.bench:<9} {figure.name:<52} new")
            continue
        verdict = ""
        if is_worse(before, figure):
            verdict = f"WORSE than {WORSE} times the old one"
            worse.append(figure)
        before = before["value"]
        print(
            f"{figure.bench:<9} {figure.name:<52} {before:>9.4g} → {figure.value:<9.4g}"
            f" {figure.unit:<6} {change(before, figure.value, figure.at_least):5.2f} times {verdict}"
        )
    return worse
