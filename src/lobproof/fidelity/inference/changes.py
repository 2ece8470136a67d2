"""When did a figure change? Change points of the mean over days, of many figures at once.

PELT (Killick, Fearnhead, Eckley 2012), by the package ruptures: the segments that make
``Σ(x − mean of its segment)² + β·(number of changes)`` least, with ``β = 4·σ²·ln(n·M)`` for n days
and M figures, and ``σ² = Σ(x_i − x_(i−1))²/(2(n − 1))`` (von Neumann 1941), which a level that
shifts hardly raises. The logarithm holds the rate of false alarms of all figures together.
A linear kernel makes this cost of it, and has the search in C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lobproof.errors import UsageError, need_extra

SEGMENT = 5
"""Days between two changes, at least."""
LEAST = 2 * SEGMENT
"""Days that a change point needs."""
PENALTY = 4.0


def change_points(series: Sequence[ArrayLike], floors: Sequence[float]) -> list[list[int]]:
    """Where the level of each series shifts, all of them judged together; O(n²) each at worst.

    Parameters
    ----------
    series
        Each float64[n], one value a day; those with fewer than `LEAST` have no change point.
    floors
        Of each the least standard deviation that is assumed of one value: smaller shifts do not
        matter.

    Returns
    -------
    list[list[int]]
        Of each series the first index of each new level.

    Raises
    ------
    ExtraError
        If the package ruptures is not installed.
    UsageError
        If a value is not finite.
    """
    need_extra("history")
    from ruptures import KernelCPD

    found: list[list[int]] = []
    for values, floor in zip(series, floors, strict=True):
        x = np.asarray(values, np.float64)
        if not np.isfinite(x).all():
            raise UsageError(
                "A series has values that are no numbers.", hint="leave out days without a figure"
            )
        if len(x) < LEAST or not np.ptp(x):
            found.append([])
            continue
        variance = max(float(np.mean(np.diff(x) ** 2)) / 2, floor**2)
        penalty = PENALTY * variance * math.log(len(x) * len(series))
        search = KernelCPD(kernel="linear", min_size=SEGMENT)
        ends = search.fit(x[:, None]).predict(pen=penalty)
        found.append([int(end) for end in ends[:-1]])
    return found
