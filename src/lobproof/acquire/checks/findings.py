"""``Findings``: how many rows have which reason, and which rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.flag_kernels import BITS, ROW_REASONS, count_flags
from lobproof.schema import Int64

FIRST_ROWS = 20
"""Row numbers of a reason that an audit shows."""
MOST_ROWS = 1_000_000
"""Row numbers of a reason that are kept in all."""


@dataclass(slots=True)
class Findings:
    """Reasons against the rows of one file, in the order of the rows."""

    counts: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    _rows: dict[str, list[Int64]] = field(default_factory=dict)
    _kept: dict[str, int] = field(default_factory=dict)

    def add_flags(self, flags: Int64, first_row: int) -> None:
        """Take over the flags of rows ``first_row`` and following."""
        counts = np.zeros(len(ROW_REASONS), np.int64)
        count_flags(flags, counts)
        for bit in np.flatnonzero(counts):
            name = ROW_REASONS[bit]
            if self._kept.get(name, 0) < MOST_ROWS:
                self.add(name, np.flatnonzero(flags & BITS[name]) + first_row)
            else:
                self.counts[name] += int(counts[bit])

    def add(self, name: str, rows: NDArray[np.intp] | Int64) -> None:
        """Note ``name`` for these rows."""
        self.counts[name] = self.counts.get(name, 0) + len(rows)
        room = MOST_ROWS - self._kept.get(name, 0)
        kept = np.asarray(rows[:room], np.int64)
        self._rows.setdefault(name, []).append(kept)
        self._kept[name] = self._kept.get(name, 0) + len(kept)

    def tell(self, name: str, count: int, detail: str = "") -> None:
        """Note ``name``, which is of no particular rows; nothing where ``count`` is 0."""
        if count:
            self.counts[name] = self.counts.get(name, 0) + count
            if detail:
                self.details[name] = detail

    def rows(self, name: str) -> Int64:
        """The rows kept for a reason, rising."""
        parts = self._rows.get(name)
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def all_rows(self) -> Iterator[tuple[str, Int64]]:
        """Reason and rows, for every reason that has rows."""
        for name in sorted(self._rows):
            yield name, self.rows(name)
