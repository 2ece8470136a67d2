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
from lobproof.acquire.columns import MISSING
from lobproof.jit import kernel

RING = 1024
"""Messages back in which an equal sequence number is looked for."""
SLOTS = 1 << 17
LARGEST = 1 << 16
"""Most rows of a message whose levels are held against each other."""

STATE = 8
LAST_SEQUENCE, HIGHEST, MESSAGES, ROWS, TIME, RECEIPT, LONGEST, APART = range(STATE)
"""The state of :func:`judge_messages`; ``APART`` is 1 inside a message met before."""


@kernel
def slot_of(price_bits: int, bid: int) -> int:
    """Where the search for a level begins."""
    mixed = (price_bits ^ (price_bits >> 31) ^ bid) & 0x7FFF_FFFF
    return ((mixed * 0x9E37_79B1) >> 20) & (SLOTS - 1)


@kernel
def met_before(sequence: int, ring: NDArray[np.int64], messages: int) -> bool:
    """Whether one of the last ``RING`` messages has that sequence number."""
    at = min(messages, RING) - 1
    while at >= 0 and ring[at] != sequence:
        at -= 1
    return at >= 0


@kernel
def judge_sequences(
    sequences: NDArray[np.int64],
    ring: NDArray[np.int64],
    state: NDArray[np.int64],
    flags: NDArray[np.int64],
) -> None:
    """Flag sequence numbers where every row is a message of its own (``book``)."""
    for row in range(len(sequences)):
        sequence = sequences[row]
        if sequence <= 0:
            flags[row] |= SEQUENCE_MISSING
            continue
        if sequence == state[LAST_SEQUENCE]:
            flags[row] |= DUPLICATE_SEQUENCE
        else:
            begin_message(sequence, row, ring, state, flags)


@kernel
def begin_message(
    sequence: int,
    row: int,
    ring: NDArray[np.int64],
    state: NDArray[np.int64],
    flags: NDArray[np.int64],
) -> None:
    """Note that a message begins, and flag its first row where it goes back."""
    state[APART] = 0
    if state[MESSAGES] and sequence <= state[HIGHEST]:
        if sequence < state[LAST_SEQUENCE]:
            flags[row] |= SEQUENCE_BACKWARD
        if met_before(sequence, ring, state[MESSAGES]):
            flags[row] |= MESSAGE_APART
            state[APART] = 1
    ring[state[MESSAGES] % RING] = sequence
    state[MESSAGES] += 1
    state[LAST_SEQUENCE] = sequence
    state[HIGHEST] = max(state[HIGHEST], sequence)


@kernel
def judge_messages(
    sequences: NDArray[np.int64],
    times: NDArray[np.int64],
    receipts: NDArray[np.int64],
    bids: NDArray[np.uint8],
    price_bits: NDArray[np.int64],
    size_bits: NDArray[np.int64],
    ring: NDArray[np.int64],
    slots: NDArray[np.int64],
    state: NDArray[np.int64],
    flags: NDArray[np.int64],
) -> None:
    """Flag what is wrong with messages and their rows (``book_delta_v2``).

    A message is a run of rows with one sequence number. Rows of a message met before are flagged
    ``MESSAGE_APART``, each.

    Parameters
    ----------
    price_bits, size_bits
        The float64 columns viewed as int64.
    slots
        int64 (SLOTS, 4): message, price bits, side and size bits of levels; zero at first.
    ring
        int64 (RING,): sequence numbers of the last messages.
    state
        int64 (STATE,): zero at first.
    """
    for row in range(len(sequences)):
        sequence = sequences[row]
        if sequence <= 0:
            flags[row] |= SEQUENCE_MISSING
            state[LAST_SEQUENCE] = 0
            continue
        if sequence != state[LAST_SEQUENCE] or state[MESSAGES] == 0:
            begin_message(sequence, row, ring, state, flags)
            state[ROWS] = 0
            state[TIME] = times[row]
            state[RECEIPT] = receipts[row]
        elif state[APART]:
            flags[row] |= MESSAGE_APART
        state[ROWS] += 1
        state[LONGEST] = max(state[LONGEST], state[ROWS])
        if times[row] != state[TIME] or receipts[row] != state[RECEIPT]:
            flags[row] |= MESSAGE_TIMES
        if state[ROWS] > LARGEST:
            flags[row] |= MESSAGE_SIZE
            continue
        message, price, bid = state[MESSAGES], price_bits[row], int(bids[row])
        at = slot_of(price, bid)
        while slots[at, 0] == message and not (slots[at, 1] == price and slots[at, 2] == bid):
            at = (at + 1) & (SLOTS - 1)
        if slots[at, 0] == message:
            flags[row] |= DUPLICATE_ROW if slots[at, 3] == size_bits[row] else LEVEL_TWICE
        slots[at, 0] = message
        slots[at, 1] = price
        slots[at, 2] = bid
        slots[at, 3] = size_bits[row]


@kernel
def judge_ids(
    ids: NDArray[np.int64], last: int, highest: int, flags: NDArray[np.int64]
) -> tuple[int, int]:
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
