"""What may be read of a store: its sealed days, their files, and when each stream was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lobproof import documents
from lobproof.documents import Count
from lobproof.errors import StoreError, UsageError
from lobproof.files import below
from lobproof.instruments import Instrument, Rule
from lobproof.schema import COVERED_STREAMS, Int64
from lobproof.schema.tables import CONTENT_TABLES, DAYS, EVENTS, Table
from lobproof.store.columns import Grid
from lobproof.store.delta import listed_files, open_delta
from lobproof.store.hashing import header
from lobproof.store.layout import ALL, Partition, Scope, check_marker
from lobproof.store.mirror import mirror_of
from lobproof.store.seal import (
    SealedFile,
    config_of,
    files_of,
    instrument_of,
    partial_from,
    seals_among,
    wrong_size,
)
from lobproof.timespan import DAY_NS, day_start, other_unit, show_days, show_length, show_ns

_ATTEMPTS = 5
_NAMED = 5
"""Of the days without a seal so many are named."""

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


@dataclass(frozen=True, slots=True)
class SealedDay:
    """A sealed symbol-day."""

    partition: Partition
    provenance: str
    instrument: Instrument
    venue_symbol: str
    first_ts: int
    last_ts: int
    files: dict[str, tuple[SealedFile, ...]]
    hashes: dict[str, str]
    coverage: Coverage
    chained: bool  # whether the feed's ids show a loss
    spacing: str  # of the rows of `states`: "all" is one at each message end
    carried_from: str  # hash of the keyframes that it goes on from, or empty
    from_ns: int | None = None  # of a partial day: where it begins

    @property
    def grid(self) -> Grid:
        """The day's decimal grid."""
        return Grid.of(self.instrument)

    def head(self, table: Table) -> bytes:
        """What the hash of a table of it starts with."""
        return header(table, self.partition, self.grid)

    @property
    def span(self) -> tuple[int, int]:
        """Times that the day answers for: its UTC day and all its events; the end is exclusive.

        A partial day answers for none before it begins.
        """
        start = day_start(self.partition.dt)
        first = min(start, self.first_ts) if self.first_ts else start
        first = first if self.from_ns is None else self.from_ns
        return first, max(start + DAY_NS, self.last_ts + 1)


@dataclass(frozen=True, slots=True, order=True)
class Unsealed:
    """A day that a store's tables speak of and no seal vouches for: no reader shows it."""

    partition: Partition
    why: str

    def __str__(self) -> str:
        """The day and why, in one line."""
        return f"{self.partition}: {self.why}"


def told_unsealed(found: Sequence[Unsealed]) -> str:
    """What to say of days without a seal, in one line; empty where there is none."""
    if not found:
        return ""
    named = "; ".join(str(day) for day in found[:_NAMED])
    more = f"; and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    what = (
        "1 day is not sealed, and left out"
        if len(found) == 1
        else (f"{len(found):,} days are not sealed, and left out")
    )
    return f"{what}: {named}{more}. `lobproof reconstruct` makes a day anew."


