"""Ids seen so far of a stream whose ids rise, with stragglers: what is new, late, or a repeat."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

NEW, LATE, REPEATED = 0, 1, 2


class SeenIds:
    """Remembers the highest id and the holes below it, not the ids.

    What lies below the first id is a hole like any other: a stream may begin with a straggler.
    """

    def __init__(self) -> None:
        self._high: int | None = None
        self._holes: list[tuple[int, int]] = []  # last id, first id: ordered by where they end

    @property
    def missing(self) -> int:
        """Ids between the lowest and the highest one that were never seen."""
        return sum(last - first + 1 for last, first in self._holes if first > 0)

    def add(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int8]:
        """Judge messages that cover the ids ``first`` … ``last`` each, in their order."""
        status = np.full(len(last), NEW, np.int8)
        if not len(last):
            return status
        if self._high is None:
            self._high = int(first[0]) - 1
            self._holes.append((self._high, 0))
        high = self._high
        before = np.maximum.accumulate(np.concatenate([[high], last]))[:-1]
        self._high = max(high, int(last.max()))
        for row in np.flatnonzero((last > before) & (first > before + 1)).tolist():
            insort(self._holes, (int(first[row]) - 1, int(before[row]) + 1))
        for row in np.flatnonzero(last <= before).tolist():
            status[row] = LATE if self._fill(int(first[row]), int(last[row])) else REPEATED
        return status

    def _fill(self, first: int, last: int) -> bool:
        """Take a range out of the hole that holds it, if one does."""
        at = bisect_left(self._holes, (last, -1))
        if at == len(self._holes) or self._holes[at][1] > first:
            return False
        end, start = self._holes.pop(at)
        for low, high in ((start, first - 1), (last + 1, end)):
            if low <= high:
                insort(self._holes, (high, low))
        return True
