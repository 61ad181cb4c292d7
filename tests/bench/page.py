#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/performance.md and its plots of docs/performance/figures.json (./dev bench all --json …).

    page.py [--check]     --check: fails if the page is not what the JSON says (lint; no plots)

`./dev bench page` calls it with the benches' own Python, which has matplotlib.

Each section's text is its bench's docstring, so that what is said of a measurement stands beside it.
"""

import argparse
import ast
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"
PAGE, PLOTS = DOCS / "performance.md", DOCS / "performance"
SOURCE = PLOTS / "figures.json"


# What a reader wants to know first: bench, key of the figure, and what is said of it.
IN_SHORT = (
    ("fanout", "rate", "**{:,g}** deliveries for a second of an edge's CPU: 512 B, 10,000 clients, flat out"),
    ("delivery", "records-1", "**{:,g} ×** the CPU of a bare `epoll` + `send()` loop for a delivery"),
    ("latency", "1000x10-p50", "**{:,g} ms** later at a client than at a bare Kafka consumer (median)"),
    ("worker", "rate", "**{:,g},000** records for a second of a worker's CPU, from Kafka into Redis"),
    ("memory", "plain", "**{:,g} KiB** of an edge's memory for an idle connection"),
)


def in_short(figures):
    seen = {(f["bench"], f["key"]): float(f"{f['value']:.3g}") for f in figures}
    return [f"- {text.format(seen[bench, key])}" for bench, key, text in IN_SHORT if (bench, key) in seen]


def reaches(figures):
    asked = [f for f in figures if f["reach"] is not None]
    missed = [f"`{f['bench']}`: {f['name']}" for f in asked if not f["met"]]
    text = f"Of {len(asked)} reaches, {len(asked) - len(missed)} are met on the machine below."
    if missed:
        text += f" Not met ([why](decisions/0036-two-machines.md)): {'; '.join(missed)}."
    return text


def reach_of(figure):
    if figure["reach"] is None:
        return ""
    return f"{'≥' if figure['at_least'] else '≤'} {figure['reach']:.4g} {figure['unit']}"


def row(figure):
    low, high = figure["interval"]
    verdict = "" if figure["reach"] is None else "met" if figure["met"] else "**not met**"
    seen = f"{figure['value']:.4g} {figure['unit']}"
    spread = f"{low:.4g} … {high:.4g} ({len(figure['values'])})"
    return f"| {figure['name']} | {seen} | {spread} | {reach_of(figure)} | {verdict} |"


def text_of(bench):
    """(the docstring's first sentence, the rest)"""
    doc = ast.get_docstring(ast.parse((HERE / f"{bench}.py").read_text()))
    first, _, rest = doc.partition("\n\n")
    return first.partition(": ")[2].replace("\n", " ") or first, rest


def section(bench, told):
    title, rest = text_of(bench)
    run = told["runs"][bench]
    quick = ", --quick" if run["quick"] else ""
    costs = run.get("kernel's costs", "?")
    kernel = "" if costs == "?" else f"; the kernel's costs: {costs}"
    out = [f"## {bench}: {title.rstrip('.')}", "", rest, "", f"    ./dev bench {bench}", ""]
    out += [f"Seen at {run['revision']} ({run['build']}; load before {run['load']}{quick}{kernel}):", ""]
    out += ["| figure | seen | 95 % interval (runs) | reach | |", "| --- | --- | --- | --- | --- |"]
    figures = [f for f in told["figures"] if f["bench"] == bench]
    out += [row(f) for f in figures] + [""]
    notes = [f"- {f['name']}: {f['note']}" for f in figures if f["note"]]
    out += notes + [""] if notes else []
    for series in told["series"]:
        if series["bench"] == bench:
            out += [f"![{series['title']}](performance/{bench}-{series['key']}.svg)", ""]
    return out


def page(told):
    head = (HERE / "performance.head.md").read_text().rstrip()
    head = head.replace("<!-- in short -->", "\n".join(in_short(told["figures"])))
    out = [head.replace("<!-- reaches -->", reaches(told["figures"])), ""]
    out += ["Seen on:", ""]
    out += [f"- {key}: {value}" for key, value in told["environment"].items()] + [""]
    out += ["![Each figure beside its reach](performance/overview.svg)", ""]
    for bench in dict.fromkeys(f["bench"] for f in told["figures"]):
        out += section(bench, told)
    return "\n".join(out).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(prog="page.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    told = json.loads(SOURCE.read_text())
    text = page(told)
    if args.check:
        if PAGE.read_text() != text:
            sys.exit("docs/performance.md isn't what figures and benches' texts say: ./dev bench page")
        return
    PAGE.write_text(text)
    import plots  # noqa: PLC0415 (matplotlib: lint's check does without)

    plots.draw(told, PLOTS)


if __name__ == "__main__":
    main()
