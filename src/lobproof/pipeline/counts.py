"""``DayCounts``: what a day holds, for its seal and the summary, and whether its feed is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lobproof import documents
from lobproof.replay import ReplayOutput, doubtful_time
from lobproof.schema import Finding
from lobproof.schema.records import Records

GAP_LIMIT = 0.001
"""Share of a feed's messages from which on it cannot be replayed in full."""
UNUSABLE_LIMIT = 0.05
"""Share of the rows of `book` from which on they are no clock."""


@dataclass(slots=True)
class DayCounts:
    """What a day holds.

    ``vendor_rows`` are rows of the vendor's `book` that were held against the book,
    ``contradictions`` those that it cannot be reconciled with. ``warm_up_ns``: of the time in doubt
    what lies before the first anchor, for no other reason.
    """

    events: int = 0
    trades: int = 0
    book_messages: int = 0
    snapshots: int = 0
    gaps: int = 0
    vendor_rows: int = 0
    contradictions: int = 0
    silences: int = 0
    doubtful_ns: int = 0
    warm_up_ns: int = 0
    findings: dict[str, int] = field(default_factory=dict)

    def add(self, output: ReplayOutput) -> None:
        """Count what a chunk of the day gave."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + int(output.minutes[name].sum()))
        self.silences += int(np.count_nonzero(output.findings["code"] == int(Finding.SILENCE)))

    def close(self, events: int, findings: Records) -> None:
        """Set what all findings together tell."""
        found: Counter[str] = Counter()
        for code, count in zip(findings["code"].tolist(), findings["count"].tolist(), strict=True):
            found[Finding(code).name] += count
        self.events = events
        self.findings = dict(sorted(found.items()))
        self.doubtful_ns = doubtful_time(findings)
        seeded = findings[findings["code"] != int(Finding.UNSEEDED)]
        self.warm_up_ns = self.doubtful_ns - doubtful_time(seeded)

    @property
    def lost(self) -> int:
        """Messages after which something is known to be missing."""
        return self.gaps + self.contradictions + self.silences

    @property
    def trades_missing(self) -> bool:
        """Whether some trades are known to be missing: `quality` says how many, and why."""
        return bool(self.findings.keys() & {"TRADE_GAP", "TRADES_ABSENT"})

    @property
    def gap_ratio(self) -> float | None:
        """Messages backward, unreadable, silent or contradicted by a snapshot ÷ messages.

        None where no depth message came.
        """
        messages = self.book_messages - self.snapshots
        return self.lost / messages if messages else None

    @property
    def unusable_ratio(self) -> float:
        """Snapshots that cannot be a book, or come late ÷ snapshots."""
        unusable = sum(self.findings.get(name, 0) for name in ("INVALID_INPUT", "OUT_OF_ORDER"))
        return unusable / max(self.snapshots + unusable, 1)

    def no_go(self, strategy: str) -> str:
        """Why a whole day is not to be replayed like that; empty where it is."""
        ratio = self.gap_ratio
        if strategy == "full" and ratio is None:
            return "there is no depth message"
        if strategy == "full" and ratio is not None and ratio >= GAP_LIMIT:
            return (
                f"the gap ratio is {ratio:.3%} ({self.gaps:,} backward or unreadable, "
                f"{self.silences:,} silences, {self.contradictions:,} contradicted)"
            )
        if strategy == "anchored" and self.unusable_ratio >= UNUSABLE_LIMIT:
            return f"{self.unusable_ratio:.1%} of the rows of `book` are no book, or late"
        return ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> DayCounts:
        """The counts that :meth:`to_dict` wrote down; ValueError where they are none."""
        return documents.as_shape(dict(values), cls)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


_SUMMED = ("trades", "book_messages", "snapshots", "gaps", "vendor_rows", "contradictions")
"""Columns of `minutes` that a day sums up."""
