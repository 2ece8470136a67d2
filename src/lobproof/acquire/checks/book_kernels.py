"""Kernel of ``book`` rows: each level, their order, both sides."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.flag_kernels import (
    BAD_PRICE,
    BAD_SIZE,
    CROSSED,
    EMPTY_SIDE,
    LEVEL_HOLE,
    NOT_FINITE,
    OFF_LOT,
    OFF_TICK,
    OVERFLOWS,
    PRICE_OFF_GRID,
    SIZE_OFF_GRID,
    UNSORTED,
)
from lobproof.acquire.checks.value_kernels import OFF, OFF_STEP, TOO_LARGE, grid_status, step_at
from lobproof.jit import kernel


class TicksAndLots(NamedTuple):
    """Ticks and lots, and since when (ns) each is in force."""

    since: NDArray[np.int64]
    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]


@kernel
def judge_books(
    columns: NDArray[np.float64],
    levels: int,
    times: NDArray[np.int64],
    price_exponent: int,
    price_finest: int,
    size_exponent: int,
    size_finest: int,
    steps: TicksAndLots,
    finer_prices: NDArray[np.int64],
    finer_sizes: NDArray[np.int64],
    largest: NDArray[np.float64],
    flags: NDArray[np.int64],
) -> None:
    """Flag snapshots.

    A level whose price is NaN (or null), or 0 with a size of 0, is not there; deeper ones must
    then be missing too.

    Parameters
    ----------
    columns
        float64 (4 × levels, n): price and size of each bid level, then of each ask level.
    largest
        float64 (2,): largest price and size so far.
    """
    for row in range(len(times)):
        tick, lot = steps.ticks[0], steps.lots[0]
        if len(steps.ticks) > 1:
            tick = step_at(times[row], steps.since, steps.ticks)
            lot = step_at(times[row], steps.since, steps.lots)
        found = 0
        for side in range(2):
            before = 0.0
            held = 0
            hole = False
            for level in range(levels):
                at = 2 * (side * levels + level)
                price, size = columns[at, row], columns[at + 1, row]
                if math.isnan(price) or (price == 0.0 and (size == 0.0 or math.isnan(size))):
                    hole = True
                    if not math.isnan(size) and size != 0.0:
                        found |= NOT_FINITE
                    continue
                if hole:
                    found |= LEVEL_HOLE
                if math.isinf(price) or not math.isfinite(size):
                    found |= NOT_FINITE
                    continue
                if price <= 0.0:
                    found |= BAD_PRICE
                    continue
                if size <= 0.0:
                    found |= BAD_SIZE
                if held and (price >= before if side == 0 else price <= before):
                    found |= UNSORTED
                before = price
                held += 1
                largest[0] = max(largest[0], price)
                status = grid_status(price, price_exponent, price_finest, tick, finer_prices)
                if status == OFF_STEP:
                    found |= OFF_TICK
                elif status == OFF:
                    found |= PRICE_OFF_GRID
                elif status == TOO_LARGE:
                    found |= OVERFLOWS
                if size <= 0.0:
                    continue
                largest[1] = max(largest[1], size)
                status = grid_status(size, size_exponent, size_finest, lot, finer_sizes)
                if status == OFF_STEP:
                    found |= OFF_LOT
                elif status == OFF:
                    found |= SIZE_OFF_GRID
                elif status == TOO_LARGE:
                    found |= OVERFLOWS
            if held == 0:
                found |= EMPTY_SIDE
        bid, ask = columns[0, row], columns[2 * levels, row]
        if bid > 0.0 and ask > 0.0 and bid >= ask:
            found |= CROSSED
        flags[row] |= found
