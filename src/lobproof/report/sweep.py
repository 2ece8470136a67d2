"""``sweep``: a store's events, replayed once, summed up for the pictures in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lobproof.book import apply_events, book_of
from lobproof.book.event_kernels import new_rebuild
from lobproof.book.kernels import Book, ensure_far_capacity, new_book
from lobproof.errors import StoreError
from lobproof.progress import Progress
from lobproof.readahead import read_ahead
from lobproof.report.axes import PriceGrid, TimeGrid
from lobproof.report.sweep_kernels import (
    AXES,
    COLUMN,
    HOLDS,
    LEVEL,
    SPREAD_BINS,
    Canvas,
    Float64,
    advance,
    fill_bins,
    look,
    paint_all,
    sweep_rows,
)
from lobproof.schema import LEVELS, EventBatch, Int64
from lobproof.schema.records import Records, zeroed
from lobproof.schema.tables import KEYFRAMES
from lobproof.store import Store
from lobproof.store.columns import Grid
from lobproof.store.keyframe import Keyframe
from lobproof.store.views import Numbers, numeric

_WINDOW_TICKS = 1 << 16
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of a store: a symbol, from ``first`` to ``last``, both inclusive, ns."""

    store: Store
    exchange: str
    symbol: str
    first: int
    last: int

    def table(self, name: str, numbers: Numbers = "decimal") -> pl.LazyFrame:
        """Rows of one of the store's tables, times and codes as integers."""
        read = getattr(self.store, name)
        frame: pl.LazyFrame = read(
            self.symbol,
            exchange=self.exchange,
            start=self.first,
            end=self.last + 1,
            numbers=numbers,
            raw=True,
        )
        return frame


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sums over time. Prices and sizes are counts; the arrays are those of ``Canvas``."""

    image: Float64  # (rows, columns): mean size that rested in the cell while there was data
    trades: Float64  # (buy and sell, rows, columns): volume
    columns: Records  # (columns,): COLUMN
    spreads: Float64  # (SPREAD_BINS,): ns of trusted time by spread in ticks
    levels: Records  # (2 sides, LEVELS): LEVEL
    events: int
    messages: int
    trade_count: int
    trades_outside: int  # outside the price window of the image


def sweep(
    part: Part,
    days: Sequence[dict[str, Any]],
    doubts: Int64,
    time: TimeGrid,
    prices: PriceGrid,
    tick: int,
    progress: Progress | None = None,
) -> Sweep:
    """Replay ``days`` (seals that hold events in the part, by date).

    ``doubts`` are disjoint intervals (rows, 2) of time, rising, whose touch is not trusted.
    """
    grid = Grid(*(max(day[f"{name}_exponent"] for day in days) for name in ("price", "size")))
    canvas = _canvas(time, prices, tick, doubts)
    rows = _rows_by_day(part, days)
    book, rebuilds = new_book(_WINDOW_TICKS, tick), new_rebuild()
    batches = part.store.replay(
        part.symbol,
        exchange=part.exchange,
        start=part.first,
        end=part.last + 1,
        batch_rows=_BATCH_ROWS,
    )
    feed = _Feed(
        read_ahead(iter(batches)),
        f"{part.exchange} {part.symbol} in {part.store.path}",
    )
    before: dict[str, Any] | None = None
    total = sum(rows)
    for day, count in zip(days, rows, strict=True):
        start = max(int(day["first_ts"]), part.first)
        if before is None or day["carried_from"] != before["keyframes_hash"]:
            if before is not None:
                _close(canvas, int(before["last_ts"]))
            book, rebuilds = _book_before(part, day, grid, tick)
            canvas.holds.since = start
            fill_bins(canvas, book, start)
            look(canvas, book, rebuilds[0].trust, False)
        for batch in feed.take(count):
            rebuild = rebuilds[0]
            book = ensure_far_capacity(book, len(batch) + int(rebuild.trust.undo.logged))
            sweep_rows(canvas, book, rebuild, batch.rows)
            if progress is not None:
                progress(f"{part.exchange} {part.symbol}", int(canvas.holds.events), total)
        before = day
    _close(canvas, part.last)
    holds = canvas.holds
    covered = np.where(canvas.columns["covered"] > 0, canvas.columns["covered"], 1.0)
    return Sweep(
        canvas.image / covered,
        canvas.trades,
        canvas.columns,
        canvas.spreads,
        canvas.levels,
        *(int(number) for number in (holds.events, holds.messages, holds.trades, holds.outside)),
    )


class _Feed:
    """Batches cut where a day ends, by its number of rows: days may overlap in time."""

    def __init__(self, batches: Any, whose: str) -> None:
        self._batches = iter(batches)
        self._whose = whose
        self._rest = EventBatch.empty()

    def take(self, rows: int) -> Any:
        while rows > 0:
            batch = self._rest if len(self._rest) else next(self._batches, None)
            if batch is None:
                raise StoreError(
                    f"The events of {self._whose} end {rows:,} before their seal says.",
                    hint="`lobproof verify` names what differs; reconstruct those days again.",
                )
            here = batch.slice(0, min(rows, len(batch)))
            self._rest = batch.slice(len(here), len(batch))
            rows -= len(here)
            yield here


def _canvas(time: TimeGrid, prices: PriceGrid, tick: int, doubts: Int64) -> Canvas:
    shape = (prices.rows, time.columns)
    axes = np.array(
        [(time.origin, time.width, time.columns, prices.low, prices.step, prices.rows, tick)], AXES
    )
    return Canvas(
        axes[0],
        zeroed(HOLDS)[0],
        doubts,
        np.zeros((2, 2, LEVELS), np.int64),
        np.zeros(prices.rows),
        np.zeros(prices.rows, np.int64),
        np.zeros(shape),
        np.zeros(time.columns, COLUMN),
        np.zeros(SPREAD_BINS),
        np.zeros((2, LEVELS), LEVEL),
        np.zeros((2, *shape)),
    )


def _rows_by_day(part: Part, days: Sequence[dict[str, Any]]) -> list[int]:
    """Events of each day in the part."""
    if all(part.first <= day["first_ts"] and day["last_ts"] <= part.last for day in days):
        return [int(day["events"]) for day in days]
    found = part.table("events").group_by("dt").len().collect(engine="streaming")
    counts = dict(found.iter_rows())
    return [int(counts.get(day["dt"], 0)) for day in days]


def _close(canvas: Canvas, ts: int) -> None:
    """End a stretch of data: nothing is known to hold after ``ts``."""
    advance(canvas, ts)
    paint_all(canvas, ts)
    canvas.bins[:] = 0.0
    canvas.holds.known = 0


def _book_before(part: Part, day: dict[str, Any], grid: Grid, tick: int) -> tuple[Book, Records]:
    """The book as the day opens or as it stands before the part, and what goes with it."""
    frames = part.store.keyframes(part.symbol, exchange=part.exchange, raw=True)
    frame = Keyframe.before(
        frames.filter(pl.col("dt") == day["dt"]).with_columns(*numeric(KEYFRAMES, grid, "grid")),
        part.first - 1,
        f"{part.exchange} {part.symbol} {day['dt']}",
    )
    book, rebuilds = book_of(frame.book, tick, _WINDOW_TICKS)
    if part.first <= day["first_ts"]:
        return book, rebuilds
    # levels are absolute: events of the keyframe's own instant may come twice
    for batch in part.store.replay(
        part.symbol, exchange=part.exchange, start=frame.ts_order, end=part.first
    ):
        book = apply_events(book, rebuilds, batch, 0, len(batch))
    return book, rebuilds
