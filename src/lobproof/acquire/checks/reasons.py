"""Every reason that a file can be judged by, how grave it is, and which rows have it."""

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
REFUSE, DOUBT, NOTE = "refuse", "doubt", "note"
GOOD, DOUBTFUL, REFUSED = "good", "doubtful", "refused"


@dataclass(frozen=True, slots=True)
class Policy:
    """How grave a reason is.

    ``severity`` holds up to a share ``limit`` of the rows, ``beyond`` above it. ``meaning`` says
    what was found.
    """

    severity: str
    meaning: str
    limit: float = 1.0
    beyond: str = REFUSE

    def judged(self, share: float) -> str:
        """The severity at that share of the rows."""
        return self.beyond if share > self.limit else self.severity


POLICY: dict[str, Policy] = {
    # bytes and shape
    "size-differs": Policy(REFUSE, "the file has another size than what was fetched"),
    "hash-differs": Policy(REFUSE, "the file has another SHA-256 than what was fetched"),
    "unreadable": Policy(REFUSE, "the file, or a row group of it, cannot be read as Parquet"),
    "schema": Policy(REFUSE, "a column is missing, there twice, or of another type"),
    "no-rows": Policy(REFUSE, "the file holds no row"),
    # values
    "null": Policy(DOUBT, "a value is null", 0.001),
    "not-finite": Policy(DOUBT, "a price or size is NaN or infinite", 0.001),
    "bad-price": Policy(DOUBT, "a price is zero or negative", 0.001),
    "bad-size": Policy(DOUBT, "a size is negative, or zero where it must not be", 0.001),
    "price-off-grid": Policy(DOUBT, "the decimal grid does not hold a price", 0.001),
    "size-off-grid": Policy(DOUBT, "the decimal grid does not hold a size", 0.001),
    "overflow": Policy(DOUBT, "a value is too large for int64 counts on the grid", 0.001),
    "off-tick": Policy(NOTE, "a price is no multiple of the tick", 0.05, DOUBT),
    "off-lot": Policy(NOTE, "a size is no multiple of the lot", 0.05, DOUBT),
    "bad-side": Policy(DOUBT, "the side is neither buy nor sell", 0.001),
    # times
    "timestamp-missing": Policy(NOTE, "no exchange time (null, 0 or −1)", 0.05, DOUBT),
    "receipt-missing": Policy(NOTE, "no receipt time (null, 0 or −1)", 0.05, DOUBT),
    "no-time": Policy(DOUBT, "neither exchange nor receipt time", 0.001),
    "timestamp-other-day": Policy(DOUBT, "an exchange time far outside the day", 0.01),
    "receipt-other-day": Policy(DOUBT, "a receipt time far outside the day", 0.01),
    "over-midnight": Policy(NOTE, "a time less than a minute outside the day", 0.01, DOUBT),
    "timestamp-backward": Policy(
        NOTE, "an exchange time before that of the row above", 0.01, DOUBT
    ),
    "receipt-backward": Policy(NOTE, "a receipt time before that of the row above", 0.01, DOUBT),
    "float-seconds": Policy(NOTE, "times that went through float seconds (a grid of ~256 ns)"),
    # order and duplicates
    "duplicate-id": Policy(DOUBT, "a trade id that was there before", 0.01),
    "id-backward": Policy(NOTE, "a trade id below that of the row above", 0.01, DOUBT),
    "duplicate-row": Policy(DOUBT, "a row that its message has already", 0.01),
    "level-twice": Policy(DOUBT, "a level that its message sets twice, to different sizes", 0.01),
    "duplicate-sequence": Policy(
        DOUBT, "a snapshot with the sequence number of the one above", 0.01
    ),
    "sequence-missing": Policy(DOUBT, "a sequence number that is null, zero or negative", 0.01),
    "sequence-backward": Policy(DOUBT, "a sequence number below that of the message above", 0.01),
    "message-apart": Policy(
        DOUBT, "a message with the sequence number of an earlier one: its rows lie apart", 0.01
    ),
    "message-times": Policy(DOUBT, "rows of one message differ in time", 0.01),
    "message-size": Policy(DOUBT, "a row beyond the 65,536th of its message"),
    # snapshots
    "crossed": Policy(NOTE, "the best bid is not below the best ask", 0.01, DOUBT),
    "unsorted": Policy(DOUBT, "levels out of order, or one twice", 0.01),
    "empty-side": Policy(DOUBT, "a side without a level", 0.01),
    "level-hole": Policy(DOUBT, "a level is missing though a deeper one is there", 0.01),
    # completeness
    "silence": Policy(DOUBT, "silent for longer than its cadence explains"),
    "missing-minutes": Policy(NOTE, "minutes of the day without a row"),
    "missing-hours": Policy(DOUBT, "hours of the day without a row"),
    "files-overlap": Policy(DOUBT, "another file of the table has rows of the same time"),
    "table-missing": Policy(DOUBT, "another table of the day is missing"),
    "not-covered": Policy(DOUBT, "minutes that another table of the day has, and this one not"),
}
"""Reason → how grave it is.

``refuse``: no part of the file can be relied on; it goes to quarantine. ``doubt``: the file can be
read and worked with, but no certificate covers it. ``note``: usual for the vendor.
"""

CROSS_FILE = ("missing-minutes", "missing-hours", "table-missing", "not-covered", "files-overlap")
"""Reasons that follow from the coverage of all files of a symbol-day."""


def verdict(severities: list[str]) -> str:
    """``refused``, ``doubtful`` or ``good``."""
    if REFUSE in severities:
        return REFUSED
    return DOUBTFUL if DOUBT in severities else GOOD


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
