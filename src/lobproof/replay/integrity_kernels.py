"""Kernels that judge each message of a stream by its ids, venue-neutrally.

State and verdicts are plain int64 arrays, so that a stream may be cut anywhere.
"""

from __future__ import annotations

import numpy as np

from lobproof.jit import kernel
from lobproof.schema import Flag, Int8, Int32, Int64, Kind, Side

LAST = int(Flag.LAST)
SNAPSHOT = int(Kind.SNAPSHOT)
CLEAR = int(Kind.CLEAR)
MARK = int(Kind.MARK)
BID = int(Side.BID)
ASK = int(Side.ASK)
INVALID = int(Flag.INVALID)
GAP = int(Flag.GAP)
RESYNC = int(Flag.RESYNC)
DUPLICATE = int(Flag.DUPLICATE)
OUT_OF_ORDER = int(Flag.OUT_OF_ORDER)

# book state
LAST_SEQUENCE = 0  # of the last applied depth message; -1 before the first
SNAPSHOT_SEQUENCE = 1  # of the last snapshot since then; -1 with none
ANCHORED = 2  # 1 from a valid snapshot until a gap
SEEDED = 3  # 1 once a snapshot was valid
LAST_EVENT = 4  # exchange time of the last applied depth message
RECENT_NEXT = 5
RECENT = 6  # ids of the last applied depth messages: what comes again, and what comes late
RECENT_IDS = 1024
BOOK_STATE = RECENT + RECENT_IDS

# trade state: last and lowest id, a ring of missing id ranges (exclusive start, inclusive end)
LAST_TRADE = 0
LOWEST_TRADE = 1  # id before the lowest one seen
RING_NEXT = 2
RING = 3
RING_RANGES = 1024
TRADE_STATE = RING + 2 * RING_RANGES

# verdicts of one message
V_COLLAPSE = 0  # flags of the MARK row that stands in for the message; 0 keeps it
V_GAP = 1  # 1: a GAP mark goes before it
V_GAP_FROM = 2  # last id before the gap
V_GAP_TO = 3  # last missing id
V_CLEAR = 4  # 1: a CLEAR row opens the message
V_FLAGS = 5  # flags added to every row of the message
V_GAP_FLAGS = 6  # flags added to the GAP mark
VERDICT = 7


@kernel
def message_ends(flags: Int32, ends: Int64) -> int:
    """Write the index one past each message's last row into ``ends``; returns their number."""
    count = 0
    for i in range(flags.shape[0]):
        if flags[i] & LAST:
            ends[count] = i + 1
            count += 1
    return count


@kernel
def snapshot_is_valid(start: int, stop: int, side: Int8, price: Int64, size: Int64) -> bool:
    """Whether rows ``start:stop`` list bids, then asks, best first, uncrossed, sizes above 0."""
    best_bid = 0
    best_ask = 0
    previous_side = BID
    previous = 0
    for i in range(start, stop):
        if size[i] <= 0 or price[i] <= 0 or side[i] < previous_side:
            return False
        if side[i] == BID:
            if best_bid == 0:
                best_bid = price[i]
            elif price[i] >= previous:
                return False
        else:
            if best_ask == 0:
                best_ask = price[i]
            elif price[i] <= previous:
                return False
        previous = price[i]
        previous_side = side[i]
    return best_bid == 0 or best_ask == 0 or best_bid < best_ask


@kernel
def is_recent(state: Int64, sequence: int) -> bool:
    """Whether a depth message of this id was applied lately."""
    found = False
    for k in range(RECENT_IDS):
        found |= state[RECENT + k] == sequence
    return found


