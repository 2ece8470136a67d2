"""``Seen``: the blocks of both sides, as pictures need them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.exact.report import student_95
from lobproof.fidelity.gates.report import Against
from lobproof.fidelity.gates.sides import grouped, groups_of
from lobproof.fidelity.gates.windows import beside
from lobproof.fidelity.inference.equivalence import jackknife_error, whole_and_parts
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import BY_NAME, Metric
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS, Distribution
from lobproof.fidelity.metrics.grid import Grid, Steps
from lobproof.fidelity.metrics.returns import histogram
from lobproof.fidelity.metrics.series import Sums
from lobproof.pages.axes import TimeGrid
from lobproof.schema import Int64

COLUMNS = 96
"""At most so many columns of time show how the two drift apart."""
_BY_NAME = {one.metric.name: one for one in DISTRIBUTIONS}

_Made = tuple[tuple[Int64, Int64], Float64]


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """The values of one metric, ours and the golden sample's.

    ``counts``: by longer blocks, as the gate took them (groups, bins); where it has fewer than two,
    by the blocks that are stored, and ``is_judged`` is false. ``drift``: how far the means differ
    in each column of time, in standard deviations of the golden sample; NaN where one has no value,
    and none of different times.
    """

    metric: Metric
    counts: tuple[Int64, Int64]
    drift: Float64
    is_judged: bool

    @property
    def totals(self) -> tuple[Int64, Int64]:
        """Counts of all blocks (bins,)."""
        return self.counts[0].sum(axis=0), self.counts[1].sum(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A statistic of one side.

    ``value``: of all blocks (n,). ``parts``: without each longer block (groups, n), for a
    jackknife.
    """

    value: Float64
    parts: Float64

    @property
    def reach(self) -> Float64:
        """From the value to its 95 % bounds; NaN with fewer than two blocks."""
        return reach(self.parts)


def reach(parts: Float64) -> Float64:
    """From a value to its 95 % bounds, as gate C has them, of what it is without each block."""
    if len(parts) < 2:
        return np.full(parts.shape[1:], math.nan)
    return student_95(len(parts) - 1) * jackknife_error(parts)


