"""Kernels of prices and sizes: finite, positive, on the grid, on the tick or lot."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.flag_kernels import NOT_FINITE, NULL, OVERFLOWS
from lobproof.fixedpoint.float_kernels import (
    MAX_FLOAT_COUNT,
    NO_GRID,
    UNITS,
    float_decimals,
    float_to_count,
)
from lobproof.fixedpoint.kernels import OK
from lobproof.jit import kernel

FITS = 0
OFF_STEP = 1
OFF = 2
TOO_LARGE = 3


@kernel
def grid_status(
    value: float, exponent: int, finest: int, step: int, finer: NDArray[np.int64]
) -> int:
    """How a finite value sits on the grid: ``FITS``, ``OFF_STEP``, ``OFF`` or ``TOO_LARGE``.

    Parameters
    ----------
    exponent
        Of the grid that ``step`` counts on.
    finest
        Most decimals that pass for the grid; where it is above ``exponent``, values in between
        are off the step and counted in ``finer``.
    finer
        int64 (19,): values by the decimals they need, where more than ``exponent``.
    """
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
def step_at(time: int, since: NDArray[np.int64], steps: NDArray[np.int64]) -> int:
    """The step in force at ``time``; before the first, the first."""
    found = steps[0]
    for rule in range(1, len(steps)):
        if since[rule] > time:
            break
        found = steps[rule]
    return int(found)


@kernel
def judge_values(
    values: NDArray[np.float64],
    times: NDArray[np.int64],
    exponent: int,
    finest: int,
    since: NDArray[np.int64],
    steps: NDArray[np.int64],
    zero_allowed: bool,
    bad: int,
    off_grid: int,
    off_step: int,
    flags: NDArray[np.int64],
    finer: NDArray[np.int64],
) -> float:
    """Flag the values of one column; the largest finite one.

    ``bad``, ``off_grid`` and ``off_step`` are the bits to set. Rows flagged ``NULL`` have NaN for
    their nulls, which says nothing more.
    """
    largest = 0.0
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
    return largest


@kernel
def counts_on_grid(values: NDArray[np.float64], exponent: int, out: NDArray[np.int64]) -> int:
    """Write the counts of those values that the grid holds to the front of ``out``; how many."""
    good = 0
    for row in range(len(values)):
        count, status = float_to_count(values[row], exponent)
        if status == OK:
            out[good] = count
            good += 1
    return good