@kernel
def judge_book(
    state: Int64,
    ends: Int64,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
    sequence: Int64,
    prev_sequence: Int64,
    ts_event: Int64,
    verdicts: Int64,
) -> int:
    """Judge each book message by the chain rule; returns how many verdicts are not empty.

    A depth message is next when its ``prev_sequence`` is the last applied ``sequence``, or, right
    after a snapshot, when the snapshot's id lies in ``[prev_sequence, sequence)``. A feed without
    a chain has ``prev_sequence`` -1: there, only going backwards is seen, and a message that does
    so, unless it came before, breaks the chain: what it changed is not in the book. A snapshot
    older than what was applied would move the book back, and one that lists nothing (a MARK whose
    two ids are the same) says nothing: both are left out. Ids that go back while the exchange's
    time goes on are no late message but a new beginning: the chain breaks there, and goes on with
    them. A snapshot that opens with CLEAR needs no anchor; where no depth messages are, its
    ids may begin anew too.
    """
    judged = 0
    start = 0
    for m in range(ends.shape[0]):
        stop = ends[m]
        verdict = verdicts[m]
        verdict[:] = 0
        ids_until = sequence[start]
        ids_from = prev_sequence[start]
        last = state[LAST_SEQUENCE]
        snapshot = state[SNAPSHOT_SEQUENCE]
        if kind[start] in (SNAPSHOT, CLEAR):
            opens = 1 if kind[start] == CLEAR else 0
            if not snapshot_is_valid(start + opens, stop, side, price, size):
                verdict[V_COLLAPSE] = INVALID
            elif ids_until < max(last, snapshot) and not (
                opens and last < 0 and ts_event[start] > state[LAST_EVENT] > 0
            ):
                verdict[V_COLLAPSE] = OUT_OF_ORDER
            else:
                if opens:
                    if ids_until < snapshot:
                        verdict[V_GAP] = 1
                        verdict[V_GAP_FROM] = snapshot
                        verdict[V_GAP_TO] = ids_until
                        verdict[V_GAP_FLAGS] = OUT_OF_ORDER
                    state[LAST_EVENT] = ts_event[start]
                elif state[ANCHORED] == 0:
                    verdict[V_CLEAR] = 1
                    if state[SEEDED] == 1:
                        verdict[V_FLAGS] = RESYNC
                elif last < 0 and ids_until > snapshot:
                    # no message leads from the snapshot before to this one: another beginning
                    verdict[V_CLEAR] = 1
                state[ANCHORED] = 1
                state[SEEDED] = 1
                state[SNAPSHOT_SEQUENCE] = ids_until
        elif kind[start] == MARK and ids_until >= 0 and ids_until == ids_from:
            verdict[V_COLLAPSE] = INVALID
        elif ids_until >= 0:
            began_anew = ids_until < last and ts_event[start] > state[LAST_EVENT] > 0
            if last >= 0 and ids_until <= last and not began_anew:
                if ids_until == last or (ids_from < 0 and is_recent(state, ids_until)):
                    verdict[V_COLLAPSE] = DUPLICATE
                elif ids_from < 0:
                    verdict[V_COLLAPSE] = OUT_OF_ORDER | GAP
                    state[ANCHORED] = 0
                else:
                    verdict[V_COLLAPSE] = OUT_OF_ORDER
            else:
                known = last if last >= 0 else snapshot
                if began_anew:
                    verdict[V_GAP] = 1
                    verdict[V_GAP_FROM] = last
                    verdict[V_GAP_TO] = ids_from if ids_from >= 0 else ids_until - 1
                    verdict[V_GAP_FLAGS] = OUT_OF_ORDER
                    state[ANCHORED] = 0
                elif ids_from >= 0 and known >= 0:
                    if ids_from > known:
                        verdict[V_GAP] = 1
                        verdict[V_GAP_FROM] = known
                        verdict[V_GAP_TO] = ids_from
                        if snapshot >= ids_from:
                            verdict[V_GAP_FLAGS] = RESYNC
                        else:
                            state[ANCHORED] = 0
                    elif last >= 0 and ids_from < last:
                        verdict[V_FLAGS] = OUT_OF_ORDER
                state[LAST_SEQUENCE] = ids_until
                if ids_from < 0:
                    state[RECENT + state[RECENT_NEXT]] = ids_until
                    state[RECENT_NEXT] = (state[RECENT_NEXT] + 1) % RECENT_IDS
                state[SNAPSHOT_SEQUENCE] = -1
                state[LAST_EVENT] = ts_event[start]
        if (
            verdict[V_COLLAPSE] != 0
            or verdict[V_GAP] != 0
            or verdict[V_CLEAR] != 0
            or verdict[V_FLAGS] != 0
        ):
            judged += 1
        start = stop
    return judged


@kernel
def add_range(state: Int64, low: int, high: int) -> None:
    """Remember the ids above ``low`` up to ``high`` as missing, if there are any."""
    if high > low:
        slot = state[RING_NEXT]
        state[RING + 2 * slot] = low
        state[RING + 2 * slot + 1] = high
        state[RING_NEXT] = (slot + 1) % RING_RANGES


@kernel
def judge_trades(state: Int64, sequence: Int64, prev_sequence: Int64, verdicts: Int64) -> int:
    """Judge each trade (one row each) by its id; returns how many verdicts are not empty.

    A late id that fills a known hole, or lies below all seen, is a trade out of order; any other
    is a duplicate.
    """
    judged = 0
    for i in range(sequence.shape[0]):
        verdict = verdicts[i]
        verdict[:] = 0
        trade_id = sequence[i]
        before = prev_sequence[i]
        last = state[LAST_TRADE]
        if trade_id < 0:
            continue
        if last >= 0 and trade_id <= last:
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
            if late:
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


@kernel
def assemble(
    ends: Int64,
    verdicts: Int64,
    source: Int64,
    role: Int8,
    message: Int64,
) -> int:
    """Plan the rows of the judged batch; returns their number.

    ``source[j]`` is the input row that output row ``j`` is made from, ``message[j]`` its message,
    ``role[j]`` what it is: 0 the row itself, 1 a GAP mark, 2 a CLEAR row, 3 a collapsed message.
    """
    rows = 0
    start = 0
    for m in range(ends.shape[0]):
        stop = ends[m]
        if verdicts[m, V_GAP] == 1:
            source[rows] = start
            role[rows] = 1
            message[rows] = m
            rows += 1
        if verdicts[m, V_COLLAPSE] != 0:
            source[rows] = start
            role[rows] = 3
            message[rows] = m
            rows += 1
        else:
            if verdicts[m, V_CLEAR] == 1:
                source[rows] = start
                role[rows] = 2
                message[rows] = m
                rows += 1
            for i in range(start, stop):
                source[rows] = i
                role[rows] = 0
                message[rows] = m
                rows += 1
        start = stop
    return rows


def new_book_state() -> Int64:
    """State of :func:`judge_book` before the first message."""
    state = np.full(BOOK_STATE, -1, np.int64)
    state[[ANCHORED, SEEDED, LAST_EVENT, RECENT_NEXT]] = 0
    return state


def new_trade_state() -> Int64:
    """State of :func:`judge_trades` before the first trade."""
    state = np.zeros(TRADE_STATE, np.int64)
    state[LAST_TRADE] = -1
    return state