class Catalog:
    """The sealed days of a store, or of a scope of it, as they were when it was opened.

    ``unsealed`` are those that its tables speak of beside.

    Raises
    ------
    StoreError
        If ``root`` is no store, or one of a newer format.
    """

    def __init__(self, root: Path, scope: Scope = ALL) -> None:
        check_marker(root)
        self.root = root
        self.scope = scope
        self.mirror = mirror_of(root)
        # a day may be replaced while the tables are listed one by one: look again
        for attempt in range(_ATTEMPTS):
            if attempt and self.mirror is not None:
                self.mirror.refresh()
            listed = listed_files(open_delta(root, DAYS))
            self.seals = seals_among(root, listed, scope)
            self._listed = {t.name: _by_folder(root, t, scope) for t in CONTENT_TABLES}
            self.days = [_day(row) for row in self.seals.iter_rows(named=True)]
            if not any(self.mislisted(day, table) for day in self.days for table in CONTENT_TABLES):
                break
        self.unsealed = self._unsealed(listed)
        self._held: set[tuple[Partition, str]] = set()

    def _unsealed(self, seals: Iterable[str]) -> tuple[Unsealed, ...]:
        known = {day.partition.folder for day in self.days}
        found = {
            folder: "tables list its files, and no seal names them: left of an unfinished or "
            "withdrawn run"
            for folders in self._listed.values()
            for folder in folders.keys() - known
        }
        for path in seals:
            folder = path.rpartition("/")[0]
            if folder not in known and self.scope.holds(folder):
                found[folder] = "the table of days lists its seal, which is not there"
        return tuple(sorted(Unsealed(_partition(folder), why) for folder, why in found.items()))

    def mislisted(self, day: SealedDay, table: Table) -> list[tuple[str, str]]:
        """Files that the seal and the Delta table do not both list, or not alike, and why."""
        return _mislisted(day, table, self._listed[table.name])

    def missized(self, day: SealedDay, table: Table) -> list[tuple[str, str]]:
        """Files of a day that are gone or of another size, and why, without reading any.

        Raises
        ------
        PlaceError
            If a file or a folder is a link.
        """
        if self.mirror is not None:
            there = self.mirror.sizes(table.name, day.partition.folder)
            return [
                (file.path, wrong_size(there.get(file.path), file.size))
                for file in day.files[table.name]
                if there.get(file.path) != file.size
            ]
        folder = below(self.root, table.name)
        below(folder, day.partition.folder)
        sizes = ((file.path, file.by_its_size(folder)) for file in day.files[table.name])
        return [(path, why) for path, why in sizes if why]

    def fetched_again(self, table: Table, file: SealedFile) -> str:
        """Fetch a file anew from a bucket, for an audit: what is wrong with it there, or empty."""
        if self.mirror is None:
            return ""
        try:
            self.mirror.fetch(table.name, [file], again=True)
        except StoreError as error:
            return error.message
        return ""

    def paths(self, day: SealedDay, table: Table) -> list[Path]:
        """Files of one table of one day, in order: those that the seal names, and no others.

        Before they are first read they are held against the seal, by size and footer.

        Raises
        ------
        StoreError
            If the Delta table lists others, or one of them is not as it was sealed.
        """
        folder = below(self.root, table.name)
        for path, why in self.mislisted(day, table):
            raise _not_as_sealed(day, table, path, why)
        if (day.partition, table.name) not in self._held:
            if self.mirror is not None:
                self.mirror.fetch(table.name, day.files[table.name])
            _check_files(self.root, day, table)
            self._held.add((day.partition, table.name))
        return [below(folder, file.path) for file in day.files[table.name]]

    def resolve(self, symbol: str | None, exchange: str | None) -> list[SealedDay]:
        """The days of one symbol, by date.

        ``symbol`` is the canonical name or the venue's; None will do in a store of one symbol.

        Raises
        ------
        UsageError
            If nothing or more than one symbol is meant; the message lists what there is.
        """
        one_name(symbol, exchange)
        there = sorted({f"{d.partition.exchange} {d.partition.symbol}" for d in self.days})
        if not there:
            raise no_day(self.root, self.unsealed)
        for name, given in (("symbol", symbol), ("exchange", exchange)):
            if given == "":
                raise UsageError(
                    f"The name of the {name} is empty.", hint=f"The store holds {', '.join(there)}."
                )
        among = [day for day in self.days if exchange in (None, day.partition.exchange)]
        exact = [day for day in among if symbol in (None, day.partition.symbol)]
        days = exact or [day for day in among if day.venue_symbol == symbol]
        names = sorted({(day.partition.exchange, day.partition.symbol) for day in days})
        if len(names) == 1:
            return days
        wanted = " ".join(str(name) for name in (exchange, symbol) if name is not None)
        if not names:
            raise UsageError(
                f"The store has no {wanted}.{self._beside()}", hint=f"It holds {', '.join(there)}."
            )
        raise UsageError(
            f"{wanted or 'No symbol'} leaves open which is meant: "
            f"{', '.join(' '.join(name) for name in names)}.",
            hint="Name it: symbol= (--symbol) and, if it trades on several exchanges, exchange=.",
        )

    def day(self, symbol: str | None, exchange: str | None, dt: str) -> SealedDay:
        """One day of a symbol; `UsageError` where there is none."""
        days = self.resolve(symbol, exchange)
        for day in days:
            if day.partition.dt == dt:
                return day
        raise UsageError(
            f"{days[0].partition.exchange} {days[0].partition.symbol} has no sealed day {dt}."
            f"{self._beside()}",
            hint=f"It has {show_days(day.partition.dt for day in days)}.",
        )

    def _beside(self) -> str:
        return f" {told_unsealed(self.unsealed)}" if self.unsealed else ""


