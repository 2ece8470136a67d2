"""Histograms of blocks as the tests take them: checked, and summed up from the left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError


def block_counts(counts: ArrayLike) -> NDArray[np.int64]:
    """Counts as int64[B, K]: whole numbers, none below 0.

    Raises
    ------
    UsageError
        They are no such counts.
    """
    given: NDArray[Any] = np.asarray(counts)
    if given.ndim != 2 or given.dtype.kind not in "iu" or (given.size and given.min() < 0):
        raise UsageError(
            f"no counts of blocks: {given.dtype} of shape {given.shape}",
            hint="give whole numbers of at least 0, a row a block and a column a bin",
        )
    return given.astype(np.int64)


def paired_counts(
    counts_r: ArrayLike, counts_g: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of two streams over the same blocks and bins.

    Raises
    ------
    UsageError
        Blocks or bins are not the same.
    """
    r, g = block_counts(counts_r), block_counts(counts_g)
    if r.shape != g.shape:
        raise UsageError(
            f"blocks and bins differ: {r.shape} and {g.shape}",
            hint="count both streams over the same blocks of time, on the same edges",
        )
    return r, g


def cumulative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts at or below each inner edge: float64[B, K − 1]. The last would be the total."""
    return np.cumsum(counts, axis=1)[:, :-1].astype(np.float64)


def one_bin(*counts: NDArray[np.int64]) -> bool:
    """Whether all mass of all streams lies in one bin."""
    return int(np.count_nonzero(sum(one.sum(axis=0) for one in counts))) <= 1
