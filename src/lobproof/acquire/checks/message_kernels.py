"""Kernels of sequence numbers: backwards, messages apart, levels twice; of trade ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.flag_kernels import (
    CANDIDATE,
    DUPLICATE_ROW,
    DUPLICATE_SEQUENCE,
    ID_BACKWARD,
    LEVEL_TWICE,
    MESSAGE_APART,
    MESSAGE_SIZE,
    MESSAGE_TIMES,
    SEQUENCE_BACKWARD,
    SEQUENCE_MISSING,
)
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import INT, Record, Records, integers, record

RING = 1024
"""Messages back in which an equal sequence number is looked for."""
SLOTS = 1 << 17
LARGEST = 1 << 16
"""Most rows of a message whose levels are held against each other."""

MESSAGES = record(
    *integers("messages", "last_sequence", "highest"),
    *integers("rows", "time", "receipt"),  # of the message that is open
    *integers("apart"),  # 1: it was met before
    *integers("longest"),  # most rows of a message
    ("ring", INT, (RING,)),  # sequence numbers of the last messages
)
LEVEL = record(*integers("message", "price_bits", "bid", "size_bits"))
"""A level that a message has set; ``SLOTS`` of them, zero at first, are a table of hashes."""


@kernel
def slot_of(price_bits: int, bid: int) -> int:
    """Where the search for a level begins."""
    mixed = (price_bits ^ (price_bits >> 31) ^ bid) & 0x7FFF_FFFF
    return ((mixed * 0x9E37_79B1) >> 20) & (SLOTS - 1)


@kernel
def met_before(state: Record, sequence: int) -> bool:
    """Whether one of the last ``RING`` messages has that sequence number."""
    ring = state.ring
    at = min(state.messages, RING) - 1
    while at >= 0 and ring[at] != sequence:
        at -= 1
    return bool(at >= 0)


@kernel
def judge_sequences(sequences: Int64, state: Record, flags: Int64) -> None:
    """Flag sequence numbers where every row is a message of its own (``book``)."""
    for row in range(len(sequences)):
        sequence = sequences[row]
        if sequence <= 0:
            flags[row] |= SEQUENCE_MISSING
            continue
        if sequence == state.last_sequence:
            flags[row] |= DUPLICATE_SEQUENCE
        else:
            begin_message(state, sequence, row, flags)


@kernel
def begin_message(state: Record, sequence: int, row: int, flags: Int64) -> None:
    """Note that a message begins, and flag its first row where it goes back."""
    state.apart = 0
    if state.messages != 0 and sequence <= state.highest:
        if sequence < state.last_sequence:
            flags[row] |= SEQUENCE_BACKWARD
        if met_before(state, sequence):
            flags[row] |= MESSAGE_APART
            state.apart = 1
    state.ring[state.messages % RING] = sequence
    state.messages += 1
    state.last_sequence = sequence
    state.highest = max(state.highest, sequence)


@kernel
def judge_messages(
    sequences: Int64,
    times: Int64,
    receipts: Int64,
    bids: NDArray[np.uint8],
    price_bits: Int64,
    size_bits: Int64,
    levels: Records,
    state: Record,
    flags: Int64,
) -> None:
    """Flag what is wrong with messages and their rows (``book_delta_v2``).

    A message is a run of rows with one sequence number. Rows of a message met before are flagged
    ``MESSAGE_APART``, each.

    Parameters
    ----------
    price_bits, size_bits
        The float64 columns viewed as int64.
    levels, state
        ``LEVEL`` (SLOTS,) and ``MESSAGES``; zero at first.
    """
    for row in range(len(sequences)):
        sequence = sequences[row]
        if sequence <= 0:
            flags[row] |= SEQUENCE_MISSING
            state.last_sequence = 0
            continue
        if sequence != state.last_sequence or state.messages == 0:
            begin_message(state, sequence, row, flags)
            state.rows = 0
            state.time = times[row]
            state.receipt = receipts[row]
        elif state.apart != 0:
            flags[row] |= MESSAGE_APART
        state.rows += 1
        state.longest = max(state.longest, state.rows)
        if times[row] != state.time or receipts[row] != state.receipt:
            flags[row] |= MESSAGE_TIMES
        if state.rows > LARGEST:
            flags[row] |= MESSAGE_SIZE
            continue
        message, price, bid = state.messages, price_bits[row], int(bids[row])
        at = slot_of(price, bid)
        while levels[at].message == message and not (
            levels[at].price_bits == price and levels[at].bid == bid
        ):
            at = (at + 1) & (SLOTS - 1)
        level = levels[at]
        if level.message == message:
            flags[row] |= DUPLICATE_ROW if level.size_bits == size_bits[row] else LEVEL_TWICE
        level.message = message
        level.price_bits = price
        level.bid = bid
        level.size_bits = size_bits[row]


@kernel
def judge_ids(ids: Int64, last: int, highest: int, flags: Int64) -> tuple[int, int]:
    """Flag trade ids that go back, and those that may be there twice; the last and highest."""
    for row in range(len(ids)):
        now = ids[row]
        if now == MISSING:
            continue
        if now < last:
            flags[row] |= ID_BACKWARD
        if now <= highest:
            flags[row] |= CANDIDATE
        last = now
        highest = max(highest, now)
    return last, highest