class Seen:
    """Blocks of the same times that are whole on both sides, or of different times.

    ``is_paired``: whether the times are the same.
    """

    def __init__(self, one: Against) -> None:
        if one.blocks is None:
            raise ValueError("the report has kept no blocks: prove(..., keep_blocks=True)")
        ours, golden = one.blocks
        self.is_paired = one.same is not None
        self.both = beside(ours, golden, is_paired=self.is_paired)
        self.block_ns = golden.scale.block_ns
        self._steps: dict[tuple[int, float], Steps] = {}
        self._sums: dict[tuple[int, Sums], Float64] = {}

    def __len__(self) -> int:
        return min(len(side) for side in self.both)

    @cached_property
    def grids(self) -> tuple[Grid, Grid]:
        """The series of both sides."""
        return Grid(self.both[0]), Grid(self.both[1])

    @cached_property
    def time(self) -> TimeGrid:
        """Columns of time over what the golden sample spans, whole numbers of blocks."""
        start = self.both[1].start
        first, last = int(start[0]), int(start[-1])
        blocks = (last - first) // self.block_ns + 1
        return TimeGrid.of_width(first, last, -(-blocks // (COLUMNS - 1)) * self.block_ns)

    def steps(self, side: int, seconds: float) -> Steps:
        """Steps of the grid of ours (0) or of the golden sample (1)."""
        key = side, seconds
        if key not in self._steps:
            self._steps[key] = self.grids[side].steps(seconds)
        return self._steps[key]

    def sums(self, side: int, made: Sums) -> Float64:
        """Sums of a side's blocks (blocks, ...); those that several statistics share made once."""
        key = side, made
        if key not in self._sums:
            self._sums[key] = made(self.grids[side])
        return self._sums[key]

    def histograms(self, name: str, block_ns: int) -> Histograms:
        """The values of a metric, of the blocks or of their series, in blocks of that length."""
        many = [self._groups(side, block_ns)[1] for side in (0, 1)]
        is_judged = min(many) > 1
        length = block_ns if is_judged else self.block_ns
        if name in BY_NAME:
            return Histograms(BY_NAME[name], *self._of_blocks(BY_NAME[name], length), is_judged)
        one = _BY_NAME[name]
        return Histograms(one.metric, *self._of_series(one, length), is_judged)

    def curve(
        self, side: int, block_ns: int, sums: Float64, value: Callable[[Float64], Float64]
    ) -> Curve:
        """What sums of a side's blocks (blocks, ...) say, by blocks of that length."""
        groups, many = self._groups(side, block_ns)
        with np.errstate(all="ignore"):
            if many < 2:
                found = np.asarray(value(sums.sum(axis=0)), np.float64)
                return Curve(found, np.zeros((0, *found.shape)))
            found = np.asarray(value(whole_and_parts(grouped(sums, groups, many))), np.float64)
        return Curve(found[0], found[1:])

    @staticmethod
    def scale(name: str) -> float:
        """What a whole number of a metric of the blocks is in its unit."""
        return BY_NAME[name].scale

    def moments(self, side: int, *names: str) -> Float64:
        """Number, sum and sum of squares of metrics in each block (blocks, metrics, 3)."""
        found = [self.both[side].moments(BY_NAME[name].number) for name in names]
        return np.stack([np.stack(one, axis=-1) for one in found], axis=1).astype(np.float64)

    def _groups(self, side: int, block_ns: int) -> tuple[Int64, int]:
        times = max(block_ns // self.block_ns, 1)
        groups = groups_of(self.both[side].start, self.block_ns, times)
        return groups, int(groups.max(initial=-1)) + 1

    def _columns(self, side: int) -> Int64:
        return self.time.column(self.both[side].start)

    def _of_blocks(self, metric: Metric, block_ns: int) -> _Made:
        counts, means, sd = [], [], math.nan
        for side, blocks in enumerate(self.both):
            counted = blocks.grouped_counts(metric.number, *self._groups(side, block_ns))
            counts.append(counted[:, : metric.bins])
            if self.is_paired:
                n, total, squares = (
                    one.astype(np.float64) for one in blocks.moments(metric.number)
                )
                means.append(self._means(self._columns(side), n, total))
                sd = _sd(float(n.sum()), float(total.sum()), float(squares.sum()))
        return (counts[0], counts[1]), _drift(means, sd)

    def _of_series(self, one: Distribution, block_ns: int) -> _Made:
        counts, means, sd = [], [], math.nan
        for side in (0, 1):
            steps = self.steps(side, one.seconds)
            values = one.made(self.grids[side], steps)
            groups, many = self._groups(side, block_ns)
            group = groups[steps.block]
            longer = replace(steps, block=group, known=steps.known & (group >= 0), blocks=many)
            counted = histogram(longer, values, signed=one.metric.signed).astype(np.int64)
            counts.append(counted[:, : one.metric.bins])
            if self.is_paired:
                known = values[steps.known].astype(np.float64)
                at = self._columns(side)[steps.block[steps.known]]
                means.append(self._means(at, np.ones(len(known)), known))
                sd = float(known.std()) if len(known) else math.nan
        return (counts[0], counts[1]), _drift(means, sd)

    def _means(self, column: Int64, n: Float64, total: Float64) -> Float64:
        """Mean in each column of time; NaN of none."""
        many = self.time.columns
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Float64 = np.bincount(column, total, many) / np.bincount(column, n, many)
        return found


def _drift(means: list[Float64], sd: float) -> Float64:
    if not means or not sd > 0:
        return np.zeros(0)
    found: NDArray[np.float64] = (means[0] - means[1]) / sd
    return found


def _sd(n: float, total: float, squares: float) -> float:
    """Standard deviation by n; NaN of no value."""
    if n <= 0:
        return math.nan
    return math.sqrt(max(squares / n - (total / n) ** 2, 0.0))
