"""Kernels of the decimal grid of float64 values: their digits, and counts of a given grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Int64

Float64 = NDArray[np.float64]

FINEST = 12
"""Digits after the point beyond which a value counts as being on no grid."""
DIGITS = 100
TENS = np.array([10.0**k for k in range(FINEST + 1)])
"""Exact as floats, so that both a product's rounding and a quotient decide by one step only."""

ZEROS, INVALID, OFF_GRID, GUESS = 0, 1, 2, 3
GRID_SLOTS = 4
"""Counts of values: zeros, NaN and infinities and negatives, on no grid; then the exponent that the
last value had before its zeros were taken off."""
_EXACT = 2.0**53


@kernel
def count_digits(seen: Int64, counts: Int64, values: Float64) -> float:
    """Add values to ``seen[digits after the point, count modulo 100]``; returns the largest.

    A value is on the grid of ``e`` digits when the nearest count over ``10**e`` is that very
    float. ``e`` is the least such, so that no count but one of whole numbers ends in a zero.
    """
    largest = 0.0
    for k in range(len(values)):
        value = values[k]
        if not (value >= 0.0 and value < np.inf):
            counts[INVALID] += 1
            continue
        if value == 0.0:
            counts[ZEROS] += 1
            continue
        largest = max(largest, value)
        e = counts[GUESS]
        near = np.rint(value * TENS[e])
        if near >= _EXACT or near / TENS[e] != value:
            e = 0
            near = np.rint(value)
            while e < FINEST and near < _EXACT and near / TENS[e] != value:
                e += 1
                near = np.rint(value * TENS[e])
            if near >= _EXACT or near / TENS[e] != value:
                counts[OFF_GRID] += 1
                continue
            counts[GUESS] = max(counts[GUESS], e)
        count = np.int64(near)
        while e > 0 and count % 10 == 0:
            count //= 10
            e -= 1
        seen[e, count % DIGITS] += 1
    return largest


@kernel
def to_counts(values: Float64, exponent: int, out: Int64) -> None:
    """Nearest counts of ``10**-exponent``; -1 for what is no number of 0 or more."""
    for k in range(len(values)):
        scaled = values[k] * TENS[exponent]
        out[k] = np.int64(np.rint(scaled)) if scaled >= 0.0 and scaled < 4e18 else -1
