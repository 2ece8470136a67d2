"""Kernels that count what facts are about: stamps, digits, messages, trades, rows of ``book``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.stamp_kernels import (
    DAY_NS,
    FLOAT_SECONDS,
    MINUS_ONE,
    MISSING,
    NULL,
    WHOLE_MS,
    WHOLE_US,
    ZERO,
    stamp_of,
)
from lobproof.fixedpoint.float_kernels import MAX_FLOAT_COUNT, NO_GRID, UNITS, float_decimals
from lobproof.jit import kernel
from lobproof.schema import LEVELS, Int8, Int64
from lobproof.schema.plain import BID, NO_SIDE
from lobproof.schema.records import INT, Record, integers, record

Float64 = NDArray[np.float64]

# -- times ---------------------------------------------------------------------------------------

TIMES = record(
    *integers("zero", "minus_one", "null"),  # missing
    *integers("strange"),  # a day or more away from the day
    *integers("whole_ms", "whole_us", "float_seconds", "other"),
    *integers("back"),  # steps back behind the latest
    *integers("latest"),
)
CUT = record(*integers("by_exchange", "by_receipt", "by_neither"))
"""Rows with only the exchange's time within the day, only that of receipt, and neither."""


@kernel
def count_times(counts: Record, times: Int64, start: int) -> None:
    """Add a column of times (ns) of the day that begins at ``start`` to its ``TIMES``."""
    for k in range(len(times)):
        time = times[k]
        stamp = stamp_of(time)
        if stamp == NULL:
            counts.null += 1
        elif stamp == ZERO:
            counts.zero += 1
        elif stamp == MINUS_ONE:
            counts.minus_one += 1
        elif time < start - DAY_NS or time >= start + 2 * DAY_NS:
            counts.strange += 1
        else:
            if time < counts.latest:
                counts.back += 1
            else:
                counts.latest = time
            if stamp == WHOLE_MS:
                counts.whole_ms += 1
            elif stamp == WHOLE_US:
                counts.whole_us += 1
            elif stamp == FLOAT_SECONDS:
                counts.float_seconds += 1
            else:
                counts.other += 1


@kernel
def count_cut(counts: Record, exchange: Int64, receipt: Int64, start: int) -> None:
    """Add rows to ``CUT``, which tells by which time a file is cut; those without a time do not."""
    stop = start + DAY_NS
    for k in range(len(exchange)):
        if exchange[k] > 0 and receipt[k] > 0:
            sent = exchange[k] >= start and exchange[k] < stop
            received = receipt[k] >= start and receipt[k] < stop
            if sent and not received:
                counts.by_exchange += 1
            elif received and not sent:
                counts.by_receipt += 1
            elif not sent:
                counts.by_neither += 1


# -- prices and sizes ----------------------------------------------------------------------------

FINEST = 12
"""Digits after the point beyond which a value counts as being on no grid."""
LAST_TWO = 100
DIGITS = record(
    *integers("zeros", "invalid", "off_grid"),  # invalid: NaN, infinite or negative
    *integers("guess"),  # digits that the last value had
    ("seen", INT, (FINEST + 1, LAST_TWO)),  # by digits after the point, and count modulo 100
)


@kernel
def count_digits(counts: Record, values: Float64) -> float:
    """Add values to ``DIGITS``; returns the largest.

    A value is on the grid of ``e`` digits when the nearest count over ``10**e`` is that very
    float. Counted is the least such, so that no count but one of whole numbers ends in a zero.
    """
    largest = 0.0
    seen = counts.seen
    for k in range(len(values)):
        value = values[k]
        if not (value >= 0.0 and value < np.inf):
            counts.invalid += 1
            continue
        if value == 0.0:
            counts.zeros += 1
            continue
        largest = max(largest, value)
        e = counts.guess
        near = np.rint(value * UNITS[e])
        if near >= MAX_FLOAT_COUNT or near / UNITS[e] != value:
            e = float_decimals(value)
            if e == NO_GRID or e > FINEST:
                counts.off_grid += 1
                continue
            counts.guess = max(counts.guess, e)
            near = np.rint(value * UNITS[e])
        count = np.int64(near)
        while e > 0 and count % 10 == 0:
            count //= 10
            e -= 1
        seen[e, count % LAST_TWO] += 1
    return largest


