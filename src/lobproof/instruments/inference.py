"""Exponents and steps from the values themselves, where no rule is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lobproof.errors import GridError
from lobproof.fixedpoint import check_exponent, decimal_to_count
from lobproof.instruments.model import Instrument, Rule
from lobproof.schema.batch import Int64


def infer_exponent(decimals: Int64 | Iterable[int], *, largest: str | None = None) -> int:
    """Smallest exponent whose grid holds values with so many significant decimals.

    Zeros that a venue appends (``1000000000000.00000000``) do not count as decimals, so that a
    coarse symbol gets a coarse grid and its large quantities fit into int64.

    Parameters
    ----------
    decimals
        Per value, its digits after the point without trailing zeros (``significant_decimals``).
    largest
        Text of the largest value, to be checked for overflow on the grid that is found.

    Raises
    ------
    GridError
        When a value was malformed (-1), needs more than 18 decimals, or ``largest`` overflows.
    """
    seen = np.asarray(decimals if isinstance(decimals, np.ndarray) else list(decimals), np.int64)
    malformed = np.flatnonzero(seen < 0)
    if len(malformed):
        raise GridError(
            f"row {malformed[0]}: not a decimal number, so its decimals are unknown",
            hint="leave out what cannot be read before inferring an exponent",
        )
    exponent = check_exponent(int(seen.max(initial=0)))
    if largest is not None:
        decimal_to_count(largest, exponent)
    return exponent


def infer_step(values: Int64, share: float = 0.999) -> int:
    """Coarsest step of 1, 2, 2.5 or 5 times a power of ten that the values are multiples of.

    Parameters
    ----------
    values
        int64 (n,) counts. Zeros say nothing and are left out; so few values that they happen
        to be round give too coarse a step.
    share
        Least share of the values that must be multiples: orders older than a change of the
        rules keep the finer grid.

    Returns
    -------
    int
        The step in counts; 1 without values.
    """
    values = values[values != 0]
    if not len(values):
        return 1
    largest = max(int(values.max()), -int(values.min()))

    def fits(step: int) -> bool:
        if step > largest:
            return False
        return int(np.count_nonzero(values % step == 0)) >= share * len(values)

    # each power of ten divides the next, so the powers that fit come first; 25 * ten is the only
    # step beyond the last one that fits which the next power of ten does not divide
    ten = 1
    while fits(10 * ten):
        ten *= 10
    steps = (25 * ten, 5 * ten, 5 * ten // 2, 2 * ten)
    return next((step for step in steps if step * 2 % ten == 0 and fits(step)), ten)


def infer_instrument(
    exchange: str,
    symbol: str,
    venue_symbol: str,
    *,
    price_exponent: int,
    size_exponent: int,
    prices: Int64,
    sizes: Int64,
    share: float = 0.999,
) -> Instrument:
    """An instrument whose one rule is inferred by :func:`infer_step` from counts on its grid."""
    rule = Rule(0, infer_step(prices, share), infer_step(sizes, share))
    return Instrument(exchange, symbol, venue_symbol, price_exponent, size_exponent, (rule,))
