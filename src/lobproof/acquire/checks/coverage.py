"""``Clock``: the times of a file's rows as they are met, and what they cover of the day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lobproof.acquire.checks.flag_kernels import BITS
from lobproof.acquire.checks.time_kernels import COVERED, LONG_NS, MINUTES, cover, judge_times
from lobproof.acquire.stamp_kernels import DAY_NS, FLOAT_SECONDS, MISSING, STAMPS
from lobproof.schema import Int64
from lobproof.schema.records import zeroed

_MEDIANS = 50
"""A silence is longer than so many median gaps …"""
_HIGHS = 5
"""… and than so many of the gaps that only one in a thousand (ten, in short files) is above."""
_HIGH = 0.999
_SHOWN = 20


def day_start(dt: str) -> int:
    """First nanosecond of a UTC date."""
    return int(datetime.fromisoformat(dt).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing for ``length_ns`` from ``start_ns`` on."""

    start_ns: int
    length_ns: int

    def to_dict(self) -> dict[str, int]:
        """Plain values for JSON."""
        return {"start_ns": self.start_ns, "length_ns": self.length_ns}


class Clock:
    """Times of one file's rows, batch by batch."""

    def __init__(self, dt: str) -> None:
        self.start = day_start(dt)
        self._stamps = np.zeros((2, len(STAMPS)), np.int64)
        self._before = [MISSING, MISSING]
        self._covered = zeroed(COVERED)[0]
        self._covered.first = self._covered.last = -1

    def add(self, times: Int64, receipts: Int64, flags: Int64) -> None:
        """Take in the next rows and flag them."""
        for at, (column, name) in enumerate(((times, "timestamp"), (receipts, "receipt"))):
            self._before[at] = judge_times(
                column,
                self.start,
                self._before[at],
                BITS[f"{name}-missing"],
                BITS[f"{name}-other-day"],
                BITS[f"{name}-backward"],
                flags,
                self._stamps[at],
            )
        cover(times, receipts, self.start, self._covered, flags)

    @property
    def float_stamps(self) -> int:
        """Stamps of either column on the grid of float seconds."""
        return int(self._stamps[:, FLOAT_SECONDS].sum())

    def stamps(self) -> dict[str, dict[str, int]]:
        """How many stamps of each kind each column has."""
        columns = zip(("timestamp", "receipt_timestamp"), self._stamps.tolist(), strict=True)
        return {name: dict(zip(STAMPS, counts, strict=True)) for name, counts in columns}

    def cadence_ns(self) -> int:
        """The median gap between different times; 0 without gaps."""
        return self._quantile(0.5)

    def threshold_ns(self) -> int:
        """What is a silence: longer than 10 s and than the feed's own cadence explains."""
        gaps = int(self._covered.gaps)
        high = self._quantile(min(_HIGH, 1 - 10 / gaps)) if gaps > 100 else 0
        return max(LONG_NS, _MEDIANS * self.cadence_ns(), _HIGHS * high)

    def silences(self) -> list[Silence]:
        """Every silence between midnight and midnight, in order."""
        covered = self._covered
        if covered.first < 0:
            return [Silence(self.start, DAY_NS)]
        first, last = int(covered.first), int(covered.last)
        found = [
            Silence(self.start, first - self.start),
            *(Silence(int(a), int(b)) for a, b in covered.long_gaps[: covered.long]),
            Silence(last, self.start + DAY_NS - last),
        ]
        threshold = self.threshold_ns()
        return [silence for silence in found if silence.length_ns > threshold]

    def coverage(self) -> dict[str, Any]:
        """What is covered, for an audit."""
        silences = self.silences()
        covered = self._covered
        there = covered.first >= 0
        return {
            "first_ns": int(covered.first) if there else None,
            "last_ns": int(covered.last) if there else None,
            "out_of_order": int(covered.out_of_order),
            "minutes_present": int(np.count_nonzero(covered.minutes)),
            "minutes": runs(covered.minutes > 0),
            "cadence_ns": self.cadence_ns(),
            "silence_above_ns": self.threshold_ns(),
            "silences": len(silences),
            "silent_ns": sum(silence.length_ns for silence in silences),
            "longest_silences": [
                silence.to_dict()
                for silence in sorted(silences, key=lambda s: (-s.length_ns, s.start_ns))[:_SHOWN]
            ],
        }

    def _quantile(self, share: float) -> int:
        """Upper bound of the bucket that the quantile of the gaps lies in."""
        total = int(self._covered.gaps)
        if not total:
            return 0
        bucket = int(np.searchsorted(np.cumsum(self._covered.gaps_by_length), share * total))
        return _bucket_end(bucket)


def _bucket_end(bucket: int) -> int:
    """Least gap beyond a bucket of :func:`gap_bucket`."""
    # sixteen single values first, then eight buckets to a power of two
    return bucket + 1 if bucket < 16 else (bucket % 8 + 9) << (bucket // 8 - 1)


def runs(present: np.ndarray[Any, np.dtype[np.bool_]]) -> list[list[int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(present.astype(np.int8), prepend=0, append=0))
    return [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def from_runs(held: list[list[int]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Minutes of a day from what :func:`runs` made of them."""
    present = np.zeros(MINUTES, np.bool_)
    for first, last in held:
        present[first : last + 1] = True
    return present
