"""One pass over stored events that adds up what the pictures show, weighted by time.

What holds between two messages counts for as long as it holds; nothing is sampled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.book.kernels import (
    Book,
    apply_level,
    best_price,
    crossed,
    dump_side,
    side_count,
    top,
)
from lobproof.book.trust_kernels import known_behind, slots_within
from lobproof.jit import kernel
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Int64, Rows
from lobproof.schema.plain import ASK as _ASK
from lobproof.schema.plain import BID as _BID
from lobproof.schema.plain import CLEAR, DELTA, F_DOUBTFUL, F_LAST, SNAPSHOT, TRADE
from lobproof.schema.records import Record
from lobproof.store.rebuild_kernels import apply_events

Float64 = NDArray[np.float64]

# --- what holds now ------------------------------------------------------------------------
SINCE = 0  # time from which it holds
KNOWN = 1  # whether the touch is trusted, as far as the events say
BID, ASK = 2, 3  # best prices, 0 for none
BID_SLOTS, ASK_SLOTS = 4, 5  # trusted levels
DOUBT = 6  # index of the first interval of doubt that is not over
EVENTS, MESSAGES, TRADES, OUTSIDE = 7, 8, 9, 10  # rows, book messages, trades, trades off the grid
BID_END, ASK_END = 11, 12  # far end of the trusted range; as ``END_…`` where there is none
HOLD = 13

END_NONE = -1  # nothing is trusted
END_ALL = -2  # the whole side is

# --- per column ----------------------------------------------------------------------------
COVERED = 0  # ns for which there is data
TRUSTED = 1  # ns with a trusted touch of two sides
SPREAD, SPREAD_LOW, SPREAD_HIGH = 2, 3, 4  # counts × ns, counts, counts
BID_TIME, BID_SUM, ASK_TIME, ASK_SUM = 5, 6, 7, 8  # ns and counts × ns of a trusted best price
BOOK_MESSAGES, TRADE_COUNT, BUY_VOLUME, SELL_VOLUME = 9, 10, 11, 12
BID_FAR, ASK_FAR = 13, 14  # far end of the trusted range as the column ends, or ``END_…``
COLUMN = 15

# --- per level -----------------------------------------------------------------------------
LEVEL_TIME, LEVEL_SIZE, LEVEL_FILLED, LEVEL_DISTANCE = 0, 1, 2, 3
LEVEL = 4

SPREAD_BINS = 4096
"""Spreads of so many ticks and more share the last bin."""


class Canvas(NamedTuple):
    """Where the pass adds up; all arrays are changed in place."""

    grid: Int64  # origin, width, columns; low, step, rows; tick
    hold: Int64  # (HOLD,)
    doubts: Int64  # (intervals, 2): disjoint times of doubt, rising; the end is exclusive
    tops: Int64  # (2 sides, price and size, LEVELS)
    bins: Float64  # (rows,) size that rests now
    since: Int64  # (rows,) time up to which it is in the image
    image: Float64  # (rows, columns) size × ns
    columns: Float64  # (COLUMN, columns)
    spreads: Float64  # (SPREAD_BINS,) ns of trusted time
    levels: Float64  # (2 sides, LEVEL, LEVELS)
    trades: Float64  # (buy and sell, rows, columns) volume


@kernel
def _column(canvas: Canvas, ts: int) -> int:
    column = (ts - canvas.grid[0]) // canvas.grid[1]
    return int(min(max(column, 0), canvas.grid[2] - 1))


@kernel
def _row(canvas: Canvas, price: int) -> int:
    """Row of a price, -1 outside the window."""
    row = (price - canvas.grid[3]) // canvas.grid[4]
    return row if 0 <= row < canvas.grid[5] else -1


@kernel
def _paint(canvas: Canvas, row: int, ts: int) -> None:
    """Bring one row of the image up to ``ts``."""
    at = canvas.since[row]
    size = canvas.bins[row]
    canvas.since[row] = ts
    if size <= 0.0:
        return
    while at < ts:
        column = _column(canvas, at)
        until = canvas.grid[0] + (column + 1) * canvas.grid[1]
        until = ts if until > ts or until <= at else until
        canvas.image[row, column] += size * (until - at)
        at = until


@kernel
def paint_all(canvas: Canvas, ts: int) -> None:
    """Bring the whole image up to ``ts``."""
    for row in range(len(canvas.bins)):
        _paint(canvas, row, ts)


@kernel
def fill_bins(canvas: Canvas, book: Book, ts: int) -> None:
    """Set what rests in each row from the whole book, as of ``ts``."""
    canvas.bins[:] = 0.0
    canvas.since[:] = ts
    for side in (_BID, _ASK):
        count = side_count(book, side)
        prices = np.empty(count, np.int64)
        sizes = np.empty(count, np.int64)
        dump_side(book, side, prices, sizes)
        for k in range(count):
            row = _row(canvas, prices[k])
            if row >= 0:
                canvas.bins[row] += sizes[k]


@kernel
def _in_doubt(canvas: Canvas, ts: int) -> bool:
    """Whether ``ts`` lies in an interval of doubt; times must not go back."""
    at = canvas.hold[DOUBT]
    while at < len(canvas.doubts) and canvas.doubts[at, 1] <= ts:
        at += 1
    canvas.hold[DOUBT] = at
    return bool(at < len(canvas.doubts) and canvas.doubts[at, 0] <= ts)


@kernel
def _add_stretch(canvas: Canvas, start: int, stop: int, known: bool) -> None:
    """Add what holds from ``start`` to ``stop``, all of it in doubt or none."""
    hold = canvas.hold
    bid = hold[BID]
    ask = hold[ASK]
    both = known and bid > 0 and ask > bid
    at = start
    while at < stop:
        column = _column(canvas, at)
        until = canvas.grid[0] + (column + 1) * canvas.grid[1]
        until = stop if until > stop or until <= at else until
        length = float(until - at)
        cell = canvas.columns[:, column]
        cell[COVERED] += length
        cell[BID_FAR] = hold[BID_END] if known else END_NONE
        cell[ASK_FAR] = hold[ASK_END] if known else END_NONE
        if known and bid > 0:
            cell[BID_TIME] += length
            cell[BID_SUM] += bid * length
        if known and ask > 0:
            cell[ASK_TIME] += length
            cell[ASK_SUM] += ask * length
        if both:
            spread = ask - bid
            cell[SPREAD_LOW] = spread if cell[TRUSTED] == 0.0 else min(cell[SPREAD_LOW], spread)
            cell[SPREAD_HIGH] = max(cell[SPREAD_HIGH], spread)
            cell[TRUSTED] += length
            cell[SPREAD] += spread * length
        at = until
    length = float(stop - start)
    if both:
        canvas.spreads[min((ask - bid) // canvas.grid[6], SPREAD_BINS - 1)] += length
    if known:
        for s in range(2):
            best = canvas.tops[s, 0, 0]
            cells = canvas.levels[s]
            for level in range(min(hold[BID_SLOTS + s], LEVELS)):
                cells[LEVEL_TIME, level] += length
                price = canvas.tops[s, 0, level]
                if price > 0:
                    cells[LEVEL_SIZE, level] += canvas.tops[s, 1, level] * length
                    cells[LEVEL_FILLED, level] += length
                    cells[LEVEL_DISTANCE, level] += abs(price - best) / best * length


@kernel
def advance(canvas: Canvas, ts: int) -> None:
    """Add what holds from the last call to ``ts``."""
    hold = canvas.hold
    at = hold[SINCE]
    while at < ts:
        doubtful = _in_doubt(canvas, at)
        stop = ts
        if hold[DOUBT] < len(canvas.doubts):
            edge = canvas.doubts[hold[DOUBT], 1 if doubtful else 0]
            stop = min(ts, edge)
        _add_stretch(canvas, at, stop, hold[KNOWN] != 0 and not doubtful)
        at = stop
    hold[SINCE] = max(hold[SINCE], ts)


@kernel
def look(canvas: Canvas, book: Book, trust: Record, doubtful: bool) -> None:
    """Note the book's touch, its levels, and how far they are trusted."""
    hold = canvas.hold
    hold[KNOWN] = 0 if doubtful or crossed(book) else 1
    for side in (_BID, _ASK):
        s = side - 1
        found = top(book, side, LEVELS, canvas.tops[s, 0], canvas.tops[s, 1])
        hold[BID + s] = best_price(book, side)
        kind, end = known_behind(trust, side)
        hold[BID_SLOTS + s] = slots_within(side, kind, end, canvas.tops[s, 0], found, LEVELS)
        hold[BID_END + s] = END_ALL if kind == EVERYTHING else END_NONE
        if kind == RANGE:
            hold[BID_END + s] = end
        if kind == UNTRUSTED:
            hold[KNOWN] = 0


