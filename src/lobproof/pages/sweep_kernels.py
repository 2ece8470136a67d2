"""One pass over stored events that adds up what the pictures show, weighted by time.

What holds between two messages counts for as long as it holds; nothing is sampled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.book.event_kernels import apply_events, settle_depth
from lobproof.book.kernels import (
    Book,
    best_price,
    crossed,
    dump_side,
    side_count,
    top,
)
from lobproof.book.layout_kernels import head_of, pointer, sign_of
from lobproof.book.trust_kernels import known_behind, slots_within
from lobproof.book.window_kernels import apply_key
from lobproof.jit import allocating, inlined, kernel
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Int64, Rows
from lobproof.schema.plain import (
    ASK,
    BID,
    CLEAR,
    DELTA,
    F_DOUBTFUL,
    F_LAST,
    F_REFUTED,
    SNAPSHOT,
    TRADE,
)
from lobproof.schema.records import FLOAT, INT, Record, Records, integers, record

Float64 = NDArray[np.float64]

END_NONE, END_ALL = -1, -2
"""In place of the far end of a trusted range: nothing is trusted, or the whole side is."""
SPREAD_BINS = 4096
"""Spreads of so many ticks and more share the last bin."""

AXES = record(
    *integers("origin", "width", "columns"),  # of the time, ns
    *integers("low", "step", "rows", "tick"),  # of the prices, counts
)
HOLDS = record(
    ("since", INT),  # time from which it holds
    ("known", INT),  # whether the touch is trusted, as far as the events say
    ("doubt", INT),  # index of the first interval of doubt that is not over
    ("best", INT, (2,)),  # best bid and ask, 0 for none
    ("slots", INT, (2,)),  # trusted levels of each side
    ("ends", INT, (2,)),  # far end of each side's trusted range, or ``END_…``
    *integers("events", "messages", "trades", "outside"),  # rows; of the book; off the grid
)
"""What holds between two messages, and how many there were."""
COLUMN = record(
    ("covered", FLOAT),  # ns for which there is data
    ("trusted", FLOAT),  # ns with a trusted touch of two sides
    ("spread", FLOAT),  # counts * ns
    ("spread_low", FLOAT),
    ("spread_high", FLOAT),
    ("best_time", FLOAT, (2,)),  # ns of a trusted best bid, ask
    ("best_sum", FLOAT, (2,)),  # counts * ns of it
    ("far", FLOAT, (2,)),  # far end of the trusted range as the column ends, or ``END_…``
    ("messages", FLOAT),  # of the book
    ("trades", FLOAT),
    ("volume", FLOAT, (2,)),  # bought, sold
)
LEVEL = record(
    ("known", FLOAT),  # ns for which it is trusted
    ("rests", FLOAT),  # counts of size * ns
    ("filled", FLOAT),  # ns for which something rests
    ("distance", FLOAT),  # from the best price, as a part of it, * ns
)


class Canvas(NamedTuple):
    """Where the pass adds up; all arrays are changed in place."""

    axes: Record  # AXES
    holds: Record  # HOLDS
    doubts: Int64  # (intervals, 2): disjoint times of doubt, rising; the end is exclusive
    tops: Int64  # (2 sides, price and size, LEVELS)
    bins: Float64  # (rows,) size that rests now
    since: Int64  # (rows,) time up to which it is in the image
    image: Float64  # (rows, columns) size × ns
    columns: Records  # (columns,) COLUMN
    spreads: Float64  # (SPREAD_BINS,) ns of trusted time
    levels: Records  # (2 sides, LEVELS) LEVEL
    trades: Float64  # (buy and sell, rows, columns) volume


@kernel
def _column(axes: Record, ts: int) -> int:
    column = (ts - axes.origin) // axes.width
    return int(min(max(column, 0), axes.columns - 1))


@kernel
def _column_end(axes: Record, column: int, at: int, stop: int) -> int:
    """Where the column ends that holds ``at``, or what is added up to ``stop``."""
    end = axes.origin + (column + 1) * axes.width
    return int(end if at < end < stop else stop)


@kernel
def _row(axes: Record, price: int) -> int:
    """Row of a price, -1 outside the window."""
    if price < axes.low:
        return -1
    row = (price - axes.low) // axes.step
    return int(row) if row < axes.rows else -1


@kernel
def _paint(canvas: Canvas, row: int, start: int, stop: int, rests: float) -> None:
    """Add to the image what rested in a row from ``start`` to ``stop``."""
    at = start
    while at < stop:
        column = _column(canvas.axes, at)
        until = _column_end(canvas.axes, column, at, stop)
        canvas.image[row, column] += rests * (until - at)
        at = until


@kernel
def paint_all(canvas: Canvas, ts: int) -> None:
    """Bring the whole image up to ``ts``."""
    for row in range(len(canvas.bins)):
        if canvas.bins[row] > 0.0:
            _paint(canvas, row, canvas.since[row], ts, canvas.bins[row])
        canvas.since[row] = ts


@allocating
def fill_bins(canvas: Canvas, book: Book, ts: int) -> None:
    """Set what rests in each row from the whole book, as of ``ts``."""
    canvas.bins[:] = 0.0
    canvas.since[:] = ts
    for side in (BID, ASK):
        count = side_count(book, side)
        prices = np.empty(count, np.int64)
        sizes = np.empty(count, np.int64)
        dump_side(book, side, prices, sizes)
        for k in range(count):
            row = _row(canvas.axes, prices[k])
            if row >= 0:
                canvas.bins[row] += sizes[k]


@inlined
def _in_doubt(canvas: Canvas, ts: int) -> bool:
    """Whether ``ts`` lies in an interval of doubt; times must not go back."""
    at = canvas.holds.doubt
    while at < len(canvas.doubts) and canvas.doubts[at, 1] <= ts:
        at += 1
    canvas.holds.doubt = at
    return bool(at < len(canvas.doubts) and canvas.doubts[at, 0] <= ts)


@inlined
def _add_stretch(canvas: Canvas, start: int, stop: int, known: bool) -> None:
    """Add what holds from ``start`` to ``stop``, all of it in doubt or none."""
    holds = canvas.holds
    bid = holds.best[0]
    ask = holds.best[1]
    both = known and bid > 0 and ask > bid
    at = start
    while at < stop:
        column = _column(canvas.axes, at)
        until = _column_end(canvas.axes, column, at, stop)
        length = float(until - at)
        cell = canvas.columns[column]
        cell.covered += length
        for s in range(2):
            cell.far[s] = holds.ends[s] if known else END_NONE
            if known and holds.best[s] > 0:
                cell.best_time[s] += length
                cell.best_sum[s] += holds.best[s] * length
        if both:
            spread = float(ask - bid)
            cell.spread_low = spread if cell.trusted == 0.0 else min(cell.spread_low, spread)
            cell.spread_high = max(cell.spread_high, spread)
            cell.trusted += length
            cell.spread += spread * length
        at = until
    length = float(stop - start)
    if both:
        canvas.spreads[min((ask - bid) // canvas.axes.tick, SPREAD_BINS - 1)] += length
    if known:
        for s in range(2):
            best = canvas.tops[s, 0, 0]
            for place in range(min(holds.slots[s], LEVELS)):
                level = canvas.levels[s, place]
                level.known += length
                price = canvas.tops[s, 0, place]
                if price > 0:
                    level.rests += canvas.tops[s, 1, place] * length
                    level.filled += length
                    level.distance += abs(price - best) / best * length


@kernel
def advance(canvas: Canvas, ts: int) -> None:
    """Add what holds from the last call to ``ts``."""
    holds = canvas.holds
    at = holds.since
    while at < ts:
        doubtful = _in_doubt(canvas, at)
        stop = ts
        if holds.doubt < len(canvas.doubts):
            edge = canvas.doubts[holds.doubt, 1 if doubtful else 0]
            stop = min(ts, edge)
        _add_stretch(canvas, at, stop, holds.known != 0 and not doubtful)
        at = stop
    holds.since = max(holds.since, ts)


@kernel
def look(canvas: Canvas, book: Book, trust: Record, doubtful: bool) -> None:
    """Note the book's touch, its levels, and how far they are trusted."""
    holds = canvas.holds
    holds.known = 0 if doubtful or crossed(book) else 1
    for side in (BID, ASK):
        s = side - 1
        found = top(book, side, LEVELS, canvas.tops[s, 0], canvas.tops[s, 1])
        holds.best[s] = best_price(book, side)
        kind, end = known_behind(trust, side)
        holds.slots[s] = slots_within(side, kind, end, canvas.tops[s, 0], found, LEVELS)
        holds.ends[s] = END_ALL if kind == EVERYTHING else END_NONE
        if kind == RANGE:
            holds.ends[s] = end
        if kind == UNTRUSTED:
            holds.known = 0