@kernel
def to_counts(values: Float64, exponent: int, out: Int64) -> None:
    """Nearest counts of ``10**-exponent``; -1 for what is no number of 0 or more."""
    for k in range(len(values)):
        scaled = values[k] * UNITS[exponent]
        out[k] = np.int64(np.rint(scaled)) if scaled >= 0.0 and scaled < 4e18 else -1


# -- messages of book_delta_v2 -------------------------------------------------------------------

REMEMBERED = 1 << 16
"""Numbers of messages that are remembered: each stands where its low bits say."""
_LISTING_ROWS = 100
"""So many rows without a removal may be a snapshot: on recordings no message that removed nothing
had more than 17."""
_SLOTS = 1 << 16
"""Levels that are remembered with their sizes: each stands where its price says."""
_SIGN = -(2**63)

MESSAGES = record(
    *integers("rows", "repeats", "nulls"),  # rows: all, with the number before, without one
    *integers("messages", "backward", "split"),  # all, steps back, of a number seen before
    *integers("ones", "jumps", "ids"),  # steps of one, of more, ids stepped over
    *integers("fitting"),  # messages with at most as many rows as ids
    *integers("mixed"),  # rows with another time than their message
    *integers("listings"),  # long messages that remove nothing and say again what is known
    *integers("known", "said_again"),  # of the open message: levels remembered, of the same size
    ("levels", INT, (_SLOTS,)),  # side and price, as bits
    ("sizes", INT, (_SLOTS,)),  # bits
    *integers("first_rows", "first_zeros", "longest"),
    *integers("open", "number", "exchange", "receipt", "length", "zeros"),  # the open message
    *integers("before"),  # its number
    ("seen", INT, (REMEMBERED,)),
)


@kernel
def start_messages(counts: Record) -> None:
    """Nothing has been seen; the rest of ``MESSAGES`` is zero."""
    counts.before = MISSING
    counts.seen[:] = MISSING


@kernel
def close_message(counts: Record) -> None:
    """Count the open message, which ends here."""
    if counts.open == 0:
        return
    counts.open = 0
    number = counts.number
    length = counts.length
    if counts.messages == 0:
        counts.first_rows = length
        counts.first_zeros = counts.zeros
    counts.messages += 1
    counts.longest = max(counts.longest, length)
    # a change names levels whose size is new, a listing those that stay as they are too
    if length >= _LISTING_ROWS and counts.zeros == 0 and 2 * counts.said_again >= counts.known:
        counts.listings += 1
    slot = number & (REMEMBERED - 1)
    if counts.seen[slot] == number:
        counts.split += 1
    counts.seen[slot] = number
    if counts.before != MISSING:
        step = number - counts.before
        if step < 0:
            counts.backward += 1
        else:
            counts.ids += step
            if step == 1:
                counts.ones += 1
            else:
                counts.jumps += 1
            if length <= step:
                counts.fitting += 1
    counts.before = number


@kernel
def count_messages(
    counts: Record,
    sequence: Int64,
    exchange: Int64,
    receipt: Int64,
    side: Int8,
    price: Int64,
    size: Int64,
) -> None:
    """Add rows to ``MESSAGES``; a message may go on in the next rows.

    ``price`` and ``size`` are the bits of floats.
    """
    for k in range(len(sequence)):
        counts.rows += 1
        if sequence[k] == MISSING:
            counts.nulls += 1
            continue
        if counts.open == 1 and sequence[k] == counts.number:
            counts.repeats += 1
            if exchange[k] != counts.exchange or receipt[k] != counts.receipt:
                counts.mixed += 1
        else:
            close_message(counts)
            counts.open = 1
            counts.number = sequence[k]
            counts.exchange = exchange[k]
            counts.receipt = receipt[k]
            counts.length = 0
            counts.zeros = 0
            counts.known = 0
            counts.said_again = 0
        counts.length += 1
        if size[k] == 0:
            counts.zeros += 1
        level = price[k] ^ _SIGN if side[k] == BID else price[k]
        slot = (level ^ (level >> 16) ^ (level >> 32) ^ (level >> 48)) & (_SLOTS - 1)
        if counts.levels[slot] == level and counts.sizes[slot] != 0:
            counts.known += 1
            if counts.sizes[slot] == size[k]:
                counts.said_again += 1
        counts.levels[slot] = level
        counts.sizes[slot] = size[k]


