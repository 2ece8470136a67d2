"""``Survey``: what must be known of a day's files before they are replayed.

It follows from their bytes alone: a killed run leaves it in its checkpoint, so that the next one
begins at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.pipeline.feed import Open
from lobproof.pipeline.job import Strategy
from lobproof.pipeline.told import Row, of_the_day
from lobproof.replay import TradePlaces, in_time
from lobproof.schema import Clock, EventBatch, Finding, Order
from lobproof.sources.binance.venue import order_of
from lobproof.sources.cryptolake.chunks import (
    CHUNK_ROWS,
    LakeFile,
    chunks,
    closed_files,
    ids,
    integers,
)
from lobproof.sources.cryptolake.decode_kernels import write_times
from lobproof.sources.cryptolake.footer import book_clock
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.lag import Lag, measure_lag
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.cryptolake.times import Times, survey_times
from lobproof.sources.golden import MISSING_SHARE
from lobproof.store import CheckpointError, Partition, list_checkpoints, read_checkpoint


@dataclass(frozen=True, slots=True)
class Survey:
    """The decimal grid, and the times, of the files of a symbol-day.

    ``whole``: the grid is that of every value. Else it is that of a sample, and decoding all of
    the files is what shows that it holds them. ``lag``: of the deltas' clock behind the trades',
    where the venue's depth messages have two times; ``book_clock``: which one the files say it is.
    ``receive_days``: those (since 1970) that receive times order, for want of others;
    ``shuffled``: trades stand in no order, of ids or of times, and must be sorted. ``rows``: of
    each table.
    """

    instrument: Instrument
    times: Times
    whole: bool
    lag: Lag | None = None
    book_clock: Clock = "E"
    receive_days: Sequence[int] = ()
    shuffled: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def made(
        cls, paths: Mapping[str, Sequence[Path]], exchange: str, symbol: str, dt: str = ""
    ) -> Self:
        """Look into the files of a day, by table; errors are those of the two surveys."""
        # each is looked at once: the others take over what its footer says
        files = {table: closed_files(table, names) for table, names in paths.items()}
        times = survey_times(files, dt)
        lag = measure_lag(files) if order_of(exchange).book_clock != "E" else None
        told = [book_clock(file.footer) for file in files.get("book_delta_v2", ())[:1]]
        clock: Clock = "T" if told == ["T"] else "E"
        try:
            grid, whole = infer_grid(files, exchange, symbol, whole=False), False
        except GridError:  # of the sample's first bad value, which need not be the day's
            grid, whole = infer_grid(files, exchange, symbol), True
        days: Sequence[int] = ()
        if any(share >= MISSING_SHARE for share in times.missing.values()):
            number = int(np.datetime64(dt, "D").astype(np.int64))
            days = number - 1, number, number + 1
        shuffled = _shuffled(
            files.get("trades", ()), TradePlaces(times.offsets.get("trades"), days)
        )
        rows = {table: sum(file.rows for file in of_table) for table, of_table in files.items()}
        return cls(grid, times, whole, lag, clock, days, shuffled, rows)

    @classmethod
    def saved(cls, out: Path, where: Partition, content: Sequence[str]) -> Self | None:
        """What a killed run found in files of the same hashes; None without its checkpoint."""
        for path in list_checkpoints(out, where):
            try:
                saved = read_checkpoint(path)
            except CheckpointError:
                continue  # told where the run would go on from it
            if saved is not None and saved.document["content"] == list(content):
                values = saved.document["survey"]
                return cls(
                    Instrument.from_dict(values["instrument"]),
                    Times(**values["times"]),
                    values["whole"],
                    None if values["lag"] is None else Lag(**values["lag"]),
                    values["book_clock"],
                    tuple(values["receive_days"]),
                    values["shuffled"],
                    values["rows"],
                )
        return None

    def of_all_values(self, files: Mapping[str, Sequence[Path]]) -> Self:
        """The same with the grid of every value."""
        if self.whole:
            return self
        instrument = infer_grid(files, self.instrument.exchange, self.instrument.symbol)
        return replace(self, instrument=instrument, whole=True)

    @property
    def order(self) -> Order:
        """How the streams become one."""
        # receive times are of one clock
        lag_ns = 0 if self.receive_days or self.lag is None else self.lag.ns
        venue = order_of(self.instrument.exchange)
        return replace(venue, book_clock=self.book_clock, lag_ns=lag_ns)

    def notes(self) -> list[str]:
        """What the user is told of it, line by line."""
        lines = [] if self.lag is None else [str(self.lag)]
        return lines + ["trades are out of order: sorted by time"] * self.shuffled

    def in_order(
        self, trades: Callable[[int], Generator[EventBatch]], batch_rows: int
    ) -> Open[EventBatch]:
        """The stream of trades, sorted where it must be."""

        def by_time(start: int) -> Generator[EventBatch]:
            places = TradePlaces(self.times.offsets.get("trades"), self.receive_days)
            return in_time(trades, places, batch_rows, start)

        return by_time if self.shuffled else trades

    def offsets(self, strategy: Strategy) -> tuple[int | None, int | None, int | None]:
        """Of the streams of a replay: book, trades, vendor rows."""
        of = self.times.offsets.get
        if strategy == "full":
            return of("book_delta_v2"), of("trades"), of("book")
        return of("book"), of("trades"), None

    def told(self, trades: int, strategy: Strategy) -> tuple[Row, ...]:
        """What is known of the whole day before its replay; ``trades``: rows of that table.

        A table that no clock can place makes a day doubtful whose book is made from it.
        """
        off = self.times.off
        of_book = ("book_delta_v2", "book") if strategy == "full" else ("book",)
        doubted = [name for name in self.times.apart if name in of_book]
        found = [
            of_the_day(
                Finding.TABLE_APART if name in doubted else Finding.CLOCK,
                1,
                TABLES.index(name),
                off[name],
            )
            for name in sorted(off)
        ]
        if not trades:
            found.append(of_the_day(Finding.TRADES_ABSENT, 0, 1))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "instrument": self.instrument.to_dict(),
            "times": asdict(self.times),
            "whole": self.whole,
            "lag": None if self.lag is None else asdict(self.lag),
            "book_clock": self.book_clock,
            "receive_days": list(self.receive_days),
            "shuffled": self.shuffled,
            "rows": dict(self.rows),
        }


def _shuffled(trades: Sequence[LakeFile], places: TradePlaces) -> bool:
    for chunk in chunks("trades", trades, ("timestamp", "receipt_timestamp", "id"), CHUNK_ROWS):
        sent, received = np.empty(len(chunk), np.int64), np.empty(len(chunk), np.int64)
        write_times(integers(chunk, "timestamp", 0), sent)
        write_times(integers(chunk, "receipt_timestamp", 0), received)
        places.add(sent, received, ids(chunk).copy())
        if places.shuffled:
            return True
    return False