@kernel
def begin(canvas: Canvas, book: Book, rebuild: Record, ts: int) -> None:
    """Begin at ``ts`` with a book as of `apply_events`."""
    canvas.holds.since = ts
    fill_bins(canvas, book, ts)
    look(canvas, book, rebuild.trust, False)


@kernel
def end(canvas: Canvas, ts: int) -> None:
    """Add what holds until ``ts``; nothing is known to hold after it."""
    advance(canvas, ts)
    paint_all(canvas, ts)


@kernel
def _set_levels(
    canvas: Canvas, book: Book, rows: Rows, start: int, stop: int, ts: int, column: int
) -> None:
    """Set the levels of a depth message, and note in the image what changes."""
    raw = pointer(book)
    begun = canvas.axes.origin + column * canvas.axes.width
    low = canvas.axes.low
    step = canvas.axes.step
    count = canvas.axes.rows
    bins = canvas.bins
    since = canvas.since
    image = canvas.image
    for i in range(start, stop):
        price = rows.price[i]
        size = rows.size[i]
        side = rows.side[i]
        before = apply_key(raw, head_of(side), sign_of(side) * price, size)
        if size != before and price >= low:
            row = (price - low) // step
            if row < count:
                rests = bins[row]
                at = since[row]
                since[row] = ts
                bins[row] = rests + (size - before)
                if rests > 0.0 and at < ts:
                    if at >= begun:
                        image[row, column] += rests * (ts - at)
                    else:
                        _paint(canvas, row, at, ts, rests)