@kernel
def message_starts(sequence: Int64, starts: Int64) -> int:
    """Write the first row of each run of one sequence number; returns how many there are."""
    n = 0
    for k in range(len(sequence)):
        if k == 0 or sequence[k] != sequence[k - 1]:
            starts[n] = k
            n += 1
    return n


# -- trades --------------------------------------------------------------------------------------

TRADES = record(
    *integers("trades", "unnumbered"),  # rows: all, without an id
    *integers("repeated", "fell", "rose_one", "rose_more"),  # what ids do
    *integers("alike"),  # next ids at one price, side and millisecond
    *integers("id", "milli", "side", "price_bits"),  # of the last trade
)


@kernel
def count_trades(counts: Record, ids: Int64, times: Int64, side: Int8, price_bits: Int64) -> None:
    """Add rows to ``TRADES``; ``price_bits`` are the floats viewed as int64."""
    for k in range(len(ids)):
        counts.trades += 1
        if ids[k] == MISSING:
            counts.unnumbered += 1
            continue
        milli = -1 if times[k] <= 0 else (times[k] + 500) // 1_000_000
        if counts.trades > counts.unnumbered + 1:
            step = ids[k] - counts.id
            if step == 0:
                counts.repeated += 1
            elif step < 0:
                counts.fell += 1
            elif step > 1:
                counts.rose_more += 1
            else:
                counts.rose_one += 1
                if (
                    milli > 0
                    and milli == counts.milli
                    and side[k] == counts.side
                    and price_bits[k] == counts.price_bits
                ):
                    counts.alike += 1
        counts.id = ids[k]
        counts.milli = milli
        counts.side = side[k]
        counts.price_bits = price_bits[k]


# -- rows of book --------------------------------------------------------------------------------

BOOKS = record(
    *integers("rows", "crossed"),
    *integers("unsorted", "short", "empty"),  # out of order; fewer than twenty levels a side; none
    *integers("backward"),  # sequence numbers below the one before
    *integers("last_sequence"),
)
_OUT_OF_ORDER = -1


@kernel
def side_depth(levels: Float64, row: int, side: int) -> int:
    """How many levels a side (1 bid, 2 ask) of a row has; -1 where they are out of order."""
    sign = -1.0 if side == BID else 1.0
    first = (side - 1) * 2 * LEVELS
    depth = 0
    last = -np.inf
    for level in range(LEVELS):
        price = levels[row, first + 2 * level]
        if not (price > 0.0 and levels[row, first + 2 * level + 1] > 0.0):
            continue
        if level != depth or sign * price <= last:
            return _OUT_OF_ORDER
        last = sign * price
        depth += 1
    return depth


@kernel
def count_books(counts: Record, levels: Float64, sequence: Int64) -> None:
    """Add rows to ``BOOKS``."""
    for row in range(len(levels)):
        counts.rows += 1
        bids = side_depth(levels, row, 1)
        asks = side_depth(levels, row, 2)
        if bids == _OUT_OF_ORDER or asks == _OUT_OF_ORDER:
            counts.unsorted += 1
        elif bids == 0 or asks == 0:
            counts.empty += 1
        else:
            if bids < LEVELS or asks < LEVELS:
                counts.short += 1
            if levels[row, 0] >= levels[row, 2 * LEVELS]:
                counts.crossed += 1
        if counts.rows > 1 and sequence[row] < counts.last_sequence:
            counts.backward += 1
        counts.last_sequence = sequence[row]


# -- trades beside the touch of book -------------------------------------------------------------

NEAR_BPS = 25.0
PRINTS = record(
    *integers("seen"),  # trades that were compared
    *integers("at_touch", "inside", "through"),
    *integers("near"),  # within `NEAR_BPS` of the touch
    *integers("sided", "agree"),  # with a taker's side, with one that the price bears out
)


@kernel
def count_prints(
    counts: Record,
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
            counts.seen += 1
            far = 0.0
            if price in (bid, ask):
                counts.at_touch += 1
            elif price > bid and price < ask:
                counts.inside += 1
            else:
                counts.through += 1
                far = (bid - price if price < bid else price - ask) / bid * 1e4
            if far <= NEAR_BPS:
                counts.near += 1
            middle = (bid + ask) / 2
            if sides[trade] != NO_SIDE and price != middle:
                counts.sided += 1
                if (price > middle) == (sides[trade] == BID):
                    counts.agree += 1
        trade += 1
    return trade, book
