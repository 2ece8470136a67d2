"""``sweep``: a store's events, replayed once, summed up for the pictures in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lobproof.book.kernels import Book, ensure_far_capacity, new_book
from lobproof.errors import StoreError
from lobproof.fixedpoint import from_decimal128
from lobproof.report.axes import PriceGrid, TimeGrid
from lobproof.report.sweep_kernels import (
    BOOK_MESSAGES,
    COLUMN,
    COVERED,
    EVENTS,
    HOLD,
    KNOWN,
    LEVEL,
    MESSAGES,
    OUTSIDE,
    SINCE,
    SPREAD_BINS,
    TRADES,
    Canvas,
    Float64,
    advance,
    fill_bins,
    look,
    paint_all,
    sweep_rows,
)
from lobproof.schema import LEVELS, EventBatch, Int64
from lobproof.schema.records import Records
from lobproof.store import Store
from lobproof.store.bookview import book_of
from lobproof.store.keyframe import Keyframe
from lobproof.store.rebuild_kernels import apply_events, new_rebuild

_WINDOW_TICKS = 1 << 16
_BATCH_ROWS = 1 << 16

Progress = Callable[[int, int], None]
"""Called with events done and events in all."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sums over time. Prices and sizes are counts; the arrays are those of ``Canvas``."""

    image: Float64  # (rows, columns): mean size that rested in the cell while there was data
    trades: Float64  # (buy and sell, rows, columns): volume
    columns: Float64  # (COLUMN, columns)
    spreads: Float64  # (SPREAD_BINS,): ns of trusted time by spread in ticks
    levels: Float64  # (2 sides, LEVEL, LEVELS)
    events: int
    messages: int
    trade_count: int
    trades_outside: int  # outside the price window of the image


def sweep(
    store: Store,
    exchange: str,
    symbol: str,
    days: Sequence[dict[str, Any]],
    span: tuple[int, int],
    doubts: Int64,
    time: TimeGrid,
    prices: PriceGrid,
    tick: int,
    progress: Progress | None = None,
) -> Sweep:
    """Replay ``days`` (seals that hold events in ``span``, both ends inclusive, by date).

    ``doubts`` are disjoint intervals (rows, 2) of time, rising, whose touch is not trusted.
    """
    exponents = tuple(max(day[name] for day in days) for name in _EXPONENTS)
    canvas = _canvas(time, prices, tick, doubts)
    rows = _rows_by_day(store, exchange, symbol, days, span)
    book, rebuilds = new_book(_WINDOW_TICKS, tick), new_rebuild()
    feed = _Feed(
        store.replay(
            symbol, exchange=exchange, start=span[0], end=span[1] + 1, batch_rows=_BATCH_ROWS
        ),
        f"{exchange} {symbol} in {store.path}",
    )
    before: dict[str, Any] | None = None
    total = sum(rows)
    for day, count in zip(days, rows, strict=True):
        start = max(int(day["first_ts"]), span[0])
        if before is None or day["carried_from"] != before["keyframes_hash"]:
            if before is not None:
                _close(canvas, int(before["last_ts"]))
            book, rebuilds = _book_before(store, exchange, symbol, day, span[0], exponents, tick)
            canvas.hold[SINCE] = start
            fill_bins(canvas, book, start)
            look(canvas, book, rebuilds[0].trust, False)
        for batch in feed.take(count):
            rebuild = rebuilds[0]
            book = ensure_far_capacity(book, len(batch) + int(rebuild.trust.undo.logged))
            sweep_rows(canvas, book, rebuild, batch.rows)
            if progress is not None:
                progress(int(canvas.hold[EVENTS]), total)
        before = day
    _close(canvas, span[1])
    hold = canvas.hold
    covered = np.where(canvas.columns[COVERED] > 0, canvas.columns[COVERED], 1.0)
    return Sweep(
        canvas.image / covered,
        canvas.trades,
        canvas.columns,
        canvas.spreads,
        canvas.levels,
        *(int(hold[at]) for at in (EVENTS, MESSAGES, TRADES, OUTSIDE)),
    )


_EXPONENTS = ("price_exponent", "size_exponent")


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
    return Canvas(
        np.array(
            [time.origin, time.width, time.columns, prices.low, prices.step, prices.rows, tick],
            np.int64,
        ),
        np.zeros(HOLD, np.int64),
        doubts,
        np.zeros((2, 2, LEVELS), np.int64),
        np.zeros(prices.rows),
        np.zeros(prices.rows, np.int64),
        np.zeros(shape),
        np.zeros((COLUMN, time.columns)),
        np.zeros(SPREAD_BINS),
        np.zeros((2, LEVEL, LEVELS)),
        np.zeros((2, *shape)),
    )


def _rows_by_day(
    store: Store, exchange: str, symbol: str, days: Sequence[dict[str, Any]], span: tuple[int, int]
) -> list[int]:
    """Events of each day in the span."""
    if all(span[0] <= day["first_ts"] and day["last_ts"] <= span[1] for day in days):
        return [int(day["events"]) for day in days]
    found = (
        store.events(symbol, exchange=exchange, start=span[0], end=span[1] + 1, raw=True)
        .group_by("dt")
        .len()
        .collect(engine="streaming")
    )
    counts = dict(found.iter_rows())
    return [int(counts.get(day["dt"], 0)) for day in days]


def _close(canvas: Canvas, ts: int) -> None:
    """End a stretch of data: nothing is known to hold after ``ts``."""
    advance(canvas, ts)
    paint_all(canvas, ts)
    canvas.bins[:] = 0.0
    canvas.hold[KNOWN] = 0


def _book_before(
    store: Store,
    exchange: str,
    symbol: str,
    day: dict[str, Any],
    start: int,
    exponents: tuple[int, ...],
    tick: int,
) -> tuple[Book, Records]:
    """The book as the day opens or as it stands before ``start``, and what goes with it."""
    frames = store.keyframes(symbol, exchange=exchange, raw=True).filter(
        (pl.col("dt") == day["dt"])
        & ((pl.col("event_id") < 0) | (pl.col("awaits") == 0) & (pl.col("ts_order") < start))
    )
    rows = frames.filter(pl.col("event_id") == pl.col("event_id").max()).collect()
    scales = {"price": 0, "size": 1, "trusted_to": 0, "listed_to": 0}
    counted = {
        name: from_decimal128(rows[name].to_arrow(), exponents[scale])
        for name, scale in scales.items()
    }
    frame = Keyframe.of(rows.with_columns(**{n: pl.Series(c) for n, c in counted.items()}))
    book, rebuilds = book_of(frame, tick)
    if start <= day["first_ts"]:
        return book, rebuilds
    # levels are absolute: events of the keyframe's own instant may come twice
    rebuild = rebuilds[0]
    for batch in store.replay(symbol, exchange=exchange, start=frame.ts_order, end=start):
        book = ensure_far_capacity(book, len(batch) + int(rebuild.trust.undo.logged))
        apply_events(book, rebuild, batch.rows, 0, len(batch))
    return book, rebuilds


__all__ = ["BOOK_MESSAGES", "Progress", "Sweep", "sweep"]
