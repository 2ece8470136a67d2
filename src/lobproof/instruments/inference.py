"""Tick and lot from the values themselves, where no rule is known."""

from __future__ import annotations

import numpy as np

from lobproof.schema.batch import Int64


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
