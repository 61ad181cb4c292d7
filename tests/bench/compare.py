# SPDX-License-Identifier: Apache-2.0
"""Figures of this run beside those of another: what `--compare` prints and judges.

Judged are figures that don't depend on the machine's speed (ratios and instruction counts): one that is
more than WORSE times the old one fails. Absolute times are shown only.
"""

import json
import pathlib

WORSE = 1.25


def load(path):
    told = json.loads(pathlib.Path(path).read_text())
    return {(f["bench"], f["key"]): f for f in told["figures"]}


def change(old, figure):
    """How many times as bad as before; under 1 is better."""
    if old["value"] == figure.value:
        return 1.0
    if not old["value"] or not figure.value:
        return float("inf")
    ratio = figure.value / old["value"]
    return 1 / ratio if figure.at_least else ratio


def compare(old_path, figures):
    """Prints a line for each figure that both have; returns those that got worse."""
    old, worse = load(old_path), []
    for figure in figures:
        before = old.get((figure.bench, figure.key))
        if not before:
            print(f"{figure.bench:<9} {figure.name:<52} new")
            continue
        times = change(before, figure)
        verdict = ""
        if figure.is_relative and times > WORSE:
            verdict = f"WORSE than {WORSE} times the old one"
            worse.append(figure)
        print(
            f"{figure.bench:<9} {figure.name:<52} {before['value']:>9.4g} → {figure.value:<9.4g}"
            f" {figure.unit:<6} {times:5.2f} times {verdict}"
        )
    return worse
