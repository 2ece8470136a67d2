"""``Grid``: the samples of blocks as one series in time, and which of them are known.

A return, a flow or a count over a step of time is the business of the block in which the step ends.
It is known where the mid is known at every sample from the step's beginning to its end: a book in
doubt, or a block that is missing, breaks the series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.blocks import Blocks, Float64
from lobproof.fidelity.metrics.metric_kernels import (
    GRID_NS,
    MID2,
    PART,
    SERIES,
    SPREAD_COUNTS,
)
from lobproof.schema import Int64

SAMPLES_PER_SECOND = 1_000_000_000 // GRID_NS
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of equal length, which end where a multiple of it since the epoch does.

    ``samples``: their length, in samples of the grid. ``row``: the sample at which each ends.
    ``known``: whether the mid is known at each sample of it. ``block``: in which it ends, an index.
    ``first``: of each step, the first one from which on none is missing up to it. ``blocks``: how
    many blocks there are.
    """

    samples: int
    row: Int64
    known: Bool
    block: Int64
    first: Int64
    blocks: int

    def __len__(self) -> int:
        return len(self.row)

    @property
    def seconds(self) -> float:
        """Length of a step."""
        return self.samples / SAMPLES_PER_SECOND

    def added(self, values: NDArray[np.int64] | Float64, where: Bool | None = None) -> Float64:
        """Sums of the known values in each block (blocks,), added up in the order of time."""
        kept = self.known if where is None else self.known & where
        weights = values[kept].astype(np.float64)
        sums = np.bincount(self.block[kept], weights, minlength=self.blocks)
        return sums.astype(np.float64)


class Grid:
    """The series of blocks.

    Cost: a pass over the samples, 24 bytes for each beside the blocks.
    """

    def __init__(self, blocks: Blocks) -> None:
        tick, lot = blocks.scale.counts(blocks.instrument)
        self.tick, self.lot = tick, lot
        self.blocks = len(blocks)
        self.tallies = blocks.tallies
        self._cells = blocks.series.shape[1]
        self._series = blocks.series.reshape(-1, SERIES)
        begins = blocks.start // GRID_NS
        self.number = (begins[:, None] + np.arange(self._cells)).ravel()
        """Which sample since the epoch each one is."""
        rows = np.arange(len(self.number))
        known = self._series[:, MID2] > 0
        broken = np.diff(self.number, prepend=self.number[:1]) != 1
        self._since = np.maximum.accumulate(np.where(known, np.where(broken, rows, 0), rows + 1))

    def column(self, column: int) -> Int64:
        """A column of the grid at each sample."""
        return self._series[:, column]

    def spread(self) -> Int64:
        """Spread at each sample, ticks; 0 where the book is not known."""
        return self.column(SPREAD_COUNTS) // self.tick

    def known(self) -> Bool:
        """Whether the book is known, at each sample."""
        return self.column(MID2) > 0

    def block(self) -> Int64:
        """Index of the block of each sample."""
        return np.repeat(np.arange(self.blocks), self._cells)

    def steps(self, seconds: float) -> Steps:
        """Steps of so many seconds: a multiple of 0.1."""
        samples = round(seconds * SAMPLES_PER_SECOND)
        if samples < 1 or not math.isclose(samples, seconds * SAMPLES_PER_SECOND):
            raise ValueError(f"a step of {seconds} s is no multiple of the grid's")
        row = np.flatnonzero(self.number % samples == 0)
        at = np.arange(len(row))
        missing = np.diff(self.number[row], prepend=self.number[row][:1] - samples) != samples
        return Steps(
            samples,
            row,
            row - samples >= self._since[row],
            row // self._cells,
            np.maximum.accumulate(np.where(missing, at, 0)),
            self.blocks,
        )

    def sliding(self, seconds: float) -> Steps:
        """Steps of so many seconds that end at every sample: they overlap."""
        every = self.steps(1 / SAMPLES_PER_SECOND)
        samples = round(seconds * SAMPLES_PER_SECOND)
        known = every.row - samples >= self._since
        return Steps(samples, every.row, known, every.block, every.first, self.blocks)

    def returns(self, steps: Steps) -> Int64:
        """Returns of the mid over each step, ``log(m_t / m_(t-s))`` in whole 1e-8; 0 if unknown."""
        before, after = self._ends(steps)
        logs = np.zeros(len(steps))
        logs[steps.known] = np.log1p((after - before) / before)
        return np.rint(logs * PART).astype(np.int64)

    def changes(self, steps: Steps) -> Float64:
        """Changes of the mid over each step, ticks; 0 if unknown."""
        before, after = self._ends(steps)
        moved = np.zeros(len(steps))
        moved[steps.known] = (after - before) / (2 * self.tick)
        return moved

    def flow(self, steps: Steps, *columns: int) -> Int64:
        """Sums of columns over each step; 0 if unknown. What comes at its end counts."""
        total = np.zeros(len(steps), np.int64)
        at = steps.row[steps.known]
        for column in columns:
            run = np.cumsum(self.column(column))
            total[steps.known] += run[at] - run[at - steps.samples]
        return total

    def _ends(self, steps: Steps) -> tuple[Int64, Int64]:
        """Mids, times two, at the beginning and at the end of each known step."""
        at = steps.row[steps.known]
        mids = self.column(MID2)
        return mids[at - steps.samples], mids[at]
