# SPDX-License-Identifier: Apache-2.0
"""The plots of docs/performance.md, as SVG that is the same for the same figures."""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fanfare", "font.size": 9})

from matplotlib import pyplot  # noqa: E402 (the backend is chosen above)

OURS, OTHER, REACH = "#1f6feb", "#8c959f", "#cf222e"


def save(figure, path):
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def overview(told, path):
    """Every figure that has a reach, as a share of it: left of the line is met."""
    found = [f for f in told["figures"] if f["reach"]]
    figure, axes = pyplot.subplots(figsize=(8, 0.26 * len(found) + 0.8))
    for i, f in enumerate(found):

        def share(x, f=f):
            return f["reach"] / x if f["at_least"] else x / f["reach"]

        ends = sorted(share(x) for x in f["interval"] if x)
        at = share(f["value"]) if f["value"] else 0
        axes.plot(ends, [i] * len(ends), color=OTHER, linewidth=2)
        axes.plot(at, i, "o", color=OURS if f["met"] else REACH)
    axes.axvline(1, color=REACH, linewidth=1)
    axes.set_xlim(0, 2)
    axes.set_yticks(range(len(found)), [f"{f['bench']}: {f['name']}" for f in found])
    axes.invert_yaxis()
    axes.set_xlabel("share of what is allowed, with its 95 % interval")
    save(figure, path)


def bars(series, axes):
    """One bar a name; one that is made of parts ({part: value}) is stacked."""
    data = {n: v if isinstance(v, dict) else {"": v} for n, v in series["data"].items()}
    names, parts = list(data), list(next(iter(data.values())))
    totals = dict.fromkeys(names, 0.0)
    for i, part in enumerate(parts):
        values = [data[n][part] for n in names]
        colours = [OURS if n.lower().startswith("fanfare") else OTHER for n in names]
        shade = 1 - 0.3 * i
        axes.barh(names, values, left=list(totals.values()), color=colours, alpha=shade, label=part)
        totals = {n: totals[n] + v for n, v in zip(names, values, strict=True)}
    for i, value in enumerate(totals.values()):
        axes.text(value, i, f" {value:.3g}", va="center")
    axes.invert_yaxis()
    axes.set_xlabel(series["y"] + (": " + ", ".join(parts) if len(parts) > 1 else ""))


def lines(series, axes):
    for name, points in series["data"].items():
        axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=name)
    if series["log_x"]:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(series["x"])
    axes.set_ylabel(series["y"])
    axes.legend()


def draw(told, directory):
    directory.mkdir(exist_ok=True)
    overview(told, directory / "overview.svg")
    for series in told["series"]:
        is_lines = bool(series["x"])
        figure, axes = pyplot.subplots(figsize=(7, 3 if is_lines else 0.4 * len(series["data"]) + 0.8))
        (lines if is_lines else bars)(series, axes)
        axes.set_title(series["title"])
        save(figure, directory / f"{series['bench']}-{series['key']}.svg")
