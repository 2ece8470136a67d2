"""``Request``: which symbols, tables and days are asked for, of a bucket or of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from lobproof.errors import UsageError, shown
from lobproof.instruments import NAME_HINT, is_name
from lobproof.sources.cryptolake.layout import TABLES, LakeKey, is_date

Day = date | str
"""A day in UTC: a date, or text such as ``2026-01-05``; of a datetime its day."""


def day_text(day: Day | None) -> str | None:
    """A day as text; text is returned as it is."""
    if isinstance(day, datetime):
        day = (day.astimezone(UTC) if day.tzinfo else day).date()
    return day.isoformat() if isinstance(day, date) else day


@dataclass(frozen=True, slots=True)
class Request:
    """What to list, fetch, judge or certify.

    Empty ``symbols`` and None elsewhere: whatever is there. ``end`` is the first day that is not
    meant any more. A certificate needs, of each symbol, every table on every day.
    """

    exchange: str | None = None
    symbols: tuple[str, ...] = ()
    tables: tuple[str, ...] = TABLES
    start: str | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        """Refuse dates, symbols and tables that are none, and a span without a day."""
        for name, day in (("start", self.start), ("end", self.end)):
            if day is not None and not is_date(day):
                raise UsageError(f"{name} {day!r} is no date", hint="write it like 2026-01-05")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise UsageError(
                f"no day lies from {self.start} to before {self.end}",
                hint="the end is the first day that is not wanted any more",
            )
        odd = next((name for name in self.symbols if not is_name(name)), None)
        if odd is not None:
            raise UsageError(f"'{shown(odd, 60)}' cannot name a symbol", hint=NAME_HINT)
        unknown = sorted(set(self.tables) - set(TABLES))
        if unknown or not self.tables:
            raise UsageError(
                f"there is no table {', '.join(unknown) or 'named'}",
                hint=f"choose from {', '.join(TABLES)}",
            )

    def covers(self, key: LakeKey) -> bool:
        """Whether the object of ``key`` is asked for."""
        return (
            key.table in self.tables
            and self.exchange in (None, key.exchange)
            and (not self.symbols or key.symbol in self.symbols)
            and (self.start is None or key.dt >= self.start)
            and (self.end is None or key.dt < self.end)
        )
