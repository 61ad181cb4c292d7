#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the measured table of docs/guarantees.md: a line for each fault of matrix.py, with what the last
`./dev test chaos --all` found (build/log/chaos.json). Standard library only.

    python3 tests/chaos/table.py            print it
    python3 tests/chaos/table.py --write    put it between the markers in docs/guarantees.md
"""

import argparse
import json
import pathlib
import re
import sys

from matrix import MATRIX

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGE = REPO / "docs" / "guarantees.md"
RESULT = REPO / "build" / "log" / "chaos.json"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
HEAD = "| what dies or lies | what a client sees | longest pause |\n| --- | --- | --- |\n"


def line_of(fault, sees, rows):
    pauses = [r["pause_s"] for r in rows if r.get("pause_s") is not None]
    pause = f"{max(pauses):.1f} s" if pauses else "-"
    return f"| {fault} | {sees} | {pause} |\n"


def table(rows):
    """The text, and what is wrong: [str]."""
    found = {r["test"]: r for r in rows}
    text, wrong = HEAD, []
    for fault, sees, tests in MATRIX:
        of_it = [found[t] for t in tests if t in found]
        wrong += [f"{fault}: {t} was not run" for t in tests if t not in found]
        wrong += [f"{fault}: {r['test']} is {r['result']}" for r in of_it if r["result"] != "ok"]
        text += line_of(fault, sees, of_it)
    named = {t for _, _, tests in MATRIX for t in tests}
    for r in rows:
        if r["test"] not in named and "records" in r and r["result"] == "ok":
            text += line_of(r["fault"], "told" if r["told"] else "a pause", [r])
    return text, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/guarantees.md")
    args = parser.parse_args()
    text, wrong = table(json.loads(RESULT.read_text())["rows"])
    print("".join(f"table: {w}\n" for w in wrong), end="", file=sys.stderr)
    if not args.write:
        print(text, end="")
        return 0
    if wrong:
        return 1  # a table with holes isn't a measurement
    page = PAGE.read_text()
    made, n = re.subn(f"(?s)(?<={BEGIN}\n).*?(?={END})", lambda _: text, page)
    if n != 1:
        print(f"table: {PAGE} must have one line {BEGIN} and one {END}", file=sys.stderr)
        return 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
