"""Facts about times."""

from __future__ import annotations

from lobproof.acquire.facts.count_kernels import CUT, TIMES, count_cut, count_times
from lobproof.acquire.facts.fact import SLACK, Fact, Figure, Holds, share, verdict
from lobproof.acquire.rows import Columns
from lobproof.schema.records import Record, zeroed
from lobproof.sources.cryptolake.layout import TABLES

_MOST_MISSING = 0.05
_COLUMNS = ("timestamp", "receipt_timestamp")


class TimesSurvey:
    """Both times of all three tables of a day that begins at ``start`` (ns, UTC)."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._rows = dict.fromkeys(TABLES, 0)
        self._times = {(table, column): zeroed(TIMES)[0] for table in TABLES for column in _COLUMNS}
        self._cut = zeroed(CUT)[0]

    def feed(self, table: str, rows: Columns) -> None:
        """Look at the next rows of a table."""
        exchange, receipt = (rows[column] for column in _COLUMNS)
        self._rows[table] += len(exchange)
        for column in _COLUMNS:
            count_times(self._times[table, column], rows[column], self._start)
        count_cut(self._cut, exchange, receipt, self._start)

    def facts(self) -> list[Fact]:
        """What the rows say."""
        return [self._grid(), self._missing(), self._order(), self._day_cut()]

    def _grid(self) -> Fact:
        figures: dict[str, Figure] = {}
        other = known = 0
        for (table, column), counts in self._times.items():
            stamped = int(counts.whole_ms + counts.whole_us + counts.float_seconds + counts.other)
            known += stamped
            other += int(counts.other)
            if stamped:
                name = f"{table} {column}"
                figures[f"{name}: whole ms"] = share(int(counts.whole_ms), stamped)
                figures[f"{name}: whole µs"] = share(int(counts.whole_us), stamped)
                figures[f"{name}: float seconds"] = share(int(counts.float_seconds), stamped)
                figures[f"{name}: other"] = int(counts.other)
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
            sent, received = (self._times[table, column] for column in _COLUMNS)
            strange += int(sent.strange + received.strange) + _missing(received)
            shares.append(share(_missing(sent), self._rows[table]))
            if self._rows[table]:
                figures[f"{table}: 0"] = int(sent.zero)
                figures[f"{table}: -1"] = int(sent.minus_one)
                figures[f"{table}: null"] = int(sent.null)
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
            f"{table} {column}: steps back": int(counts.back)
            for (table, column), counts in self._times.items()
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
        cut = self._cut
        exchange, receipt, neither = map(int, (cut.by_exchange, cut.by_receipt, cut.by_neither))
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


def _missing(counts: Record) -> int:
    return int(counts.zero + counts.minus_one + counts.null)
