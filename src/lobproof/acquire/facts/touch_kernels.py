"""Kernels over rows of ``book`` by themselves, and over trades beside the touch that they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import LEVELS, Int8, Int64

Float64 = NDArray[np.float64]

BOOKS, CROSSED, UNSORTED, SHORT, EMPTY, BACKWARD, LAST = 0, 1, 2, 3, 4, 5, 6
BOOK_SLOTS = 7
"""Counts of rows of ``book``: all, crossed, with levels out of order, with fewer than twenty levels
on a side, with an empty side, with a sequence number below the one before; then that number."""


@kernel
def side_depth(levels: Float64, row: int, side: int) -> int:
    """How many levels a side (1 bid, 2 ask) of a row has; -1 where they are out of order."""
    sign = -1.0 if side == 1 else 1.0
    first = (side - 1) * 2 * LEVELS
    depth = 0
    last = -np.inf
    for level in range(LEVELS):
        price = levels[row, first + 2 * level]
        if not (price > 0.0 and levels[row, first + 2 * level + 1] > 0.0):
            continue
        if level != depth or sign * price <= last:
            return -1
        last = sign * price
        depth += 1
    return depth


@kernel
def count_books(counts: Int64, levels: Float64, sequence: Int64) -> None:
    """Add rows of ``book``."""
    for row in range(len(levels)):
        counts[BOOKS] += 1
        bids = side_depth(levels, row, 1)
        asks = side_depth(levels, row, 2)
        if bids < 0 or asks < 0:
            counts[UNSORTED] += 1
        elif bids == 0 or asks == 0:
            counts[EMPTY] += 1
        else:
            if bids < LEVELS or asks < LEVELS:
                counts[SHORT] += 1
            if levels[row, 0] >= levels[row, 2 * LEVELS]:
                counts[CROSSED] += 1
        if counts[BOOKS] > 1 and sequence[row] < counts[LAST]:
            counts[BACKWARD] += 1
        counts[LAST] = sequence[row]


SEEN, AT_TOUCH, INSIDE, THROUGH, NEAR, AGREE, SIDED = 0, 1, 2, 3, 4, 5, 6
TRADE_SLOTS = 7
"""Counts of trades: compared, at the touch, inside the spread, through the touch, within
``NEAR_BPS`` of it; with a taker's side that the price bears out, with a side at all."""

NEAR_BPS = 25.0


@kernel
def count_prints(
    counts: Int64,
    touch: Float64,
    times: Int64,
    prices: Float64,
    sides: Int8,
    trade: int,
    book_times: Int64,
    books: Float64,
    book: int,
    last_books: bool,
) -> tuple[int, int]:
    """Hold trades against the touch of the last row of ``book`` at or before their time.

    ``touch`` is the bid and ask in force, ``books`` are best bid and ask by row. Returns the next
    trade and row; it stops before the trades' end where further rows are needed
    (``last_books``: there are none).
    """
    while trade < len(times):
        time = times[trade]
        if time <= 0:
            trade += 1
            continue
        while book < len(book_times) and (book_times[book] <= time):
            if book_times[book] > 0:
                touch[0] = books[book, 0]
                touch[1] = books[book, 1]
            book += 1
        if book == len(book_times) and not last_books:
            return trade, book
        bid = touch[0]
        ask = touch[1]
        price = prices[trade]
        if bid > 0.0 and ask > bid and price > 0.0:
            counts[SEEN] += 1
            far = 0.0
            if price in (bid, ask):
                counts[AT_TOUCH] += 1
            elif price > bid and price < ask:
                counts[INSIDE] += 1
            else:
                counts[THROUGH] += 1
                far = (bid - price if price < bid else price - ask) / bid * 1e4
            if far <= NEAR_BPS:
                counts[NEAR] += 1
            middle = (bid + ask) / 2
            if sides[trade] != 0 and price != middle:
                counts[SIDED] += 1
                if (price > middle) == (sides[trade] == 1):
                    counts[AGREE] += 1
        trade += 1
    return trade, book
