"""What an import notes about a recording while it passes: ids, clock, numbers. All bounded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lobproof.fixedpoint import MAX_EXPONENT
from lobproof.instruments import infer_step
from lobproof.schema import Int64
from lobproof.schema.records import zeroed
from lobproof.sources.binance.scanner import Block
from lobproof.sources.recordings.intake_kernels import (
    CLASSES,
    DECIMALS,
    DIGITS,
    ID_AUDIT,
    LAST_PLACES,
    MAX_PLACE,
    WIDTHS,
    audit_ids,
    measure,
    widest,
)

MAX_LISTED = 1000
MAX_DIGITS = 18
"""Digits that a grid has, before and after the point."""
_FEW = 10
"""One number in so many may be left out so that the others have a grid."""
BIN_NS = 100_000
DAY_NS = 86_400_000_000_000
_SPAN_BINS = 600_000
_SHARE_SAMPLE = 1_000_000
_UNITS = (1, 2, 5, 25)


class IdAudit:
    """Chain of ids: each message names the id that must come before it.

    Counted are gaps (that id is beyond all seen), duplicates (the ids of the message before),
    late messages (nothing new in them), overlaps (partly new) and, for streams with
    ``may_reset``, resets (ids that go back while the exchange's time goes on).
    """

    def __init__(self, *, may_reset: bool = False) -> None:
        self.messages = 0
        self.first = -1
        self.listed: list[dict[str, int]] = []
        self._may_reset = may_reset
        self._state = zeroed(ID_AUDIT)[0]
        for name in ("last", "before_final", "before_previous", "first_irregular"):
            setattr(self._state, name, -1)

    @property
    def last(self) -> int:
        """Highest id since the last reset; -1 before the first message."""
        return int(self._state.last)

    def add(self, first: Int64, final: Int64, previous: Int64, event: Int64) -> None:
        """The next messages' first and last ids, the ids that must come before, and times."""
        if not len(final):
            return
        if self.messages == 0:
            self.first = int(first[0])
            self._state.last = previous[0]
        listed = np.empty((MAX_LISTED - len(self.listed), 2), np.int64)
        times = event if self._may_reset else np.zeros_like(event)
        rows = audit_ids(self._state, first, final, previous, times, listed)
        for after, onward in listed[:rows].tolist():
            self.listed.append({"after": after, "next": onward})
        self.messages += len(final)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the sample's document."""
        return {
            "messages": self.messages,
            "first_id": self.first,
            "last_id": self.last,
            "gaps": int(self._state.gaps),
            "gaps_listed": self.listed,
            "duplicates": int(self._state.duplicates),
            "late": int(self._state.late),
            "overlaps": int(self._state.overlaps),
            "resets": int(self._state.resets),
            "first_irregular": int(self._state.first_irregular),
        }


class ClockAudit:
    """Receive minus event time: its median by a histogram of 0.1 ms within 60 s of the first.

    By stream, so that none is believed for being first: of streams further apart than that those
    count whose clock is nearest to the recorder's, which is hours off less often than a stamp.
    Also, by day of receipt, how many messages there are and how many have no event time.
    """

    def __init__(self) -> None:
        self._bins: dict[str, Counter[int]] = {}
        self._days: dict[int, tuple[int, int]] = {}

    def add(self, stream: str, recv: Int64, event: Int64) -> None:
        """Times of a stream's next messages, ns; those without an event time are left out."""
        known = event > 0
        days, at = np.unique(recv // DAY_NS, return_inverse=True)
        lost = np.bincount(at[~known], minlength=len(days))
        for day, *more in zip(days.tolist(), np.bincount(at).tolist(), lost.tolist(), strict=True):
            so_far = self._days.get(day, (0, 0))
            self._days[day] = (so_far[0] + more[0], so_far[1] + more[1])
        bins = (recv[known] - event[known]) // BIN_NS
        if not len(bins):
            return
        seen = self._bins.setdefault(stream, Counter())
        base = next(iter(seen), int(bins[0]))
        bins = np.clip(bins, base - _SPAN_BINS, base + _SPAN_BINS)
        seen[base] += 0
        values, counts = np.unique(bins, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            seen[value] += count

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the sample's document; offset 0 without messages."""
        medians = {name: _median(seen) for name, seen in self._bins.items()}
        nearest = min(medians.values(), key=abs, default=0)
        alike = {name for name, one in medians.items() if abs(one - nearest) <= _SPAN_BINS}
        joint: Counter[int] = Counter()
        for name in alike:
            joint += self._bins[name]
        offset = _median(joint) * BIN_NS + BIN_NS // 2 if joint else 0
        return {
            "offset_ns": offset,
            "apart_s": {
                name: round((nearest - one) * BIN_NS / 1e9)
                for name, one in sorted(medians.items())
                if name not in alike
            },
            "messages": sum(sum(seen.values()) for seen in self._bins.values()),
            "days": {
                f"{np.datetime64(day, 'D')}": {"messages": messages, "without_time": missing}
                for day, (messages, missing) in sorted(self._days.items())
            },
            "method": "median of receive minus event time, from a histogram of 0.1 ms",
        }


def too_wide(block: Block, most: Int64) -> dict[int, int]:
    """Rows of a block that hold a number beyond ``most`` (`NumberAudit.limits`), and its level."""
    found = np.empty(len(block.messages), np.int64)
    widest(block.buffer, block.messages, block.levels, most, found)
    rows = np.flatnonzero(found >= 0)
    return dict(zip(rows.tolist(), found[rows].tolist(), strict=True))


def _widest(counts: Int64) -> int:
    used = np.flatnonzero(counts)
    return int(used[-1]) if len(used) else 0


def _median(bins: Counter[int]) -> int:
    passed, total = 0, sum(bins.values())
    for value in sorted(bins):
        passed += bins[value]
        if 2 * passed >= total:
            return value
    return 0


class NumberAudit:
    """Digits of all prices and sizes: what exponents and steps are to be inferred from."""

    def __init__(self) -> None:
        self._widths = np.zeros((2, 2, WIDTHS), np.int64)
        self._seen_at = np.zeros((2, 2, WIDTHS), np.int64)
        self._places = np.zeros((2, LAST_PLACES, CLASSES), np.int64)

    def add(self, block: Block, base: int) -> None:
        """The numbers of a block whose first line is number ``base`` of the whole import."""
        tables = self._widths, self._seen_at, self._places
        measure(block.buffer, block.messages, block.levels, base, *tables)

    def exponent(self, which: int) -> int:
        """Digits after the point that prices (0) or sizes (1) need."""
        return _widest(self._widths[which, DECIMALS])

    def digits(self, which: int) -> int:
        """Digits before the point of the largest price or size."""
        return _widest(self._widths[which, DIGITS])

    def at(self, which: int) -> tuple[int, int]:
        """Numbers of the lines with the finest and with the largest one."""
        seen_at = self._seen_at[which]
        finest, largest = self.exponent(which), self.digits(which)
        return int(seen_at[DECIMALS, finest]), int(seen_at[DIGITS, largest])

    def limits(self) -> Int64 | None:
        """The digits after and before the point, of prices and of sizes, that leave a grid.

        Without the rarest of the finest and of the largest numbers a grid holds the rest. None
        where it holds all, or where those that would be left out are no few.
        """
        most = np.zeros((2, 2), np.int64)
        for which in (0, 1):
            widths = self._widths[which].copy()
            numbers = int(widths[DECIMALS].sum())
            while sum(most_of := [_widest(widths[DECIMALS]), _widest(widths[DIGITS])]) > MAX_DIGITS:
                rarest = min((DECIMALS, DIGITS), key=lambda k: (widths[k, most_of[k]], -most_of[k]))
                widths[rarest, most_of[rarest]] = 0
            if _FEW * int(2 * numbers - widths.sum()) > numbers:
                return None
            most[which] = most_of
        return most if (most < self._most()).any() else None

    def _most(self) -> Int64:
        return np.array([(self.exponent(which), self.digits(which)) for which in (0, 1)])

    def step(self, which: int, exponent: int) -> int:
        """Tick or lot in counts: :func:`infer_step` of a sample in the same proportions."""
        places = self._places[which]
        total = int(places.sum())
        values: list[int] = []
        counts: list[int] = []
        for place, group in np.argwhere(places > 0).tolist():
            power = exponent + MAX_PLACE - place
            values.append(_UNITS[group] * 10 ** min(power, MAX_EXPONENT - 2))
            seen = int(places[place, group])
            counts.append(-(-seen * min(total, _SHARE_SAMPLE) // total))
        return infer_step(np.repeat(np.array(values, np.int64), np.array(counts, np.int64)))
