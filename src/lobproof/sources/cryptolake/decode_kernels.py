"""Kernels from Crypto Lake's columns to the columns of batches, one pass over the rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.fixedpoint.float_kernels import float_to_count
from lobproof.fixedpoint.kernels import MAX_COUNT, OK
from lobproof.jit import kernel
from lobproof.schema import UNORDERED, Int8, Int32, Int64, Rows
from lobproof.schema.plain import (
    ASK,
    BID,
    F_GAP,
    F_INVALID,
    F_LAST,
    F_TRADES,
    MARK,
    NO_SIDE,
)
from lobproof.schema.records import Record, integers, record

# further statuses of a row, beside those of fixedpoint
NO_VALUE = 10  # no price or size of a market
TOO_LONG = 11  # a message that does not end
IN_SIZE = 32
"""Added to a status that is of the row's size, and not of its price."""

FILL = record(
    *integers("filled"),  # rows so far
    *integers("first"),  # first row of the message that has not ended
    *integers("unreadable"),  # rows so far that hold no level
)
"""A batch of deltas that is being filled."""

HALF = (1 << 31) - 1
FACTOR = 0x9E3779B1


@kernel
def to_microsecond(time: int) -> int:
    """The nearest microsecond, in ns; 0 for what is no time (0 and below).

    The vendor's times were once float seconds, cut off at a grid of 256 ns: never more than that
    from the microsecond that was meant.
    """
    if time <= 0:
        return 0
    rest = time % 1000
    time -= rest
    if rest >= 500 and time <= MAX_COUNT - 1000:
        time += 1000
    return time


@kernel
def market_count(value: float, exponent: int, least: int) -> tuple[int, int]:
    """Count of a value of at least ``least`` counts, 0 or 1, and a status.

    ``NO_VALUE`` where it is no price or size of a market: not finite, below 0, or 0 where that is
    less than the least. Another one but ``OK`` where the grid does not hold it.
    """
    if not math.isfinite(value) or value < 0.0 or (value == 0.0 and least > 0):
        return 0, NO_VALUE
    return float_to_count(value, exponent)


@kernel
def close_message(
    start: int, stop: int, side: Int8, price: Int64, size: Int64, flags: Int32
) -> None:
    """Set LAST on a message's last row, and at its half where it is there twice in a row."""
    flags[stop - 1] |= F_LAST
    half = (stop - start) // 2
    if half == 0 or (stop - start) % 2 == 1:
        return
    for i in range(start, start + half):
        if price[i] != price[i + half] or size[i] != size[i + half] or side[i] != side[i + half]:
            return
    flags[start + half - 1] |= F_LAST


class DeltaColumns(NamedTuple):
    """Columns of ``book_delta_v2``, as they are read."""

    times: Int64
    receipts: Int64
    sequences: Int64
    bids: NDArray[np.uint8]
    """Bitmap of ``side_is_bid``, row 0 at ``bit``."""
    bit: int
    prices: NDArray[np.float64]
    sizes: NDArray[np.float64]


@kernel
def append_deltas(
    state: Record,
    begin: int,
    end: int,
    source: DeltaColumns,
    price_exponent: int,
    size_exponent: int,
    wanted: int,
    longest: int,
    origin: int,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int]:
    """Append rows ``begin:end`` of the input to a batch; the row to go on at, and a status.

    Stops before ``end`` at a row that begins a message when the batch holds at least ``wanted``
    rows of whole ones (``state.first == state.filled`` then), at one for which there is no room,
    at one whose value the grid does not hold (a status other than ``OK``), and at one more than
    the ``longest`` message may have. The message that the rows end in stays open: whether its last
    row is the last shows only in the next row. A row that holds no level, because its price or
    size is none, becomes a MARK where it stands, with the row's number in
    ``prev_sequence``.

    Parameters
    ----------
    state
        A ``FILL``; all 0 for an empty batch.
    origin
        Number of the input's row 0 among all rows of the table.
    out, ts_recv
        Columns of the batch, of one length; rows from ``state.filled`` on are written, and there
        all rows are deltas without flags.
    """
    sequence, side, price, size, flags = out.sequence, out.side, out.price, out.size, out.flags
    ts_event = out.ts_event
    times, receipts, sequences = source.times, source.receipts, source.sequences
    bids, bit, prices, sizes = source.bids, source.bit, source.prices, source.sizes
    at = state.filled
    first = state.first
    room = len(flags)
    row = begin
    status = OK
    while row < end:
        number = sequences[row]
        if at > first and number != sequence[at - 1]:
            close_message(first, at, side, price, size, flags)
            first = at
        if at - first == longest:
            status = TOO_LONG
            break
        if at == room or (at == first and at >= wanted):
            break
        place = bit + row
        side[at] = BID if (bids[place >> 3] >> (place & 7)) & 1 else ASK
        value = prices[row]
        count, of_price = float_to_count(value, price_exponent)
        value = sizes[row]
        amount, of_size = float_to_count(value, size_exponent)
        if of_price != OK or count <= 0 or of_size != OK or amount < 0:
            count, of_price = market_count(prices[row], price_exponent, 1)
            amount, of_size = market_count(sizes[row], size_exponent, 0)
            if of_price == NO_VALUE or of_size == NO_VALUE:
                out.kind[at] = MARK
                flags[at] = F_INVALID | F_GAP
                out.prev_sequence[at] = origin + row
                side[at] = NO_SIDE
                count = amount = 0
                state.unreadable += 1
            else:
                status = of_price if of_price != OK else IN_SIZE + of_size
                break
        price[at] = count
        size[at] = amount
        sequence[at] = number
        ts_event[at] = to_microsecond(times[row])
        ts_recv[at] = to_microsecond(receipts[row])
        at += 1
        row += 1
    state.filled = at
    state.first = first
    return row, status


