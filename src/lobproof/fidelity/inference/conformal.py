"""Gate D across days: a window's distance from golden windows, ranked among their own.

No law of the market's days is assumed but that matched windows could stand in any order. A score
(say the largest distance from the golden windows' mean) ranks the candidate among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError

ALPHA = 0.05
_ROUNDING = 1 + 1e-12
"""1/60 is at or below 0.05/3."""


@dataclass(frozen=True, slots=True)
class Conformal:
    """A candidate among K golden windows."""

    p: float
    golden: int
    """K."""
    alpha: float = ALPHA
    """At or below it the candidate is rejected."""

    @property
    def can_reject(self) -> bool:
        """Whether p can be at or below α: of 5 % only with K ≥ 19."""
        return 1 / (self.golden + 1) <= self.alpha * _ROUNDING

    @property
    def rejected(self) -> bool:
        """Whether p is at or below α."""
        return self.p <= self.alpha * _ROUNDING


def conformal(scores: ArrayLike, candidate: float, alpha: float = ALPHA) -> Conformal:
    """Rank of a candidate's score among those of golden windows: ``p = (1 + #{s_i ≥ s})/(K + 1)``.

    Parameters
    ----------
    scores
        float64[K], of each golden window against the other ones; the larger, the stranger.
    candidate
        Of the candidate, made in the same way.
    alpha
        Of n candidates that are judged together 0.05/n each.

    Returns
    -------
    Conformal
        With fewer than 1/α - 1 golden windows p is above α whatever the candidate is, and
        ``can_reject`` says so.

    Raises
    ------
    UsageError
        A score is no finite number.

    Notes
    -----
    O(K). If candidate and golden windows are exchangeable, p ≤ α has at most the probability α.

    References
    ----------
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.
    """
    golden = np.asarray(scores, np.float64)
    if golden.ndim != 1 or not (np.isfinite(golden).all() and np.isfinite(candidate)):
        raise UsageError(
            f"no finite scores: {golden.shape} and {candidate}",
            hint="give one number for each golden window, and one for the candidate",
        )
    count = len(golden)
    p = (1 + int(np.count_nonzero(golden >= candidate))) / (count + 1)
    return Conformal(p, count, alpha)


def strangeness(tables: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """How far each window is from the pooled rest of them, metric by metric.

    Parameters
    ----------
    tables
        Of each metric its histograms, int64[windows, bins]; no window is empty, and a metric has
        two values or more.

    Returns
    -------
    NDArray
        float64[windows, metrics]: the K-S distance from the sum of all other windows, over the mean
        of that distance over all windows. No window has a part of its own in it, so what is made of
        it of exchangeable windows is exchangeable.

    Raises
    ------
    UsageError
        There are fewer than two windows, one is empty, or all values of a metric share a bin.

    Notes
    -----
    O(windows x bins) a metric.
    """
    found = []
    for table in tables:
        counts = np.asarray(table, np.float64)
        own, total = counts.sum(axis=1), counts.sum(axis=0)
        if len(counts) < 2 or not own.all() or np.count_nonzero(total) < 2:
            raise UsageError(
                f"{len(counts)} windows, {np.count_nonzero(own)} with values, in "
                f"{np.count_nonzero(total)} bins",
                hint="leave out metrics that a window lacks, or that have one value throughout",
            )
        inside = np.cumsum(counts, axis=1) / own[:, None]
        rest = np.cumsum(total - counts, axis=1) / (own.sum() - own)[:, None]
        found.append(np.abs(inside - rest).max(axis=1))
    distance = np.stack(found, axis=1)
    return np.asarray(distance / np.maximum(distance.mean(axis=0), np.finfo(np.float64).tiny))