@kernel
def sweep_rows(canvas: Canvas, book: Book, rebuild: Record, rows: Rows) -> None:
    """Add whole messages. ``book``, ``rebuild``: as of `apply_events`."""
    hold = canvas.hold
    end = len(rows.kind)
    start = 0
    while start < end:
        stop = start
        while stop < end - 1 and not rows.flags[stop] & F_LAST:
            stop += 1
        stop += 1
        ts = rows.ts_order[start]
        what = rows.kind[start]
        column = _column(canvas, ts)
        cell = canvas.columns[:, column]
        if what == TRADE:
            hold[TRADES] += 1
            taker = rows.side[start] - 1
            cell[TRADE_COUNT] += 1
            cell[BUY_VOLUME + taker] += rows.size[start]
            row = _row(canvas, rows.price[start])
            if row < 0:
                hold[OUTSIDE] += 1
            else:
                canvas.trades[taker, row, column] += rows.size[start]
        else:
            hold[MESSAGES] += 1
            cell[BOOK_MESSAGES] += 1
            advance(canvas, ts)
            if what == DELTA:
                for i in range(start, stop):
                    before = apply_level(book, rows.side[i], rows.price[i], rows.size[i])
                    row = _row(canvas, rows.price[i])
                    if row >= 0:
                        _paint(canvas, row, ts)
                        canvas.bins[row] += rows.size[i] - before
            listed = what in (CLEAR, SNAPSHOT)
            if listed:
                paint_all(canvas, ts)
            # levels are absolute: those of a depth message may be set a second time
            apply_events(book, rebuild, rows, start, stop)
            if listed:
                fill_bins(canvas, book, ts)
            look(canvas, book, rebuild.trust, (rows.flags[stop - 1] & F_DOUBTFUL) != 0)
        start = stop
    hold[EVENTS] += end