class TradeColumns(NamedTuple):
    """Columns of ``trades``, as they are read; ``takers`` are 1 (buy), 2 (sell) or else bad."""

    times: Int64
    receipts: Int64
    takers: Int8
    prices: NDArray[np.float64]
    amounts: NDArray[np.float64]


@kernel
def write_trades(
    source: TradeColumns,
    price_exponent: int,
    size_exponent: int,
    origin: int,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int]:
    """Write the trades to columns of their length; the first row off the grid and its status.

    Returns the number of rows and ``OK`` when the grid holds all. A row that is no trade, because
    its price, amount or taker is none, becomes a MARK without an id, with the row's number in
    ``prev_sequence``; ``origin`` is that of row 0.
    """
    side, price, size, ts_event = out.side, out.price, out.size, out.ts_event
    times, receipts, takers = source.times, source.receipts, source.takers
    prices, amounts = source.prices, source.amounts
    for row in range(len(prices)):
        count, of_price = market_count(prices[row], price_exponent, 1)
        amount, of_size = market_count(amounts[row], size_exponent, 1)
        taker = takers[row]
        if of_price == NO_VALUE or of_size == NO_VALUE or (taker != BID and taker != ASK):
            out.kind[row] = MARK
            out.flags[row] = F_INVALID | F_TRADES | F_LAST
            out.sequence[row] = -1
            out.prev_sequence[row] = origin + row
            count = amount = taker = 0
        elif of_price != OK or of_size != OK:
            return row, of_price if of_price != OK else IN_SIZE + of_size
        price[row] = count
        size[row] = amount
        side[row] = taker
        ts_event[row] = to_microsecond(times[row])
        ts_recv[row] = to_microsecond(receipts[row])
    return len(prices), OK


@kernel
def text_ids(offsets: Int64, data: NDArray[np.uint8], out: Int64) -> None:
    """Write a number from ``UNORDERED`` up for each text, by its bytes alone.

    Text ``k`` is ``data[offsets[k]:offsets[k + 1]]``.
    """
    for k in range(len(out)):
        low = offsets[k + 1] - offsets[k]
        high = 0
        for i in range(offsets[k], offsets[k + 1]):
            low = ((low ^ data[i]) * FACTOR + high) & HALF
            high = (high * FACTOR + (low >> 7) + data[i]) & HALF
        out[k] = UNORDERED | (high << 31 | low)


@kernel
def write_times(times: Int64, out: Int64) -> None:
    """Write the times, to the microsecond."""
    for row in range(len(times)):
        out[row] = to_microsecond(times[row])


@kernel
def write_slot(
    prices: NDArray[np.float64],
    sizes: NDArray[np.float64],
    price_exponent: int,
    size_exponent: int,
    slot: int,
    levels: Int64,
) -> tuple[int, int]:
    """Write price and size of one slot of a book to ``levels[:, slot:slot + 2]``.

    Returns the first row off the grid and its status, or the number of rows and ``OK``. Where price
    or size is 0 or NaN the slot is empty: 0, 0. Where one of them is infinite or below 0 the slot
    is half a level (a size without a price), which no book can have.
    """
    for row in range(len(prices)):
        price = prices[row]
        size = sizes[row]
        if price == 0.0 or size == 0.0 or math.isnan(price) or math.isnan(size):
            levels[row, slot] = 0
            levels[row, slot + 1] = 0
            continue
        count, of_price = market_count(price, price_exponent, 1)
        amount, of_size = market_count(size, size_exponent, 1)
        if of_price == NO_VALUE or of_size == NO_VALUE:
            count, amount = 0, 1
        elif of_price != OK or of_size != OK:
            return row, of_price if of_price != OK else IN_SIZE + of_size
        levels[row, slot] = count
        levels[row, slot + 1] = amount
    return len(prices), OK
