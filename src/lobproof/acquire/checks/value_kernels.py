"""Kernels of prices and sizes: finite, positive, on the grid, on the tick or lot; of book rows."""

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
    NULL,
    OFF_LOT,
    OFF_TICK,
    OVERFLOWS,
    PRICE_OFF_GRID,
    SIZE_OFF_GRID,
    UNSORTED,
)
from lobproof.fixedpoint.float_kernels import (
    MAX_FLOAT_COUNT,
    NO_GRID,
    UNITS,
    float_decimals,
    float_to_count,
)
from lobproof.fixedpoint.kernels import OK
from lobproof.jit import kernel
from lobproof.schema import LEVELS, Int64

Float64 = NDArray[np.float64]

FITS = 0
OFF_STEP = 1
OFF = 2
TOO_LARGE = 3


class Scale(NamedTuple):
    """What prices, or sizes, are held against, and what was found of all of them.

    Attributes
    ----------
    exponent
        Of the grid that steps count on.
    finest
        Most decimals that pass for the grid; where it is above ``exponent``, values in between
        are off the step and counted in ``finer``.
    since, steps
        int64: ticks or lots, and since when (ns) each is in force.
    finer
        int64 (19,): values by the decimals they need, where more than ``exponent``.
    largest
        float64 (1,): the largest value so far.
    """

    exponent: int
    finest: int
    since: Int64
    steps: Int64
    finer: Int64
    largest: Float64


class Bits(NamedTuple):
    """The flags of what can be wrong with a value."""

    bad: int
    off_grid: int
    off_step: int


@kernel
def grid_status(value: float, exponent: int, finest: int, step: int, finer: Int64) -> int:
    """How a finite value sits on a :class:`Scale`: one of the four codes above."""
    unit = UNITS[exponent]
    scaled = value * unit
    if abs(scaled) < MAX_FLOAT_COUNT:
        count = np.rint(scaled)
        if count / unit == value:
            return FITS if step == 1 or int(count) % step == 0 else OFF_STEP
        decimals = float_decimals(value)
        if decimals == NO_GRID or decimals > finest:
            return OFF
        finer[decimals] += 1
        return OFF_STEP
    whole, status = float_to_count(value, exponent)
    if status == OK:
        return FITS if whole % step == 0 else OFF_STEP
    # digits finer than the grid, or just too many of them
    return TOO_LARGE if float_decimals(value) != NO_GRID else OFF


@kernel
def step_at(time: int, since: Int64, steps: Int64) -> int:
    """The step in force at ``time``; before the first, the first."""
    found = steps[0]
    for rule in range(1, len(steps)):
        if since[rule] > time:
            break
        found = steps[rule]
    return int(found)


@kernel
def judge_values(
    values: Float64, times: Int64, scale: Scale, zero_allowed: bool, bits: Bits, flags: Int64
) -> None:
    """Flag the values of one column.

    Rows flagged ``NULL`` have NaN for their nulls, which says nothing more.
    """
    exponent, finest, since, steps, finer, found = scale
    bad, off_grid, off_step = bits
    largest = found[0]
    step = steps[0]
    for row in range(len(values)):
        value = values[row]
        if not math.isfinite(value):
            if not (math.isnan(value) and flags[row] & NULL):
                flags[row] |= NOT_FINITE
            continue
        if value <= 0.0:
            if value < 0.0 or not zero_allowed:
                flags[row] |= bad
            continue
        largest = max(largest, value)
        if len(steps) > 1:
            step = step_at(times[row], since, steps)
        status = grid_status(value, exponent, finest, step, finer)
        if status == OFF_STEP:
            flags[row] |= off_step
        elif status == OFF:
            flags[row] |= off_grid
        elif status == TOO_LARGE:
            flags[row] |= OVERFLOWS
    found[0] = largest


@kernel
def judge_books(columns: Float64, times: Int64, prices: Scale, sizes: Scale, flags: Int64) -> None:
    """Flag rows of ``book``.

    A level whose price is NaN (or null), or 0 with a size of 0, is not there; deeper ones must
    then be missing too.

    Parameters
    ----------
    columns
        float64 (80, n): price and size of each bid level, then of each ask level.
    """
    price_exponent, price_finest, since, ticks, finer_prices, largest_price = prices
    size_exponent, size_finest, _, lots, finer_sizes, largest_size = sizes
    for row in range(len(times)):
        tick, lot = ticks[0], lots[0]
        if len(ticks) > 1:
            tick = step_at(times[row], since, ticks)
            lot = step_at(times[row], since, lots)
        found = 0
        for side in range(2):
            before = 0.0
            held = 0
            hole = False
            for level in range(LEVELS):
                at = 2 * (side * LEVELS + level)
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
                largest_price[0] = max(largest_price[0], price)
                status = grid_status(price, price_exponent, price_finest, tick, finer_prices)
                if status == OFF_STEP:
                    found |= OFF_TICK
                elif status == OFF:
                    found |= PRICE_OFF_GRID
                elif status == TOO_LARGE:
                    found |= OVERFLOWS
                if size <= 0.0:
                    continue
                largest_size[0] = max(largest_size[0], size)
                status = grid_status(size, size_exponent, size_finest, lot, finer_sizes)
                if status == OFF_STEP:
                    found |= OFF_LOT
                elif status == OFF:
                    found |= SIZE_OFF_GRID
                elif status == TOO_LARGE:
                    found |= OVERFLOWS
            if held == 0:
                found |= EMPTY_SIDE
        bid, ask = columns[0, row], columns[2 * LEVELS, row]
        if bid > 0.0 and ask > 0.0 and bid >= ask:
            found |= CROSSED
        flags[row] |= found


@kernel
def counts_on_grid(values: Float64, exponent: int, out: Int64) -> int:
    """Write the counts of those values that the grid holds to the front of ``out``; how many."""
    good = 0
    for row in range(len(values)):
        count, status = float_to_count(values[row], exponent)
        if status == OK:
            out[good] = count
            good += 1
    return good