def one_name(*names: str | None) -> None:
    """See that a symbol or an exchange is one name, or None.

    Raises
    ------
    UsageError
        For a list of symbols where one book, one stream or one page is asked for, and for what is
        no name.
    """
    for name in names:
        if name is not None and not isinstance(name, str):
            raise UsageError(
                f"{name!r} is not one symbol or exchange by its name: this takes one symbol only.",
                hint="Call it once for each symbol. Frames of rows (`events`, `states`, `trades` "
                "and others) take several at once.",
            )


def check_sealed(root: Path, seals: pl.DataFrame) -> None:
    """Hold the files of sealed days (rows of ``days``) against their seals, by size and footer.

    And what the Delta tables list, for whoever reads the store looks there too.

    Raises
    ------
    StoreError
        Naming the first file that is gone, not as it was sealed, or not listed.
    PlaceError
        If one of their folders is a link.
    """
    days = [_day(row) for row in seals.iter_rows(named=True)]
    for table in CONTENT_TABLES:
        listed = _by_folder(root, table)
        for day in days:
            for path, why in _mislisted(day, table, listed):
                raise _not_as_sealed(day, table, path, why)
            _check_files(root, day, table)


def _mislisted(
    day: SealedDay, table: Table, folders: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, str]]:
    listed = folders.get(day.partition.folder, {})
    files = {file.path: file.size for file in day.files[table.name]}
    return [
        *((path, "is not in the Delta table") for path in files.keys() - listed.keys()),
        *((path, "is in the Delta table alone") for path in listed.keys() - files.keys()),
        *(
            (path, "has another size in the Delta table")
            for path, size in files.items()
            if listed.get(path, size) != size
        ),
    ]


def _check_files(root: Path, day: SealedDay, table: Table) -> None:
    folder = below(root, table.name)
    below(folder, day.partition.folder)  # no link, even where no file is looked for behind it
    for file in day.files[table.name]:
        why = file.at_a_glance(folder, day.head(table))
        if why:
            raise _not_as_sealed(day, table, file.path, why)


def no_day(root: Path, unsealed: Sequence[Unsealed]) -> UsageError:
    """What to say of a store without a sealed day, whatever was asked of it."""
    beside = f" {told_unsealed(unsealed)}" if unsealed else ""
    return UsageError(
        f"The store {root} holds no sealed day.{beside}",
        hint="Run `lobproof reconstruct`; a day that failed or was cut short is not sealed.",
    )


def within(days: Sequence[SealedDay], start: int | None, end: int | None) -> list[SealedDay]:
    """The days that cover some of a range; ``start`` inclusive, ``end`` exclusive.

    Raises
    ------
    UsageError
        If the range is empty, or the store heard nothing in it: silence would look like a market
        in which nothing happens.
    """
    check_range(start, end)
    check_unit(days, start, end)
    touched = [day for day in days if covers(day, start, end)]
    if not touched:
        raise _nothing_heard(days, start, end)
    return touched


def check_range(start: int | None, end: int | None) -> None:
    """`UsageError` for a range in which there is no time."""
    if start is not None and end is not None and start >= end:
        raise UsageError(
            f"The range from {show_ns(start)} to {show_ns(end)} is empty.",
            hint="start is inclusive, end exclusive: end must be later.",
        )


def _nothing_heard(days: Sequence[SealedDay], start: int | None, end: int | None) -> UsageError:
    return UsageError(
        f"{_named(days)} heard nothing in the range"
        f"{'' if start is None else ' from ' + show_ns(start)}"
        f"{'' if end is None else ' to ' + show_ns(end)}.",
        hint=_heard(days, start, end),
    )


