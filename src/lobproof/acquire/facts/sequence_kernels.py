"""Kernels over sequence numbers: messages of ``book_delta_v2``, rows of ``book``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.columns import MISSING
from lobproof.jit import kernel
from lobproof.schema import Int8, Int64

ROWS, REPEATS, MESSAGES, BACKWARD, SPLIT, NULLS = 0, 1, 2, 3, 4, 5
ONES, JUMPS, FITTING, IDS = 6, 7, 8, 9
MIXED, LISTINGS, FIRST_ROWS, FIRST_ZEROS, LONGEST = 10, 11, 12, 13, 14
_NOW, _EXCHANGE, _RECEIPT, _LENGTH, _ZEROS, _OPEN, _BEFORE = 15, 16, 17, 18, 19, 20, 21
MESSAGE_SLOTS = 22
"""Counts of messages (runs of one sequence number): rows, rows that repeat the one before,
messages, steps back, messages whose number was seen before, null numbers; steps of one, steps of
more, messages with at most as many rows as ids, ids stepped over; rows with another time than
their message, long messages that remove nothing; rows and removals of the first message, rows of
the longest; then the open message and the number before it."""

SEEN = 1 << 16
"""Length of the table of numbers seen: a number stands where its low bits say."""

_LISTING_ROWS = 100
"""So many rows without a removal are a snapshot: on recordings no message that removed nothing
had more than 17."""


@kernel
def start_messages(counts: Int64, seen: Int64) -> None:
    """Set everything to nothing seen."""
    counts[:] = 0
    counts[_BEFORE] = MISSING
    seen[:] = MISSING


@kernel
def close_message(counts: Int64, seen: Int64) -> None:
    """Count the open message, which ends here."""
    if counts[_OPEN] == 0:
        return
    counts[_OPEN] = 0
    now = counts[_NOW]
    before = counts[_BEFORE]
    length = counts[_LENGTH]
    if counts[MESSAGES] == 0:
        counts[FIRST_ROWS] = length
        counts[FIRST_ZEROS] = counts[_ZEROS]
    counts[MESSAGES] += 1
    counts[LONGEST] = max(counts[LONGEST], length)
    if length >= _LISTING_ROWS and counts[_ZEROS] == 0:
        counts[LISTINGS] += 1
    slot = now & (SEEN - 1)
    if seen[slot] == now:
        counts[SPLIT] += 1
    seen[slot] = now
    if before != MISSING:
        step = now - before
        if step < 0:
            counts[BACKWARD] += 1
        else:
            counts[IDS] += step
            if step == 1:
                counts[ONES] += 1
            else:
                counts[JUMPS] += 1
            if length <= step:
                counts[FITTING] += 1
    counts[_BEFORE] = now


@kernel
def count_messages(
    counts: Int64,
    seen: Int64,
    sequence: Int64,
    exchange: Int64,
    receipt: Int64,
    size: NDArray[np.float64],
) -> None:
    """Add rows of ``book_delta_v2``; a message may go on in the next rows."""
    for k in range(len(sequence)):
        counts[ROWS] += 1
        if sequence[k] == MISSING:
            counts[NULLS] += 1
            continue
        if counts[_OPEN] == 1 and sequence[k] == counts[_NOW]:
            counts[REPEATS] += 1
            if exchange[k] != counts[_EXCHANGE] or receipt[k] != counts[_RECEIPT]:
                counts[MIXED] += 1
        else:
            close_message(counts, seen)
            counts[_OPEN] = 1
            counts[_NOW] = sequence[k]
            counts[_EXCHANGE] = exchange[k]
            counts[_RECEIPT] = receipt[k]
            counts[_LENGTH] = 0
            counts[_ZEROS] = 0
        counts[_LENGTH] += 1
        if size[k] == 0.0:
            counts[_ZEROS] += 1


@kernel
def message_starts(sequence: Int64, starts: Int64) -> int:
    """Write the first row of each run of one sequence number; returns how many there are."""
    n = 0
    for k in range(len(sequence)):
        if k == 0 or sequence[k] != sequence[k - 1]:
            starts[n] = k
            n += 1
    return n


TRADES, TWICE, FELL, ROSE_ONE, ROSE_MORE, ALIKE, NO_ID = 0, 1, 2, 3, 4, 5, 6
_ID, _TIME, _SIDE, _PRICE = 7, 8, 9, 10
TRADE_SLOTS = 11
"""Counts of trades: rows, ids repeated, ids that fall, rise by one, rise by more, next ids at one
price, side and millisecond; ids missing; then the last trade (its price as the bits of a float)."""


@kernel
def count_trades(counts: Int64, ids: Int64, times: Int64, side: Int8, price_bits: Int64) -> None:
    """Add rows of ``trades``."""
    for k in range(len(ids)):
        counts[TRADES] += 1
        if ids[k] == MISSING:
            counts[NO_ID] += 1
            continue
        milli = -1 if times[k] <= 0 else (times[k] + 500) // 1_000_000
        if counts[TRADES] > counts[NO_ID] + 1:
            step = ids[k] - counts[_ID]
            if step == 0:
                counts[TWICE] += 1
            elif step < 0:
                counts[FELL] += 1
            elif step > 1:
                counts[ROSE_MORE] += 1
            else:
                counts[ROSE_ONE] += 1
                if (
                    milli > 0
                    and milli == counts[_TIME]
                    and side[k] == counts[_SIDE]
                    and price_bits[k] == counts[_PRICE]
                ):
                    counts[ALIKE] += 1
        counts[_ID] = ids[k]
        counts[_TIME] = milli
        counts[_SIDE] = side[k]
        counts[_PRICE] = price_bits[k]
