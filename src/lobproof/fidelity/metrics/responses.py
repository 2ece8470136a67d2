"""How the mid goes on behind events at the touch, and the book behind large trades; by block.

What takes ``sums`` takes any number of leading axes. Curves have one value for each of
`RESPONSES_S`.
"""

from __future__ import annotations

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.grid import SAMPLES_PER_SECOND, Grid
from lobproof.fidelity.metrics.metric_kernels import (
    ASK_SIZE,
    BID_SIZE,
    BOUGHT,
    RESPONSE_KINDS,
    RESPONSE_LAGS,
    RESPONSES,
    SOLD,
)
from lobproof.schema import Int64

RESPONSES_S = tuple(lag / SAMPLES_PER_SECOND for lag in RESPONSE_LAGS)
"""Lags of a curve, seconds, behind the first sample at or after the event."""


def response_sums(grid: Grid, kind: str) -> Float64:
    """Events of one of `RESPONSE_KINDS`, and what the mid moved since (blocks, lags, 2).

    Of those whose mid is known at each lag: how many, and the sum of moves since the book before
    them towards their sign, ticks.
    """
    tallies = grid.tallies[:, RESPONSES:].reshape(-1, len(RESPONSE_KINDS), len(RESPONSE_LAGS), 2)
    sums: Float64 = tallies[:, RESPONSE_KINDS.index(kind)] / np.array([1, 2 * grid.tick])
    return sums


def mean_move(sums: Float64) -> Float64:
    """Mean response at each lag, ticks (..., lags); NaN where no event is known.

    ``R(l) = E[e (m(t + l) - m(t-))]`` of Eisler, Bouchaud and Kockelkoren (2012), in seconds
    instead of events.
    """
    return _quotient(sums[..., 1], sums[..., 0])


def resilience_sums(grid: Grid) -> Float64:
    """Large trades, and the book before and behind them (blocks, lags, 5).

    Large is what one side's takers took within 0.1 s, if that is at least the size of the touch in
    the sample before. Number; spread before and at the lag, ticks; size of the touch that was hit,
    before and at the lag, lots. A trade counts where the book is known at every sample from before
    it up to the lag, in the block in which that lies.
    """
    hits = [_hits(grid, traded, touch) for traded, touch in ((BOUGHT, ASK_SIZE), (SOLD, BID_SIZE))]
    spread = grid.spread()
    sums = np.zeros((grid.blocks, len(RESPONSE_LAGS), 5))
    for at, lag in enumerate(RESPONSE_LAGS):
        last = grid.sliding((lag + 1) / SAMPLES_PER_SECOND)
        for rows, touch in hits:
            behind = rows[rows + lag < len(last)] + lag
            behind = behind[last.known[behind]]
            before = behind - lag - 1
            values = (
                np.ones(len(behind)),
                spread[before],
                spread[behind],
                touch[before] / grid.lot,
                touch[behind] / grid.lot,
            )
            for column, value in enumerate(values):
                sums[:, at, column] += np.bincount(last.block[behind], value, grid.blocks)
    return sums


def _hits(grid: Grid, traded: int, touch: int) -> tuple[Int64, Int64]:
    """Samples with a large trade before them, and the sizes of the touch that it hits."""
    sizes = grid.column(touch)
    large = grid.known()[:-1] & (grid.column(traded)[1:] >= sizes[:-1])
    return np.flatnonzero(large) + 1, sizes


def spread_back(sums: Float64) -> Float64:
    """Mean spread at each lag behind large trades, over that before them; 1: back to normal."""
    return _quotient(sums[..., 2], sums[..., 1])


def depth_back(sums: Float64) -> Float64:
    """Mean size of the touch that was hit at each lag, over that before; 1: back to normal."""
    return _quotient(sums[..., 4], sums[..., 3])


def _quotient(over: Float64, under: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, over / under, np.nan)
