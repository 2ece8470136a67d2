"""Kernels of gate A that look at every row of `events`: which do not belong where they stand.

Each gives how many rows are wrong, and the first of them; -1 without one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.fixedpoint.kernels import on_grid
from lobproof.jit import inlined, kernel
from lobproof.schema import Int8, Int32, Int64, speaks_of_the_feed
from lobproof.schema.plain import CLEAR, DELTA, F_BAD_TS, F_LAST, MARK, SNAPSHOT, TRADE

BOOK_CLOCK, TRADE_CLOCK, MARK_CLOCK, CLOCKS = range(4)
_DAY_NS = 86_400_000_000_000

_speaks = kernel(speaks_of_the_feed)


class Ordered(NamedTuple):
    """Columns of events that tell their order and the message that they belong to."""

    event_id: Int64
    ts_order: Int64
    ts_event: Int64
    sequence: Int64
    prev_sequence: Int64
    kind: Int8
    flags: Int32


@kernel
def order_faults(
    rows: Ordered,
    before: Ordered,
    same_day: bool,
    trade_first: bool,
    clocks: Int64,
    timed: bool,
    lag: int,
) -> tuple[int, int]:
    """Rows that do not follow on the one before: ``before`` has that of the first, if there is one.

    Where days are ``timed``, rows too that end a message which stands at another time than its own.

    Parameters
    ----------
    rows, before
        The next rows, and the last one of those before or none.
    same_day
        Whether that one is of the same day.
    trade_first
        What goes first on a tie.
    clocks
        ``ts_order`` (ns) of the last message of the book, of trades, and of the marks of either, in
        the day; 0 before the first. They go on.
    timed
        Whether the messages' own times order the day.
    lag
        How much earlier (ns) than its own time a message of the book stands, but on the same day.
    """
    wrong, first = 0, -1
    for i in range(rows.event_id.shape[0]):
        untimely = timed and rows.flags[i] & F_LAST != 0 and _untimely(rows, i, clocks, lag)
        if i > 0:
            fault = _misplaced(rows, i, rows, i - 1, True, trade_first)
        elif before.event_id.shape[0] > 0:
            fault = _misplaced(rows, 0, before, 0, same_day, trade_first)
        else:
            fault = rows.event_id[0] != 0
        if fault or untimely or (rows.kind[i] == TRADE and not rows.flags[i] & F_LAST):
            if wrong == 0:
                first = i
            wrong += 1
    return wrong, first


@inlined
def _misplaced(
    rows: Ordered, i: int, before: Ordered, j: int, same_day: bool, trade_first: bool
) -> bool:
    """Whether row ``i`` does not follow on row ``j`` of ``before``."""
    kind, kind_before = rows.kind[i], before.kind[j]
    same_time = rows.ts_order[i] == before.ts_order[j]
    expected = before.event_id[j] + 1 if same_day else 0
    fault = bool(rows.event_id[i] != expected or rows.ts_order[i] < before.ts_order[j])
    if not before.flags[j] & F_LAST:  # a message that goes on
        fault |= not (
            same_day
            and same_time
            and rows.sequence[i] == before.sequence[j]
            and rows.prev_sequence[i] == before.prev_sequence[j]
            and rows.ts_event[i] == before.ts_event[j]
            and (kind == kind_before or (kind_before == CLEAR and kind == SNAPSHOT))
        )
    if same_day and same_time:
        ahead, behind = (kind_before, kind) if trade_first else (kind, kind_before)
        fault |= behind == TRADE and ahead in (DELTA, SNAPSHOT, CLEAR)
    return fault


@inlined
def _untimely(rows: Ordered, i: int, clocks: Int64, lag: int) -> bool:
    """Whether the message that ends at row ``i`` has neither its own time nor its stream's clock.

    Nothing is asked of snapshots, of marks, and of a time that is missing or flagged as no good. A
    mark may be of either stream, and moves its clock. The first message of a stream may come later
    than its time: the day before, or what a partial day leaves out, may have moved the clock.
    """
    order, own, kind = rows.ts_order[i], rows.ts_event[i], rows.kind[i]
    if kind == MARK and (rows.sequence[i] < 0 or _speaks(rows.flags[i], rows.prev_sequence[i])):
        clocks[MARK_CLOCK] = order
        return False
    stream = TRADE_CLOCK if kind == TRADE else BOOK_CLOCK
    clock = clocks[stream]
    clocks[stream] = order
    if own <= 0 or rows.flags[i] & F_BAD_TS or kind in (SNAPSHOT, CLEAR):
        return False
    time = own if kind == TRADE else max(own - lag, own - own % _DAY_NS)
    if clock == 0:
        return bool(order < time)
    expected = max(time, clock)
    return bool(order != expected and order != max(expected, clocks[MARK_CLOCK]))


@kernel
def grid_faults(
    kind: Int8,
    price: NDArray[np.uint64],
    size: NDArray[np.uint64],
    price_power: int,
    size_power: int,
) -> tuple[int, int]:
    """Rows with a price or size that is no multiple of ``10**power``, or of an impossible sign.

    ``price`` and ``size`` (n, 2) are the low and high halves of decimals. Those of trades and
    levels are above zero, but that a change may remove a level; all others are zero.
    """
    wrong, first = 0, -1
    for i in range(kind.shape[0]):
        price_low, price_high = int(price[i, 0]), int(price[i, 1])
        size_low, size_high = int(size[i, 0]), int(size[i, 1])
        no_price = price_low | price_high == 0
        no_size = size_low | size_high == 0
        if kind[i] == DELTA or kind[i] == SNAPSHOT or kind[i] == TRADE:
            fault = (
                no_price
                or price_high >> 63 != 0
                or size_high >> 63 != 0
                or (no_size and kind[i] != DELTA)
                or not on_grid(price_low, price_high, price_power)
                or not on_grid(size_low, size_high, size_power)
            )
        else:
            fault = not (no_price and no_size)
        if fault:
            if wrong == 0:
                first = i
            wrong += 1
    return wrong, first
