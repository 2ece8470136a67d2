"""Gate D across days: a window's distance from golden windows, ranked among their own.

No law of the market's days is assumed but that matched windows could stand in any order. A score
(say the largest distance from the golden windows' mean) ranks the candidate among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lobproof.errors import UsageError

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Conformal:
    """A candidate among K golden windows."""

    p: float
    golden: int
    """K."""
    can_reject: bool
    """Whether p can be at or below 5 %: only with K ≥ 19."""

    @property
    def rejected(self) -> bool:
        """Whether p is at or below 5 %."""
        return self.p <= ALPHA


def conformal(scores: ArrayLike, candidate: float) -> Conformal:
    """Rank of a candidate's score among those of golden windows: ``p = (1 + #{s_i ≥ s})/(K + 1)``.

    Parameters
    ----------
    scores
        float64[K], of each golden window against the other ones; the larger, the stranger.
    candidate
        Of the candidate, made in the same way.

    Returns
    -------
    Conformal
        With fewer than 19 golden windows p is above 5 % whatever the candidate is, and
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
    return Conformal(p, count, can_reject=1 / (count + 1) <= ALPHA)
