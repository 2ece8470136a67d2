"""``Request``: which symbols, tables and days a certificate, or a validation, is about."""

from __future__ import annotations

from dataclasses import dataclass

from lobproof.errors import UsageError, shown
from lobproof.instruments import NAME_HINT, is_name
from lobproof.sources.cryptolake.layout import TABLES, LakeKey, is_date


@dataclass(frozen=True, slots=True)
class Request:
    """What a certificate is to cover.

    Empty ``symbols`` and None elsewhere: whatever the folder has. ``end`` is the first day that
    is not covered any more. Of each symbol, every table on every day from start to end must be
    there.
    """

    exchange: str | None = None
    symbols: tuple[str, ...] = ()
    tables: tuple[str, ...] = TABLES
    start: str | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        """Refuse dates and tables that are none, and a span without a day."""
        for name, day in (("start", self.start), ("end", self.end)):
            if day is not None and not is_date(day):
                raise UsageError(f"{name} {day!r} is no date", hint="write it like 2026-01-05")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise UsageError(
                f"no day lies from {self.start} to before {self.end}",
                hint="the end is the first day that is not wanted any more",
            )
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


def split_names(text: str) -> tuple[str, ...]:
    """The names in a list with commas between, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def named_symbols(text: str | None) -> tuple[str, ...]:
    """The symbols of an option: none, for all, only where it was left out.

    Raises
    ------
    UsageError
        When it was given, and names none, or something else.
    """
    symbols = split_names(text or "")
    if text is not None and not symbols:
        raise UsageError(
            "--symbols names none", hint="leave it out for all, or name them with commas between"
        )
    odd = next((name for name in symbols if not is_name(name)), None)
    if odd is not None:
        raise UsageError(f"'{shown(odd, 60)}' cannot name a symbol", hint=NAME_HINT)
    return symbols
