"""Kernels from float64 to the decimal grid: the only way in for a vendor's floats.

A float64 stands for a decimal when the decimal's nearest float64 is that very value. Below
``MAX_FLOAT_COUNT`` counts at most one count of a grid has a given float64 as its nearest, so the
count that passes the test *is* the decimal that was written. Above it several may, and the
coarsest grid on which the value has fewer counts decides.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lobproof.fixedpoint.kernels import MALFORMED, MAX_COUNT, OFF_GRID, OK, OVERFLOW, POWERS
from lobproof.jit import kernel

MAX_FLOAT_COUNT = 2.0**50
"""From here on a float64 no longer determines a count beyond doubt."""
NO_GRID = -1
"""No grid of up to 18 decimals holds the value."""
FINEST = 18
UNITS = np.array([10.0**k for k in range(19)], np.float64)
"""Counts to one, exact as float64."""


@kernel
def float_decimals(value: float) -> int:
    """Fewest decimals (0 … 18) of a grid that holds ``value``; ``NO_GRID`` if none does."""
    for decimals in range(FINEST + 1):
        scaled = value * UNITS[decimals]
        if not abs(scaled) < MAX_FLOAT_COUNT:
            return NO_GRID
        if np.rint(scaled) / UNITS[decimals] == value:
            return decimals
    return NO_GRID


@kernel
def float_to_count(value: float, exponent: int) -> tuple[int, int]:
    """Count of ``10**-exponent`` that ``value`` stands for, and a status.

    The status is ``OK``, ``MALFORMED`` (not finite), ``OFF_GRID`` or ``OVERFLOW`` (beyond int64,
    or with more digits than a float64 determines); the count is 0 unless it is ``OK``.
    ``exponent`` is 0 … 18.
    """
    unit = UNITS[exponent]
    scaled = value * unit
    if abs(scaled) < MAX_FLOAT_COUNT:
        count = np.rint(scaled)
        if count / unit == value:
            return int(count), OK
        return 0, OFF_GRID
    if not math.isfinite(value):
        return 0, MALFORMED
    decimals = float_decimals(value)
    if decimals == NO_GRID or decimals > exponent:
        return 0, OVERFLOW
    coarse = int(np.rint(value * UNITS[decimals]))
    scale = int(POWERS[exponent - decimals])
    if abs(coarse) > MAX_COUNT // scale:
        return 0, OVERFLOW
    return coarse * scale, OK


@kernel
def floats_to_counts(
    values: NDArray[np.float64], exponent: int, out: NDArray[np.int64]
) -> tuple[int, int]:
    """Write the counts of ``values`` to ``out``; the first bad row and its status.

    Returns ``(-1, OK)`` when all are good. Rows from the first bad one on are not written.
    """
    for row in range(len(values)):
        count, status = float_to_count(values[row], exponent)
        if status != OK:
            return row, status
        out[row] = count
    return -1, OK


@kernel
def floats_exponent(values: NDArray[np.float64], exponent: int) -> tuple[int, int, int]:
    """Smallest exponent from ``exponent`` on whose grid holds every finite value.

    Returns it, -1 or the first row that no grid holds (the exponent is then that of the rows
    before), and the row of the largest finite value above 0 up to there; -1 without one.
    """
    largest, top = -1, 0.0
    for row in range(len(values)):
        if values[row] > top and values[row] < np.inf:
            largest, top = row, values[row]
        scaled = values[row] * UNITS[exponent]
        if abs(scaled) < MAX_FLOAT_COUNT and np.rint(scaled) / UNITS[exponent] == values[row]:
            continue
        if not math.isfinite(values[row]):
            continue
        decimals = float_decimals(values[row])
        if decimals == NO_GRID:
            return exponent, row, largest
        exponent = max(exponent, decimals)
    return exponent, -1, largest


@kernel
def count_decimals(values: NDArray[np.float64], counts: NDArray[np.int64]) -> int:
    """Add to ``counts[d]`` how many values need ``d`` decimals; how many no grid holds."""
    bad = 0
    for row in range(len(values)):
        decimals = float_decimals(values[row])
        if decimals == NO_GRID:
            bad += 1
        else:
            counts[decimals] += 1
    return bad
