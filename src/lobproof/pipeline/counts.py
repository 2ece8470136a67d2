"""``DayCounts``: what a day holds, for its seal and the summary, and whether its feed is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lobproof.replay import Step, doubtful_time
from lobproof.replay.ledger_kernels import E_CODE, E_COUNT
from lobproof.schema import Finding, Int64


@dataclass(slots=True)
class DayCounts:
    """What a day holds.

    ``references`` are rows of the vendor's `book` that were held against the book,
    ``contradictions`` those that it cannot be reconciled with.
    """

    events: int = 0
    trades: int = 0
    book_messages: int = 0
    snapshots: int = 0
    gaps: int = 0
    references: int = 0
    contradictions: int = 0
    silences: int = 0
    doubtful_ns: int = 0
    findings: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """Count what a stretch of the day gave."""
        for name, column in _SUMMED.items():
            setattr(self, name, getattr(self, name) + int(step.minutes[column].sum()))
        self.silences += int(np.count_nonzero(step.episodes[:, E_CODE] == int(Finding.SILENCE)))

    def close(self, events: int, episodes: Int64) -> None:
        """Set what all findings together tell."""
        found: Counter[str] = Counter()
        for row in episodes.tolist():
            found[Finding(row[E_CODE]).name] += row[E_COUNT]
        self.events = events
        self.findings = dict(sorted(found.items()))
        self.doubtful_ns = doubtful_time(episodes)

    @property
    def lost(self) -> int:
        """Messages after which something is known to be missing."""
        return self.gaps + self.contradictions + self.silences

    @property
    def gap_ratio(self) -> float:
        """Messages backward, silent or contradicted by a snapshot ÷ messages (SPEC, R8).

        Snapshots are the feed's messages only where it has no others.
        """
        return self.lost / max(self.book_messages - self.snapshots or self.snapshots, 1)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> DayCounts:
        """The counts that :meth:`to_dict` wrote down."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


_SUMMED = {
    "trades": "trades",
    "book_messages": "book_messages",
    "snapshots": "snapshots",
    "gaps": "gaps",
    "references": "references",
    "contradictions": "contradictions",
}
