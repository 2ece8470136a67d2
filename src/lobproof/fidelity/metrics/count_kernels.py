"""Values into histograms on the frozen bins, by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.bin_kernels import signed_bin, unsigned_bin
from lobproof.jit import kernel
from lobproof.schema import Int64


@kernel
def count_signed(
    values: Int64, known: NDArray[np.bool_], block: Int64, counts: NDArray[np.int32]
) -> None:
    """Count the known values in ``counts`` (blocks, bins)."""
    for at in range(len(values)):
        if known[at]:
            counts[block[at], signed_bin(values[at])] += 1


@kernel
def count_unsigned(
    values: Int64, known: NDArray[np.bool_], block: Int64, counts: NDArray[np.int32]
) -> None:
    """Count the known values, none of which should be negative, in ``counts`` (blocks, bins)."""
    for at in range(len(values)):
        if known[at]:
            counts[block[at], unsigned_bin(values[at])] += 1
