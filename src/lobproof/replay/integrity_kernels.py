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
DRIFT = int(Flag.DRIFT)

# book state
LAST_SEQUENCE = 0  # of the last applied depth message; -1 before the first
SNAPSHOT_SEQUENCE = 1  # of the last snapshot since then; -1 with none
ANCHORED = 2  # 1 from a valid snapshot until a gap
SEEDED = 3  # 1 once a snapshot was valid
LAST_EVENT = 4  # exchange time of the last applied depth message
RECENT_NEXT = 5
RECENT = 6  # ids of the last applied depth messages, then what stands for their rows
RECENT_IDS = 1024
CONTENTS = RECENT + RECENT_IDS
BOOK_STATE = CONTENTS + RECENT_IDS
UNSEEN, OTHER, SAME = range(3)  # of an id that comes again
MASK = (1 << 62) - 1
FACTOR = 0x9E3779B1

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
def mixed(value: int, number: int) -> int:
    """A hash, up to 2^62, of what ``value`` stands for and one more number."""
    value = (value ^ (value >> 31) ^ number) & MASK
    return ((value & 0x7FFFFFFF) * FACTOR ^ (value >> 31)) & MASK


@kernel
def content_of(start: int, stop: int, side: Int8, price: Int64, size: Int64) -> int:
    """A number that stands for what rows ``start:stop`` say."""
    value = stop - start
    for i in range(start, stop):
        value = mixed(value, (price[i] << 2) + side[i])
        value ^= size[i]
    return mixed(value, 0)


@kernel
def seen_before(state: Int64, sequence: int, content: int) -> int:
    """Whether a depth message of this id was applied lately, and with the same content."""
    found = UNSEEN
    for k in range(RECENT_IDS):
        if state[RECENT + k] == sequence:
            same = state[CONTENTS + k] == content
            found = max(found, SAME if same else OTHER)
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
    so, unless it came before, breaks the chain: what it changed is not in the book. It came before
    where id and content are those of a message applied lately; the same id with other content is
    a loss of order too, and in a chain a contradiction: which of the two is right nobody knows. A
    negative id says nothing of the order, and is treated as one that goes back. A snapshot
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
        elif kind[start] == MARK and (ids_until < 0 or ids_until == ids_from):
            if ids_until >= 0:
                verdict[V_COLLAPSE] = INVALID
        elif ids_until < 0:
            verdict[V_COLLAPSE] = OUT_OF_ORDER | GAP
            state[ANCHORED] = 0
        else:
            content = content_of(start, stop, side, price, size)
            began_anew = ids_until < last and ts_event[start] > state[LAST_EVENT] > 0
            if last >= 0 and ids_until <= last and not began_anew:
                before = seen_before(state, ids_until, content)
                if before == SAME and (ids_from < 0 or ids_until == last):
                    verdict[V_COLLAPSE] = DUPLICATE
                elif ids_from < 0:
                    verdict[V_COLLAPSE] = OUT_OF_ORDER | GAP
                    state[ANCHORED] = 0
                elif before == OTHER:
                    verdict[V_COLLAPSE] = OUT_OF_ORDER | DRIFT
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
                state[RECENT + state[RECENT_NEXT]] = ids_until
                state[CONTENTS + state[RECENT_NEXT]] = content
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
