# SPDX-License-Identifier: Apache-2.0
"""What a benchmark finds: figures, each beside its reach, and the series of a plot.

A figure's value is the median of its values, one for each run or interleaved pair of runs. Its interval
is the distribution-free 95 % one of a median, between order statistics: single runs here differ by 20 to
40 %, so a mean and its standard error would be the outliers' story. With fewer than six values there is
no such interval; it is then the whole spread.
"""

import dataclasses
import math
import statistics


def median_interval(values):
    """(low, high) that hold the median with at least 95 %."""
    v, n = sorted(values), len(values)
    below = 0.0  # the chance that at most `rank` of n values lie below the median
    for rank in range(n // 2):
        below += math.comb(n, rank) / 2**n
        if below > 0.025:
            return v[max(rank - 1, 0)], v[n - max(rank, 1)]
    return v[0], v[-1]


@dataclasses.dataclass
class Figure:
    """One measured figure beside its reach.

    key     within its bench, stable: what a comparison and the page go by (letters, digits, -)
    unit    "×" for a ratio against a reference in the same run, "instr" for a count of instructions: these
            two are the machine's no matter how fast it is, so they are what a comparison judges
    reach   None: reported only
    """

    bench: str
    key: str
    name: str
    values: list
    unit: str
    reach: float | None = None
    at_least: bool = False  # the reach is a minimum
    note: str = ""

    @property
    def value(self):
        return statistics.median(self.values)

    @property
    def met(self):
        if self.reach is None:
            return True
        return self.value >= self.reach if self.at_least else self.value <= self.reach

    @property
    def is_relative(self):
        return self.unit in ("×", "instr")

    def line(self):
        low, high = median_interval(self.values)
        bound = "" if self.reach is None else f"{'≥' if self.at_least else '≤'} {self.reach:.4g}"
        verdict = "" if self.reach is None else "met" if self.met else "NOT MET"
        text = (
            f"{self.bench:<9} {self.name:<52} {self.value:>9.4g} {self.unit:<6} {bound:<9} {verdict:<8}"
            f" {low:.4g} … {high:.4g} ({len(self.values)})"
        )
        return f"{text}  {self.note}" if self.note else text

    def as_json(self):
        low, high = median_interval(self.values)
        own = dataclasses.asdict(self)
        return own | {"value": self.value, "interval": [low, high], "met": self.met}


@dataclasses.dataclass
class Series:
    """A plot for the page: bars (one value a name) or lines (name → [(x, y), …])."""

    bench: str
    key: str
    title: str
    y: str  # what is measured, with its unit
    data: dict
    x: str = ""  # lines only
    log_x: bool = False

    def as_json(self):
        return dataclasses.asdict(self)
