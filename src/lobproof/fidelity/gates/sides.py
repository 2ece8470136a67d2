"""``Sides``: two sets of blocks of the same times, and the values of each metric in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.gates.windows import dependence, paired
from lobproof.fidelity.inference.dependence import MIN_BLOCKS, block_rule
from lobproof.fidelity.metrics.blocks import Blocks, Float64
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Metric, Of
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.metric_kernels import GRID_NS
from lobproof.schema import Int64


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The values of a metric in the blocks of both sides.

    ``step_ns``: time between two values where one is known throughout; 0 of events.
    ``counts``: histograms (blocks, bins), ours and the golden sample's. ``sums``: number, sum and
    sum of squares (blocks, 3).
    """

    metric: Metric
    step_ns: int
    counts: tuple[Int64, Int64]
    sums: tuple[Float64, Float64]

    @property
    def n(self) -> tuple[int, int]:
        """How many values each side has."""
        return int(self.counts[0].sum()), int(self.counts[1].sum())


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Blocks put together to longer ones.

    ``groups``: the longer block of each block; -1 where that is not whole. ``blocks``: how many
    longer ones; ``block_ns``: their length; ``tau_ns``: of the memory that asks for it.
    ``doubt``: why they are not enough for a verdict. ``n``: how many values of the metric each
    side has.
    """

    groups: Int64
    blocks: int
    block_ns: int
    tau_ns: float
    doubt: str
    n: tuple[int, int]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Rows added up by longer block (blocks, ...)."""
        return grouped(values, self.groups, self.blocks)

    def few(self) -> Grouping:
        """At least `MIN_BLOCKS` and fewer than twice as many, for what costs a fit for each."""
        times = max(1, self.blocks // MIN_BLOCKS)
        if times == 1:
            return self
        kept = self.blocks // times
        groups = np.where(self.groups < kept * times, self.groups // times, -1)
        groups[self.groups < 0] = -1
        return replace(self, groups=groups, blocks=kept, block_ns=self.block_ns * times)


class Sides:
    """Blocks of the same times, whole on both sides; all else is left out, and counted."""

    def __init__(self, ours: Blocks, golden: Blocks) -> None:
        self.window = paired(ours, golden)
        self.both = ours.taken(self.window.ours), golden.taken(self.window.golden)
        self.block_ns = golden.scale.block_ns
        self.span_ns = len(self.window) * self.block_ns
        self.groupings: dict[str, Grouping] = {}
        """By the name of a metric, of those whose values were met."""

    @cached_property
    def grids(self) -> tuple[Grid, Grid]:
        """The series of both; a step over a block that one side lacks is known to neither."""
        return Grid(self.both[0]), Grid(self.both[1])

    def values(self, level: Level) -> Iterator[Values]:
        """The values of each metric, one after the other: the tables of all would fill memory."""
        for metric in CATALOGUE:
            ours, golden = (side.counts(metric.number)[:, : metric.bins] for side in self.both)
            sums = [_stacked(side.moments(metric.number)) for side in self.both]
            step = GRID_NS if metric.of is Of.SAMPLE else 0
            yield Values(metric, step, (ours, golden), (sums[0], sums[1]))
        if level is Level.LIGHT:
            return
        for one in DISTRIBUTIONS:
            bins = one.metric.bins
            ours, golden = (one.counts(grid)[:, :bins].astype(np.int64) for grid in self.grids)
            sums = [one.moments(grid)[:, :3] for grid in self.grids]
            yield Values(one.metric, round(one.seconds * 1e9), (ours, golden), (sums[0], sums[1]))

    def grouping(self, values: Values) -> Grouping:
        """Blocks as long as the memory of a metric asks for, by the golden sample alone."""
        found = grouping(values.counts[1], self.window.start, self.block_ns, values.n)
        self.groupings[values.metric.name] = found
        return found


def grouping(counts: Int64, start: Int64, block_ns: int, n: tuple[int, int]) -> Grouping:
    """Blocks as long as the memory of a metric asks for.

    Parameters
    ----------
    counts
        Histograms (blocks, bins) of the side that tells the memory.
    start, block_ns
        Of these blocks.
    n
        As of `Grouping`.
    """
    tau, span_ns = dependence(counts, block_ns), len(start) * block_ns
    spacing = span_ns / max(int(counts.sum()), 1)
    rule = block_rule(tau / spacing, spacing, span_ns)
    times = max(1, math.ceil(rule.length / block_ns))
    groups = groups_of(start, block_ns, times)
    many = int(groups.max(initial=-1)) + 1
    doubt = rule.doubt(times * block_ns, many)
    if doubt:  # in seconds, and with what would be needed
        doubt = _needed(rule.length, many)
    return Grouping(groups, many, times * block_ns, tau, doubt, n)


def groups_of(start: Int64, block_ns: int, times: int) -> Int64:
    """The longer block of each block, from 0 on; -1 where it is not whole."""
    if not len(start):
        return np.zeros(0, np.int64)
    number = (start - start[0]) // (block_ns * times)
    _, place, count = np.unique(number, return_inverse=True, return_counts=True)
    whole = count == times
    renumbered = np.where(whole, np.cumsum(whole) - 1, -1)
    return np.asarray(renumbered[place], np.int64)


def grouped(values: NDArray[Any], groups: Int64, many: int) -> NDArray[Any]:
    """Rows added up by group (many, ...); those of none are left out."""
    total = np.zeros((many, *values.shape[1:]), values.dtype)
    inside = groups >= 0
    np.add.at(total, groups[inside], values[inside])
    return total


def _stacked(moments: tuple[Int64, Float64, Float64]) -> Float64:
    return np.stack([one.astype(np.float64) for one in moments], axis=1)


def _needed(length_ns: float, blocks: int) -> str:
    if math.isnan(length_ns):
        return "the golden sample's values never change: how long they remember is unknown"
    return (
        f"{blocks} blocks of {length_ns / 1e9:,.0f} s, {MIN_BLOCKS} are needed: "
        f"{MIN_BLOCKS * length_ns / 3.6e12:,.1f} h of data"
    )