def check_unit(days: Sequence[SealedDay], *times: int | None) -> None:
    """Refuse a time in none of the days that looks like seconds, milliseconds or microseconds.

    As nanoseconds it is one of 1970: a range from there on would hold all there is.

    Raises
    ------
    UsageError
        With what it looks like.
    """
    for time in times:
        other = other_unit(time)
        if time is not None and other and not any(_within(day, time) for day in days):
            raise UsageError(f"{_named(days)} has no sealed day of {show_ns(time)}.", hint=other)


def _within(day: SealedDay, time: int) -> bool:
    return day.span[0] <= time < day.span[1]


def at(days: Sequence[SealedDay], time: int, named: str = "") -> SealedDay:
    """The day that a time belongs to; `UsageError` where there is none, with the time ``named``."""
    for day in reversed(days):
        if _within(day, time):
            return day
    check_unit(days, time)
    raise UsageError(
        f"{_named(days)} has no sealed day of {named or show_ns(time)}.",
        hint=_heard(days, time, time + 1),
    )


def _named(days: Sequence[SealedDay]) -> str:
    return f"{days[0].partition.exchange} {days[0].partition.symbol}"


def _heard(days: Sequence[SealedDay], start: int | None, end: int | None) -> str:
    """What there is instead of a range that is not covered."""
    partial = "".join(
        f"; {day.partition.dt} is a partial day, from {show_ns(day.from_ns)} on"
        for day in days
        if day.from_ns is not None
    )
    outage = "".join(
        f"; nothing was heard from {show_ns(since)} to {show_ns(until)}"
        for day in days
        for since, until in day.coverage.outages
        if (end is None or since < end) and (start is None or start < until)
    )
    return (
        f"It has {show_days(day.partition.dt for day in days)}: events from "
        f"{show_ns(days[0].first_ts)} to {show_ns(days[-1].last_ts)}{partial}{outage}. "
        "`coverage()` shows all that was heard."
    )


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
    days: Sequence[SealedDay], start: int | None = None, end: int | None = None
) -> pl.DataFrame:
    """One row a stream of each day that a range touches; times are null where none was heard.

    Raises
    ------
    UsageError
        If the range is empty, or touches no day.
    """
    check_range(start, end)
    touched = [
        day
        for day in days
        if (end is None or day.span[0] < end) and (start is None or start < day.span[1])
    ]
    if not touched:
        raise _nothing_heard(days, start, end)
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
        for day in touched
        for name in COVERED_STREAMS
        for stream in [day.coverage.streams.get(name)]
        if stream is not None
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def several(days: Sequence[SealedDay]) -> list[list[SealedDay]]:
    """The days of each symbol, in the order in which they come."""
    symbols: dict[tuple[str, str], list[SealedDay]] = {}
    for day in days:
        symbols.setdefault((day.partition.exchange, day.partition.symbol), []).append(day)
    return list(symbols.values())


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


def finest(days: Sequence[SealedDay]) -> Grid:
    """The coarsest grid that holds every day's."""
    grid = days[0].grid
    for day in days[1:]:
        grid = grid.finer(day.grid)
    return grid


def stretches(days: Sequence[SealedDay], times: Int64) -> list[tuple[int, int]]:
    """Rows of ascending times in each of which `last_day` is the same; ends are exclusive."""
    last = int(times[-1]) + 1 if len(times) else 0  # what a seal says may be beyond int64
    turns = {turn for day in days for turn in (*day.span, day.first_ts) if turn < last}
    cuts = np.searchsorted(times, np.array(sorted(turns), np.int64)).tolist()
    return [(a, b) for a, b in pairwise([0, *cuts, len(times)]) if a < b]


