"""Facts about times."""

from __future__ import annotations

import numpy as np

from lobproof.acquire.facts import time_kernels as at
from lobproof.acquire.facts.model import SLACK, Fact, Figure, Holds, share, verdict
from lobproof.acquire.facts.rows import Rows
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import TABLES

_MOST_MISSING = 0.05
_COLUMNS = ("timestamp", "receipt_timestamp")


class TimesSurvey:
    """Both times of all three tables of a day that begins at ``start`` (ns, UTC)."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._rows = dict.fromkeys(TABLES, 0)
        self._stamps = {
            (table, column): np.zeros(at.STAMP_SLOTS, np.int64)
            for table in TABLES
            for column in _COLUMNS
        }
        self._cut = {table: np.zeros(at.CUT_SLOTS, np.int64) for table in TABLES}

    def feed(self, table: str, rows: Rows) -> None:
        """Look at the next rows of a table."""
        exchange, receipt = (rows[column] for column in _COLUMNS)
        self._rows[table] += len(exchange)
        for column in _COLUMNS:
            at.count_stamps(self._stamps[table, column], rows[column], self._start)
        at.count_cut(self._cut[table], exchange, receipt, self._start)

    def facts(self) -> list[Fact]:
        """What the rows say."""
        return [self._grid(), self._missing(), self._order(), self._day_cut()]

    def _grid(self) -> Fact:
        figures: dict[str, Figure] = {}
        other = known = 0
        for (table, column), counts in self._stamps.items():
            stamped = int(counts[at.MILLI : at.OTHER + 1].sum())
            known += stamped
            other += int(counts[at.OTHER])
            if stamped:
                name = f"{table} {column}"
                figures[f"{name}: whole ms"] = share(int(counts[at.MILLI]), stamped)
                figures[f"{name}: whole µs"] = share(int(counts[at.MICRO]), stamped)
                figures[f"{name}: float seconds"] = share(int(counts[at.FLOAT]), stamped)
                figures[f"{name}: other"] = int(counts[at.OTHER])
        return Fact(
            "time-grid",
            "Each time is a whole microsecond, or one that went through float seconds: rounding "
            "to the nearest microsecond recovers it.",
            verdict(share(other, known) <= SLACK, rows=known),
            figures,
            known,
        )

    def _missing(self) -> Fact:
        figures: dict[str, Figure] = {}
        strange, shares = 0, [0.0]
        for table in TABLES:
            counts = self._stamps[table, "timestamp"]
            strange += int(counts[at.STRANGE])
            strange += int(self._stamps[table, "receipt_timestamp"][: at.STRANGE + 1].sum())
            shares.append(share(int(counts[: at.NULLS + 1].sum()), self._rows[table]))
            if self._rows[table]:
                for name, slot in (("0", at.ZERO), ("-1", at.MINUS_ONE), ("null", at.NULLS)):
                    figures[f"{table}: {name}"] = int(counts[slot])
        rows = sum(self._rows.values())
        figures["receipt times missing, times far from the day"] = strange
        good = max(shares) < _MOST_MISSING and share(strange, rows) <= SLACK
        return Fact(
            "missing-times",
            "A missing exchange time is 0, -1 or null, in fewer than 5 % of a table's rows; "
            "receipt times are never missing, and no time is far from the day.",
            verdict(good, rows=rows),
            figures,
            rows,
        )

    def _order(self) -> Fact:
        back = {
            f"{table} {column}: steps back": int(counts[at.BACK])
            for (table, column), counts in self._stamps.items()
            if self._rows[table]
        }
        rows = sum(self._rows.values())
        return Fact(
            "time-order",
            "Within a file neither time goes backwards.",
            verdict(share(sum(back.values()), rows) <= SLACK, rows=rows),
            back,
            rows,
        )

    def _day_cut(self) -> Fact:
        def total(slot: int) -> int:
            return sum(int(counts[slot]) for counts in self._cut.values())

        exchange, receipt, neither = (
            total(slot) for slot in (at.BY_EXCHANGE, at.BY_RECEIPT, at.BY_NEITHER)
        )
        witnessed = Holds.HOLDS if exchange else Holds.UNDECIDED
        return Fact(
            "day-cut",
            "A file holds the UTC day of the exchange's time: what was received after midnight "
            "belongs to the day in which it was sent.",
            Holds.FAILS if receipt or neither else witnessed,
            {
                "sent within the day, received outside": exchange,
                "received within the day, sent outside": receipt,
                "neither within the day": neither,
            },
            sum(self._rows.values()),
        )


def day_start(dt: str) -> int:
    """Nanoseconds since 1970 at which the UTC day ``YYYY-MM-DD`` begins."""
    midnight: Int64 = np.array([dt], "datetime64[ns]").astype(np.int64)
    return int(midnight[0])
