"""Sums of products of a series with itself some steps earlier, by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Int64


@kernel
def add_products(
    values: NDArray[np.float64],
    known: NDArray[np.bool_],
    block: Int64,
    first: Int64,
    lags: Int64,
    sums: NDArray[np.float64],
) -> None:
    """Add pairs to ``sums`` (blocks, lags, 4): number, later values, earlier values, products.

    A pair is the business of the later value's block. No pair spans a step that is missing.
    """
    for k in range(len(lags)):
        lag = lags[k]
        for at in range(lag, len(values)):
            before = at - lag
            if known[at] and known[before] and before >= first[at]:
                of = block[at]
                sums[of, k, 0] += 1.0
                sums[of, k, 1] += values[at]
                sums[of, k, 2] += values[before]
                sums[of, k, 3] += values[at] * values[before]