@kernel
def sweep_rows(canvas: Canvas, book: Book, rebuild: Record, rows: Rows) -> None:
    """Add whole messages. ``book``, ``rebuild``: as of `apply_events`."""
    holds = canvas.holds
    end = len(rows.kind)
    start = 0
    while start < end:
        stop = start
        while stop < end - 1 and not rows.flags[stop] & F_LAST:
            stop += 1
        stop += 1
        ts = rows.ts_order[start]
        what = rows.kind[start]
        column = _column(canvas.axes, ts)
        cell = canvas.columns[column]
        if what == TRADE:
            holds.trades += 1
            taker = rows.side[start] - 1
            cell.trades += 1
            cell.volume[taker] += rows.size[start]
            row = _row(canvas.axes, rows.price[start])
            if row < 0:
                holds.outside += 1
            else:
                canvas.trades[taker, row, column] += rows.size[start]
        else:
            holds.messages += 1
            cell.messages += 1
            advance(canvas, ts)
            refuted = rows.flags[start] & F_REFUTED != 0  # it undoes a snapshot first
            if what == DELTA and not refuted:
                _set_levels(canvas, book, rows, start, stop, ts, column)
                settle_depth(book, rebuild, rows, start)
            elif refuted or what in (CLEAR, SNAPSHOT):
                paint_all(canvas, ts)
                apply_events(book, rebuild, rows, start, stop)
                fill_bins(canvas, book, ts)
            else:
                apply_events(book, rebuild, rows, start, stop)
            look(canvas, book, rebuild.trust, (rows.flags[stop - 1] & F_DOUBTFUL) != 0)
        start = stop
    holds.events += end
