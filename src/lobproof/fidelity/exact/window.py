"""The store as the checks see it: the days in question, in whole messages, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.errors import StoreError
from lobproof.instruments import Instrument
from lobproof.readahead import read_ahead
from lobproof.schema import (
    DISTRUSTS,
    LEVELS,
    Flag,
    Kind,
    Order,
    Severity,
    speaks_of_the_feed,
)
from lobproof.schema.declared import Declared
from lobproof.store import Store, partial_from
from lobproof.store.seal import config_of

BATCH_ROWS = 1 << 18
TOUCH = ("bid_0_price", "bid_0_size", "ask_0_price", "ask_0_size")
LEVEL_COLUMNS = {
    side: (
        [f"{side}_{level}_price" for level in range(LEVELS)],
        [f"{side}_{level}_size" for level in range(LEVELS)],
    )
    for side in ("bid", "ask")
}
"""Columns of ``states`` by side: prices and sizes, best first."""


def _nobody(_: int) -> None:
    """Is told of rows in vain."""


@dataclass(frozen=True)
class Window:
    """A symbol of a store and the days of it that are looked at, by date."""

    store: Store
    exchange: str
    symbol: str
    days: tuple[str, ...]
    read: Callable[[int], None] = _nobody
    """Is told how many rows were read, each time."""

    @cached_property
    def instruments(self) -> dict[str, Instrument]:
        """The instrument of each day."""
        return {
            dt: self.store.instrument(self.symbol, dt, exchange=self.exchange) for dt in self.days
        }

    @cached_property
    def chained(self) -> bool:
        """Whether the ids of the days' feeds form a chain; those of Crypto Lake do not."""
        return all(config_of(row).chained for row in self.seals().iter_rows(named=True))

    @cached_property
    def orders(self) -> dict[str, Order]:
        """How book and trades of each day became one order, as its seal says."""
        return {row["dt"]: config_of(row).order for row in self.seals().iter_rows(named=True)}

    @cached_property
    def by_receipt(self) -> frozenset[str]:
        """Days that receive times order, looked at or not, and those beside them.

        Around midnight the recorder's day is not always the exchange's.
        """
        found = (
            date.fromisoformat(row["dt"])
            for row in self._all_seals().iter_rows(named=True)
            if config_of(row).ordered_by == "receive"
        )
        return frozenset(
            (day + timedelta(days=apart)).isoformat() for day in found for apart in (-1, 0, 1)
        )

    @cached_property
    def declared(self) -> Declared:
        """What the days' streams are by their names; nothing where the days differ in it."""
        found = {config_of(row).declared for row in self.seals().iter_rows(named=True)}
        return found.pop() if len(found) == 1 else Declared()

    @cached_property
    def begins(self) -> dict[str, int]:
        """Of the partial days: where they begin, in ns."""
        found = {row["dt"]: partial_from(row) for row in self.seals().iter_rows(named=True)}
        return {dt: start for dt, start in found.items() if start is not None}

    @cached_property
    def known_at_snapshots(self) -> tuple[str, ...]:
        """The days whose strategy stores no level changes: their book is known at snapshots."""
        return tuple(self.seals().filter(pl.col("strategy") != "full")["dt"])

    def only(self, dt: str) -> Window:
        """The same of one day."""
        return replace(self, days=(dt,))

    def by_day(self) -> list[Window]:
        """The same, a day each."""
        return [self.only(dt) for dt in self.days]

    def joined(self, before: str, after: str) -> bool:
        """Whether a day goes on where another one ends, or is the same."""
        days = (date.fromisoformat(after) - date.fromisoformat(before)).days
        return days == 0 or (days == 1 and after not in self.begins)

    def seals(self) -> pl.DataFrame:
        """The seals of the days."""
        return self._all_seals().filter(pl.col("dt").is_in(self.days))

    def _all_seals(self) -> pl.DataFrame:
        return self.store.days().filter(
            (pl.col("exchange") == self.exchange) & (pl.col("symbol") == self.symbol)
        )

    def table(self, name: str) -> pl.LazyFrame:
        """One of the store's tables as it is stored, over these days."""
        return pl.concat(
            self.store.stored(name, dt, self.symbol, exchange=self.exchange) for dt in self.days
        )

    def _frames(self, name: str, rows: int) -> Iterator[pl.DataFrame]:
        """A table in stored order, in frames of at most so many rows."""
        for dt in self.days:
            groups = self.store.stored_groups(name, dt, self.symbol, exchange=self.exchange)
            for group in read_ahead(groups, depth=1):
                _check_nulls(name, dt, group)
                for frame in group.iter_slices(rows):
                    self.read(frame.height)
                    yield frame

    def events(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Events in stored order, in frames of whole messages."""
        held: list[pl.DataFrame] = []
        for frame in self._frames("events", BATCH_ROWS):
            batch = frame.select("dt", "event_id", "flags", *columns) if columns else frame
            ends = batch.select(last_rows().arg_true()).to_series()
            if not len(ends):
                held.append(batch)
                continue
            stop = int(ends[-1]) + 1
            yield pl.concat([*held, batch.head(stop)])
            held = [batch.slice(stop)] if stop < batch.height else []
        if held:
            yield pl.concat(held)

    def states(self) -> Iterator[pl.DataFrame]:
        """States in stored order."""
        return self._frames("states", BATCH_ROWS >> 2)

    def doubts(self) -> pl.DataFrame:
        """Findings that put the touch in doubt: dt, first_event_id, last_event_id, code."""
        return (
            self.table("quality")
            .filter(pl.col("severity") >= int(Severity.DOUBT))
            .select("dt", "first_event_id", "last_event_id", "code")
            .collect()
        )


def _check_nulls(table: str, dt: str, rows: pl.DataFrame) -> None:
    """No column of a stored table has nulls: they would be compared as equal to anything."""
    counts = rows.null_count().row(0, named=True)
    lacking = [name for name, count in counts.items() if count]
    if lacking:
        raise StoreError(
            f"{table} of {dt} has nulls in the column {lacking[0]}",
            hint="Reconstruct that day again.",
        )


def depth_rows() -> pl.Expr:
    """Rows of depth messages: level changes, and the one row of an empty message."""
    speaks: pl.Expr = speaks_of_the_feed(pl.col("flags"), pl.col("prev_sequence"))
    empty = (pl.col("kind") == int(Kind.MARK)) & ~speaks
    return (pl.col("kind") == int(Kind.DELTA)) | (empty & (pl.col("sequence") >= 0))


def book_gaps() -> pl.Expr:
    """Marks that say that depth messages are missing."""
    flags = pl.col("flags") & int(Flag.GAP | Flag.TRADES)
    return (pl.col("kind") == int(Kind.MARK)) & (flags == int(Flag.GAP))


def doubt_marks() -> pl.Expr:
    """Marks that take all trust away without naming a hole: what feeds without a chain have.

    An empty depth message can carry ``DRIFT`` too; where there is a chain it has an id before.
    """
    said = (pl.col("flags") & DISTRUSTS) != 0
    return (pl.col("kind") == int(Kind.MARK)) & said & (pl.col("prev_sequence") < 0)


def snapshot_rows() -> pl.Expr:
    """Rows of stored snapshots, with the CLEAR that those begin with which anchor the book."""
    return pl.col("kind").is_in([int(Kind.CLEAR), int(Kind.SNAPSHOT)])


def last_rows() -> pl.Expr:
    """Last rows of messages."""
    return (pl.col("flags") & int(Flag.LAST)) != 0


def inside(frame: pl.DataFrame, intervals: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row's ``dt, event_id`` lies in one of the closed intervals of `doubts`."""
    found = np.zeros(frame.height, np.bool_)
    if not intervals.height or not frame.height:
        return found
    ids = frame["event_id"].to_numpy()
    for (dt,), rows in intervals.sort("first_event_id").group_by("dt", maintain_order=True):
        starts = rows["first_event_id"].to_numpy()
        ends = np.maximum.accumulate(rows["last_event_id"].to_numpy())
        before = np.searchsorted(starts, ids, "right") - 1
        covered = (before >= 0) & (ends[np.maximum(before, 0)] >= ids)
        found |= covered & (frame["dt"] == dt).to_numpy()
    return found
