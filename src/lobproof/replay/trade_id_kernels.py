"""Kernels that judge each trade by its id."""

from __future__ import annotations

import numpy as np

from lobproof.jit import kernel
from lobproof.replay.integrity_kernels import (
    DUPLICATE,
    OTHER,
    OUT_OF_ORDER,
    SAME,
    UNSEEN,
    V_COLLAPSE,
    V_FLAGS,
    V_GAP,
    V_GAP_FROM,
    V_GAP_TO,
    content_of,
    mixed,
)
from lobproof.schema import UNORDERED, Int8, Int64

# trade state: last and lowest id, a ring of missing id ranges (exclusive start, inclusive end)
LAST_TRADE = 0
LOWEST_TRADE = 1  # id before the lowest one seen
RING_NEXT = 2
RING = 3
RING_RANGES = 1024
# of trades without a chain: how many have no id, how many have one, the lowest and the highest id
NO_ID = RING + 2 * RING_RANGES
IDS = NO_ID + 1
LOWEST_ID = NO_ID + 2
HIGHEST_ID = NO_ID + 3
# a hash of the last trades: how many came, the last of each bucket, then of each trade its id, what
# stands for its content, and the one before it in its bucket
TRADES_SEEN = NO_ID + 4
BUCKETS = TRADES_SEEN + 1
WINDOW = 1 << 14
"""A trade came before where id and content are those of one of so many trades before it."""
SEEN = BUCKETS + WINDOW
TRADE_STATE = SEEN + 3 * WINDOW


@kernel
def add_range(state: Int64, low: int, high: int) -> None:
    """Remember the ids above ``low`` up to ``high`` as missing, if there are any."""
    if high > low:
        slot = state[RING_NEXT]
        state[RING + 2 * slot] = low
        state[RING + 2 * slot + 1] = high
        state[RING_NEXT] = (slot + 1) % RING_RANGES


@kernel
def note_trade(state: Int64, trade_id: int, content: int) -> int:
    """Remember a trade; whether one of its id came lately, and with the same content."""
    bucket = BUCKETS + mixed(trade_id, 0) % WINDOW
    count = state[TRADES_SEEN]
    found = UNSEEN
    earlier = state[bucket]
    while earlier > max(count - WINDOW, 0):
        at = SEEN + 3 * ((earlier - 1) % WINDOW)
        if state[at] == trade_id:
            found = max(found, SAME if state[at + 1] == content else OTHER)
        earlier = state[at + 2]
    at = SEEN + 3 * (count % WINDOW)
    state[at] = trade_id
    state[at + 1] = content
    state[at + 2] = state[bucket]
    state[bucket] = count + 1
    state[TRADES_SEEN] = count + 1
    return found


@kernel
def judge_trades(
    state: Int64,
    side: Int8,
    price: Int64,
    size: Int64,
    sequence: Int64,
    prev_sequence: Int64,
    verdicts: Int64,
) -> int:
    """Judge each trade (one row each) by its id; returns how many verdicts are not empty.

    Ids in a chain: a late one that fills a known hole, or lies below all seen, is a trade out of
    order; any other is a duplicate, unless that id came lately with other content. Without a chain
    a duplicate has id and content of one of the last ``WINDOW`` trades, and all else is kept: out
    of order where the id goes back, unless it is of text (``UNORDERED`` and above), or none (below
    0).
    """
    judged = 0
    for i in range(sequence.shape[0]):
        verdict = verdicts[i]
        verdict[:] = 0
        trade_id = sequence[i]
        before = prev_sequence[i]
        last = state[LAST_TRADE]
        if trade_id < 0:
            state[NO_ID] += 1 if before < 0 else 0
            continue
        seen = note_trade(state, trade_id, content_of(i, i + 1, side, price, size))
        if before < 0:
            if seen == SAME:
                verdict[V_COLLAPSE] = DUPLICATE
            elif trade_id < UNORDERED:
                if trade_id < last:
                    verdict[V_FLAGS] = OUT_OF_ORDER
                state[LAST_TRADE] = max(last, trade_id)
                if seen == UNSEEN:
                    none = state[IDS] == 0
                    state[LOWEST_ID] = trade_id if none else min(state[LOWEST_ID], trade_id)
                    state[HIGHEST_ID] = max(state[HIGHEST_ID], trade_id)
                    state[IDS] += 1
        elif last >= 0 and trade_id <= last:
            late = trade_id <= state[LOWEST_TRADE]
            if late:
                # what lies between it and the lowest before may come still
                add_range(state, trade_id, state[LOWEST_TRADE])
                state[LOWEST_TRADE] = before
            for r in range(0 if late else RING_RANGES):
                low = state[RING + 2 * r]
                high = state[RING + 2 * r + 1]
                if low < trade_id <= high:
                    late = True
                    # ids are filled from the front; a hole in the middle is cut in two
                    state[RING + 2 * r] = trade_id
                    if before > low:
                        add_range(state, low, before)
                    break
            if late or seen == OTHER:
                verdict[V_FLAGS] = OUT_OF_ORDER
            else:
                verdict[V_COLLAPSE] = DUPLICATE
        else:
            if last >= 0 and before > last:
                verdict[V_GAP] = 1
                verdict[V_GAP_FROM] = last
                verdict[V_GAP_TO] = before
                add_range(state, last, before)
            if last < 0:
                state[LOWEST_TRADE] = before
            state[LAST_TRADE] = trade_id
        if verdict[V_COLLAPSE] != 0 or verdict[V_GAP] != 0 or verdict[V_FLAGS] != 0:
            judged += 1
    return judged


def new_trade_state() -> Int64:
    """State of :func:`judge_trades` before the first trade."""
    state = np.zeros(TRADE_STATE, np.int64)
    state[LAST_TRADE] = -1
    return state
