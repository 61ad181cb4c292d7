# SPDX-License-Identifier: Apache-2.0
"""Histograms of several runs, pooled: what all of them saw together has quantiles, theirs can't be averaged.

As loadgen/hist.c writes them: pairs of a bucket's highest value in ns and its count.
"""

import collections
import math


class Histogram:
    def __init__(self, buckets=()):
        self._counts = collections.Counter()
        for value, count in buckets:
            self._counts[value] += count

    @classmethod
    def pooled(cls, histograms):
        whole = cls()
        for h in histograms:
            whole._counts.update(h._counts)
        return whole

    @property
    def count(self):
        return self._counts.total()

    def ms(self, percent):
        """What so many % of all values don't exceed."""
        rank = max(1, math.ceil(percent / 100 * self.count - 1e-9))
        for value in sorted(self._counts):
            rank -= self._counts[value]
            if rank <= 0:
                return value / 1e6
        raise ValueError("an empty histogram has no quantiles")
