"""What a seal says of when each stream was heard, and what nothing vouches for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from lobproof import documents
from lobproof.documents import Count
from lobproof.schema import COVERED_STREAMS
from lobproof.store.timespan import DAY_NS, day_start, show_length, show_ns

if TYPE_CHECKING:
    from lobproof.store.catalog import SealedDay

Span = tuple[Count, Count]

_TIME = pl.Datetime("ns", "UTC")
_SCHEMA = {
    "exchange": pl.String(),
    "symbol": pl.String(),
    "dt": pl.String(),
    "stream": pl.String(),
    "first": _TIME,
    "last": _TIME,
    "messages": pl.Int64(),
    "silences": pl.Int64(),
    "silent": pl.Duration("ns"),
    "longest_silence": pl.Duration("ns"),
    "listed": pl.List(pl.Struct({"first": _TIME, "last": _TIME})),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """When one stream of a day was heard: ``ts_order`` of its first and last message, 0 with none.

    ``silences`` longer than its pace explains, ``silent_ns`` in all; ``listed``: the longest ones.
    """

    messages: Count
    first: Count
    last: Count
    silences: Count
    silent_ns: Count
    listed: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The ``coverage`` of a seal.

    ``limit_ns``: the longest silence that the book's pace explains; ``life_ts``: its last sign of
    life, 0 with none; ``outages``: stretches (open at both ends) in which nothing at all was heard
    and the book was lost.
    """

    limit_ns: Count
    life_ts: Count
    outages: tuple[Span, ...]
    streams: Mapping[str, Stream]

    @classmethod
    def of(cls, document: str) -> Coverage:
        """Read the JSON of a seal; ValueError where it is none."""
        return documents.as_shape(documents.value_of(document), cls)


def covers(day: SealedDay, start: int | None, end: int | None) -> bool:
    """Whether a range of ``ts_order`` holds anything of what a day heard; the end is exclusive.

    From the day's first event to its last, but for what lies within one of its outages. A day that
    heard nothing answers for its UTC day.
    """
    first, last = (day.first_ts, day.last_ts) if day.first_ts else (day.span[0], day.span[1] - 1)
    low = first if start is None else max(start, first)
    high = last if end is None else min(end - 1, last)
    return low <= high and not any(
        since < low and high < until for since, until in day.coverage.outages
    )


def coverage_frame(
    days: Iterable[SealedDay], start: int | None = None, end: int | None = None
) -> pl.DataFrame:
    """One row a stream of each day that a range touches; times are null where none was heard."""
    rows: list[dict[str, Any]] = [
        {
            **day.partition.values(),
            "stream": name,
            "first": stream.first or None,
            "last": stream.last or None,
            "messages": stream.messages,
            "silences": stream.silences,
            "silent": stream.silent_ns,
            "longest_silence": max((until - since for since, until in stream.listed), default=0),
            "listed": [{"first": since, "last": until} for since, until in stream.listed],
        }
        for day in days
        if (end is None or day.span[0] < end) and (start is None or start < day.span[1])
        for name in COVERED_STREAMS
        for stream in [day.coverage.streams.get(name)]
        if stream is not None
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def unheard(
    days: Sequence[SealedDay], day: SealedDay, time: int, opening: Callable[[SealedDay], str]
) -> str:
    """Why nothing vouches for the last book of a day at a time behind its last event; empty: it is.

    The next day does, where it goes on from this one, and begins without a doubt: a chain that is
    whole shows that nothing was missed. Where ids show no loss, the book must not have been silent
    for longer than its pace explains.

    Parameters
    ----------
    days
        Of the symbol, by date.
    day
        The day of the last event up to ``time``.
    opening
        Gives the doubt with which a day begins, in words.
    """
    if time <= day.last_ts:
        return ""
    life = day.coverage.life_ts or day.last_ts
    follows = day_start(day.partition.dt) + DAY_NS
    for after in days:
        linked = after.carried_from == day.hashes["keyframes"] and after.from_ns is None
        if day_start(after.partition.dt) != follows or not linked or not after.first_ts:
            continue
        doubt = opening(after)
        if doubt:
            return doubt
        if day.chained or after.first_ts - life <= day.coverage.limit_ns:
            return ""
    return f"no book message since {show_ns(life)}, {show_length(time - life)} before"
