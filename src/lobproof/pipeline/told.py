"""``Told``: findings about stretches of time that a day has beside those of its own replay.

What an earlier attempt found, and what a survey or an audit tells of the whole day. They are known
by time; the events that they cover show as the day is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lobproof.replay import DOUBTFUL_CODES
from lobproof.replay.findings import EARLIER
from lobproof.replay.merge import Array, united
from lobproof.replay.state_kernels import FINDING_ROW
from lobproof.schema import Finding, Int64
from lobproof.schema.records import Records
from lobproof.timespan import DAY_NS

MARGIN_NS = 1_000_000_000
"""What an attempt found covers so much more on either side: the tables' clocks may differ."""
END_OF_TIME = (1 << 63) - 1
T_CODE, T_FIRST, T_LAST, T_COUNT, T_FROM, T_TO = range(6)

Row = Sequence[int]
"""Code, first and last time, count, and two numbers that the detail may name."""


def of_the_day(code: Finding, count: int, first: int, second: int = 0) -> Row:
    """A finding about a whole day."""
    return [int(code), 0, END_OF_TIME, count, first, second]


def rows_of_day(rows: Sequence[Row], dt: str) -> list[Row]:
    """Those that are about all of a job's days, or about times of this one."""
    start = int(np.datetime64(dt, "ns").astype(np.int64))
    return [
        row for row in rows if row[T_FIRST] != row[T_LAST] or start <= row[T_FIRST] < start + DAY_NS
    ]


def doubts_of(findings: Records, outdated: Int64) -> list[Row]:
    """The doubts of an attempt that is given up, for the next: one row a stretch of each code.

    ``outdated``: first and last times where `book` is older than the deltas (`Feed.outdated`). A
    book not yet seeded, and a touch beyond the levels listed, are of that attempt alone.
    """
    rows: list[Row] = []
    for code in sorted(DOUBTFUL_CODES - {Finding.UNSEEDED, Finding.TOUCH_BEYOND_RANGE}):
        ours = findings[findings["code"] == int(code)]
        found = np.column_stack([ours["first_ts"], ours["last_ts"]])
        if code == Finding.VENDOR_ROW_STALE:
            found = np.concatenate([found, outdated])
        if not len(found):
            continue
        stretches = united(found[:, 0] - MARGIN_NS, found[:, 1] + MARGIN_NS)
        for first, last, count in zip(*(column.tolist() for column in stretches), strict=True):
            rows.append([int(code), first, last, count, EARLIER, 0])
    return rows


class Told:
    """Gives each row the events that it covers, as they come."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = np.array(rows, np.int64).reshape(-1, 6)
        self._first = np.full(len(rows), -1, np.int64)
        self._last = np.full(len(rows), -1, np.int64)

    def add(self, ts: Int64, first_id: int) -> None:
        """The next events: their ascending ``ts_order``, and the id of the first."""
        if not len(self._rows) or not len(ts):
            return
        begins, ends = self._rows[:, T_FIRST], self._rows[:, T_LAST]
        new = (self._first < 0) & (begins <= ts[-1])
        self._first[new] = first_id + np.searchsorted(ts, begins[new])
        done = (self._last < 0) & (ends < ts[-1])
        self._last[done] = first_id + np.searchsorted(ts, ends[done], side="right") - 1

    def findings(self, events: int, first_ts: int, last_ts: int) -> Records:
        """The rows as findings about a day of so many events between these times."""
        found = np.zeros(len(self._rows), FINDING_ROW)
        end = max(events - 1, 0)
        # what its end alone tells of the day has met no event
        late = np.where(self._rows[:, T_FIRST] <= first_ts, 0, end)
        first = np.where(self._first < 0, late, self._first)
        found["first_event_id"] = first
        found["last_event_id"] = np.where(self._last < 0, end, np.maximum(self._last, first))
        found["code"] = self._rows[:, T_CODE]
        found["count"] = self._rows[:, T_COUNT]
        found["first_number"] = self._rows[:, T_FROM]
        found["last_number"] = self._rows[:, T_TO]
        found["first_ts"] = np.clip(self._rows[:, T_FIRST], first_ts, last_ts)
        found["last_ts"] = np.clip(self._rows[:, T_LAST], first_ts, last_ts)
        return found

    def save(self) -> dict[str, Array]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        return {"told_first": self._first.copy(), "told_last": self._last.copy()}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        self._first = saved["told_first"].astype(np.int64)
        self._last = saved["told_last"].astype(np.int64)
