"""One value given another: volume given spread, spread given the hour; sums by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.grid import SAMPLES_PER_SECOND, Grid
from lobproof.fidelity.metrics.metric_kernels import ASK_SIZE, BOUGHT, SOLD
from lobproof.schema import Int64

HOURS = 24
OCTAVES = 40
"""0 has one of its own, then 1, 2 to 3, 4 to 7 and so on; the last one takes all beyond."""
VOLATILITY_S = 60
"""Volatility is taken over so many seconds, from returns of 1 s."""


def octave(values: Int64) -> Int64:
    """Group of each whole number by powers of two: 0 for 0, 1 for 1, 2 for 2 and 3, and so on."""
    power = np.frexp(np.maximum(values, 0).astype(np.float64))[1]
    return np.minimum(power.astype(np.int64), OCTAVES - 1)


@dataclass(frozen=True, slots=True)
class Given:
    """Values in groups, for samples of blocks.

    ``block``, ``group``, ``value``: of each sample, its block's index, its group, and the whole
    number that is looked at. ``blocks``, ``groups``: how many there are.
    """

    block: Int64
    group: Int64
    value: Int64
    blocks: int
    groups: int

    def counts(self) -> Int64:
        """How many values lie in each octave (blocks, groups, `OCTAVES`): adds up over blocks."""
        place = (self.block * self.groups + self.group) * OCTAVES + octave(self.value)
        counted = np.bincount(place, minlength=self.blocks * self.groups * OCTAVES)
        return counted.astype(np.int64).reshape(self.blocks, self.groups, OCTAVES)

    def sums(self) -> Float64:
        """Number, sum and sum of squares in each group (blocks, groups, 3): adds up over blocks."""
        place = self.block * self.groups + self.group
        of = self.value.astype(np.float64)
        parts = [
            np.bincount(place, weights, minlength=self.blocks * self.groups).astype(np.float64)
            for weights in (np.ones(len(of)), of, of * of)
        ]
        return np.stack(parts, axis=-1).reshape(self.blocks, self.groups, 3)


def group_means(sums: Float64) -> Float64:
    """Mean of each group (..., groups), of `Given.sums`; NaN of an empty one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., 1] / sums[..., 0]


def ask_given_spread(grid: Grid) -> Given:
    """Size at the best ask, lots, given the octave of the spread in ticks; at each known sample."""
    return _at_samples(grid, octave(grid.spread()), grid.column(ASK_SIZE) // grid.lot, OCTAVES)


def spread_given_hour(grid: Grid) -> Given:
    """Spread, ticks, given the hour of the day, UTC; at each known sample."""
    return _at_samples(grid, _hour(grid), grid.spread(), HOURS)


def volume_given_hour(grid: Grid) -> Given:
    """Volume since the sample before, lots, given the hour, UTC; at each known sample."""
    volume = (grid.column(BOUGHT) + grid.column(SOLD)) // grid.lot
    return _at_samples(grid, _hour(grid), volume, HOURS)


def spread_given_volatility(grid: Grid) -> Given:
    """Spread each second, ticks, given the octave of the volatility of the minute that ends there.

    Volatility: the root of the mean squared return of 1 s, in whole 1e-8. Known where all sixty
    returns are.
    """
    steps = grid.steps(1.0)
    last = np.arange(min(VOLATILITY_S - 1, len(steps)), len(steps))
    whole = _windows(steps.known.astype(np.int64)) == VOLATILITY_S
    kept = whole & (last - (VOLATILITY_S - 1) >= steps.first[last])
    last = last[kept]
    mean = _windows(grid.returns(steps) ** 2)[kept] / VOLATILITY_S
    volatility = np.rint(np.sqrt(mean)).astype(np.int64)
    spread = grid.spread()[steps.row[last]]
    return Given(steps.block[last], octave(volatility), spread, grid.blocks, OCTAVES)


def _hour(grid: Grid) -> Int64:
    return grid.number // (3600 * SAMPLES_PER_SECOND) % HOURS


def _at_samples(grid: Grid, group: Int64, value: Int64, groups: int) -> Given:
    known = grid.known()
    return Given(grid.block()[known], group[known], value[known], grid.blocks, groups)


def _windows(values: Int64) -> Int64:
    """Sums of each `VOLATILITY_S` values in a row."""
    run = np.cumsum(np.append(0, values))
    sums: Int64 = run[VOLATILITY_S:] - run[:-VOLATILITY_S]
    return sums