def last_day(days: Sequence[SealedDay], time: int, named: str = "") -> SealedDay:
    """The day of the last event up to ``time``: the day of ``time`` itself, or the day before.

    Not the day before a partial one, whose first events are not there.

    Parameters
    ----------
    days
        All days of the symbol, by date.
    time
        Nanoseconds.
    named
        What an error calls the time.

    Raises
    ------
    UsageError
        If no sealed day answers for the time, or it is before the first event.
    """
    touched = at(days, time, named)
    yesterday = day_start(touched.partition.dt) - DAY_NS
    for day in reversed(days):
        before = touched.from_ns is None and day_start(day.partition.dt) == yesterday
        near = day is touched or before or day.span[1] > time
        if near and day.files[EVENTS.name] and day.first_ts <= time:
            return day
    raise UsageError(
        f"{named or show_ns(time)} is before the first event of {touched.partition}.",
        hint=f"Its first event is at {show_ns(touched.first_ts)}.",
    )


def on_grid(instrument: Instrument, grid: Grid) -> Instrument:
    """The instrument with its rules counted on a finer grid."""
    price = 10 ** (grid.price - instrument.price_exponent)
    size = 10 ** (grid.size - instrument.size_exponent)
    return Instrument(
        instrument.exchange,
        instrument.symbol,
        instrument.venue_symbol,
        grid.price,
        grid.size,
        tuple(Rule(r.since_ns, r.tick * price, r.lot * size) for r in instrument.rules),
    )


def symbols(days: Sequence[SealedDay]) -> pl.DataFrame:
    """One row a symbol: exchange, symbol, venue_symbol, days, first and last day."""
    rows = [
        {
            "exchange": day.partition.exchange,
            "symbol": day.partition.symbol,
            "venue_symbol": day.venue_symbol,
            "dt": day.partition.dt,
        }
        for day in days
    ]
    schema = dict.fromkeys(("exchange", "symbol", "venue_symbol", "dt"), pl.String)
    return (
        pl.DataFrame(rows, schema=schema)
        .group_by("exchange", "symbol")
        .agg(
            pl.col("venue_symbol").last(),
            pl.len().alias("days"),
            pl.col("dt").min().alias("first_dt"),
            pl.col("dt").max().alias("last_dt"),
        )
        .sort("exchange", "symbol")
    )


def _day(row: dict[str, object]) -> SealedDay:
    partition = Partition(str(row["exchange"]), str(row["symbol"]), str(row["dt"]))
    try:
        read = files_of(row)
        files = {t.name: tuple(SealedFile(*file) for file in read[t.name]) for t in CONTENT_TABLES}
        inside = f"{partition.folder}/"
        if not all(file.path.startswith(inside) for listed in files.values() for file in listed):
            raise ValueError("it names files of another day")
        return SealedDay(
            partition=partition,
            provenance=str(row["provenance"]),
            instrument=instrument_of(row),
            venue_symbol=str(row["venue_symbol"]),
            first_ts=int(str(row["first_ts"])),
            last_ts=int(str(row["last_ts"])),
            files=files,
            hashes={name: str(row[f"{name}_hash"]) for name in (*files, "content")},
            coverage=Coverage.of(str(row["coverage"])),
            chained=config_of(row).chained,
            spacing=config_of(row).states,
            carried_from=str(row["carried_from"]),
            from_ns=partial_from(row),
        )
    except (ValueError, KeyError) as error:
        raise StoreError(
            f"The seal of {partition} is damaged: {error!r}",
            hint="Reconstruct that day again.",
        ) from error


def _partition(folder: str) -> Partition:
    return Partition(*(piece.split("=", 1)[1] for piece in folder.split("/")))


def _by_folder(root: Path, table: Table, scope: Scope = ALL) -> dict[str, dict[str, int]]:
    """What a Delta table lists: folder of the partition → path → bytes."""
    folders: dict[str, dict[str, int]] = {}
    for path, size in listed_files(open_delta(root, table)).items():
        folder = path.rpartition("/")[0]
        if scope.holds(folder):
            folders.setdefault(folder, {})[path] = size
    return folders


def _not_as_sealed(day: SealedDay, table: Table, path: str, why: str) -> StoreError:
    return StoreError(
        f"{day.partition} is not as it was sealed: {table.name}/{path} {why}.",
        hint="If the day was replaced meanwhile, open the store again. Otherwise reconstruct that "
        "day with overwrite= (--overwrite); `lobproof verify` names all that differs.",
    )
