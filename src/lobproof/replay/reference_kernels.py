"""Kernels that hold what a vendor lists of the book against the rebuilt one, and decide.

A reference is no event. What follows from it is one: the replay stops, and the caller inserts a
snapshot that anchors, extends or corrects the book, or a mark that takes trust away.
"""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, level_size, top, trust, trusted_to
from lobproof.jit import kernel
from lobproof.replay.drift_kernels import compare_side
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    AWAITED,
    CLOSED,
    CROSSED,
    DIFFERING,
    DRIFT,
    LIFE_TS,
    LOST,
    M_CONTRADICTIONS,
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_RANKS,
    M_REFERENCES,
    M_SIZES,
    RESYNC,
    RESYNC_ALWAYS,
    RESYNC_NEVER,
    RESYNC_ON_DRIFT,
    SEQUENCE,
    SIZE_SQUARES,
    STALE,
    STILL,
    SUSPECT_ID,
    SUSPECT_TS,
    SUSPECTS,
    THIS_MINUTE,
    UNPROVEN,
    UNPROVEN_ID,
    UNPROVEN_TS,
    UNSEEDED,
    UNUSED,
    Float64,
    count_finding,
    flowing,
)
from lobproof.replay.minute_kernels import end_correction
from lobproof.replay.standstill_kernels import repeats
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Int64, Side

BID = int(Side.BID)
ASK = int(Side.ASK)

# what the replay stops for
NOTHING, ANCHOR, EXTEND, CORRECT, STRAND, DISTRUST, QUIET = range(7)
"""Nothing; a snapshot that seeds or restores trust, reaches further, corrects, or replaces levels
that should not be there; a mark that the book is contradicted; a mark that the feed is silent."""


@kernel
def listed(levels: Int64, side: int) -> int:
    """Leading levels of a side of a reference; -1 where no book can look like that."""
    sign = 2 * side - 3
    offset = 2 * LEVELS * (side - 1)
    count = 0
    for k in range(LEVELS):
        price = levels[offset + 2 * k]
        size = levels[offset + 2 * k + 1]
        if price == 0 and size == 0:
            continue
        if k != count or price <= 0 or size <= 0:
            return -1
        if k > 0 and sign * price <= sign * levels[offset + 2 * k - 2]:
            return -1
        count += 1
    return count


@kernel
def agrees(levels: Int64, side: int, count: int, prices: Int64, sizes: Int64, own: int) -> bool:
    """Whether the book's leading levels are those of the reference, as far as it lists any."""
    offset = 2 * LEVELS * (side - 1)
    if own < count:
        return False
    same = True
    for k in range(count):
        same &= prices[k] == levels[offset + 2 * k]
        same &= sizes[k] == levels[offset + 2 * k + 1]
    return same


@kernel
def reaches_further(book: Book, levels: Int64, side: int, count: int) -> bool:
    """Whether the reference lists more of a side than is trusted."""
    kind = trust(book, side)
    if count == 0 or kind == EVERYTHING:
        return False
    worst = levels[2 * LEVELS * (side - 1) + 2 * count - 2]
    sign = 2 * side - 3
    return bool(kind == UNTRUSTED or sign * worst > sign * trusted_to(book, side))


@kernel
def stranded(
    book: Book, run: Int64, levels: Int64, side: int, count: int, prices: Int64, own: int
) -> int:
    """Levels beyond the trusted range that the book holds, and that the reference denies.

    Deltas told of them, so that they are right unless one was lost; levels that may be from
    before a loss prove nothing. Of the book's own levels the best twenty are looked at.
    """
    if run[STALE + side - 1] != 0 or trust(book, side) != RANGE or count == 0:
        return 0
    sign = 2 * side - 3
    offset = 2 * LEVELS * (side - 1)
    to = sign * trusted_to(book, side)
    worst = sign * levels[offset + 2 * count - 2]
    found = 0
    for k in range(count):
        price = levels[offset + 2 * k]
        if sign * price > to:
            held = level_size(book, side, price)
            if held != 0 and held != levels[offset + 2 * k + 1]:
                found += 1
    at = 0
    for k in range(own):
        key = sign * prices[k]
        if to < key <= worst:
            while at < count and sign * levels[offset + 2 * at] < key:
                at += 1
            if at == count or levels[offset + 2 * at] != prices[k]:
                found += 1
    return found


@kernel
def size_error(
    levels: Int64, side: int, count: int, prices: Int64, sizes: Int64, own: int
) -> float:
    """Sum of squared relative size errors of the leading levels; -1 where a price differs."""
    offset = 2 * LEVELS * (side - 1)
    error = 0.0
    if own < count:
        return -1.0
    for k in range(count):
        if prices[k] != levels[offset + 2 * k]:
            return -1.0
        size = levels[offset + 2 * k + 1]
        error += ((sizes[k] - size) / size) ** 2
    return error


@kernel
def meet_one_side(
    book: Book, run: Int64, squares: Float64, levels: Int64, bids: int, tick: int
) -> int:
    """A reference of which one side is empty: it vouches for nothing, and may still contradict.

    The other side is held against the book; the empty one says nothing, for a vendor that lost it
    is likelier than a market without it.
    """
    side = BID if bids > 0 else ASK
    offset = 2 * LEVELS * (side - 1)
    count = listed(levels, side)
    price = np.empty(LEVELS, np.int64)
    size = np.empty(LEVELS, np.int64)
    for k in range(count):
        price[k] = levels[offset + 2 * k]
        size[k] = levels[offset + 2 * k + 1]
    run[SUSPECTS] = 0
    run[AWAITED] = 0
    compare_side(book, run, squares, side, price, size, 0, count, False, tick, 0)
    if run[SUSPECTS] == 0:
        return NOTHING
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    run[DIFFERING] = run[SUSPECTS]
    run[SUSPECTS] = 0
    return DISTRUST


@kernel
def meet_reference(
    book: Book,
    run: Int64,
    found: Int64,
    squares: Float64,
    levels: Int64,
    sequence: int,
    misplaced: bool,
    event_id: int,
    ts: int,
    tick: int,
    size_limit: float,
) -> int:
    """Hold one reference against the book as it stands after ``event_id``; what to do about it.

    A reference of the book's own id is judged at once; any other that differs waits for the next
    depth message, which may explain it (the suspects that it leaves). ``size_limit`` is the root
    mean square of relative size errors up to which no correction is asked for. ``misplaced``: its
    id and its time do not belong together, so that it is evidence of nothing. One that repeats the
    one before it although the deltas have moved the book proves nothing either: the next one that
    moves tells whether the deltas were right.
    """
    bids = listed(levels, BID)
    asks = listed(levels, ASK)
    none = bids < 0 or asks < 0 or bids + asks == 0
    crosses = bids > 0 and asks > 0 and levels[0] >= levels[2 * LEVELS]
    late = sequence < 0 or 0 < sequence < run[SEQUENCE]
    if none or crosses or late or misplaced or bids == 0 or asks == 0:
        count_finding(run, UNUSED, event_id, ts, 1)
        if none or crosses or late or misplaced or run[LOST] != 0:
            return NOTHING
        if sequence != run[SEQUENCE] or not flowing(run, ts):
            return NOTHING
        return meet_one_side(book, run, squares, levels, bids, tick)
    again = repeats(run, found, levels, event_id, ts)
    run[THIS_MINUTE + M_REFERENCES] += 1
    prices = np.empty((2, LEVELS), np.int64)
    sizes = np.empty((2, LEVELS), np.int64)
    own_bids = top(book, BID, LEVELS, prices[0], sizes[0])
    own_asks = top(book, ASK, LEVELS, prices[1], sizes[1])
    same = agrees(levels, BID, bids, prices[0], sizes[0], own_bids) and agrees(
        levels, ASK, asks, prices[1], sizes[1], own_asks
    )
    lost = run[LOST]
    if lost != 0:
        if lost == UNSEEDED:
            return ANCHOR
        if not flowing(run, ts):
            return NOTHING
        if lost == DRIFT and not same and run[RESYNC] != RESYNC_ALWAYS:
            bid_error = size_error(levels, BID, bids, prices[0], sizes[0], own_bids)
            ask_error = size_error(levels, ASK, asks, prices[1], sizes[1], own_asks)
            most = size_limit * size_limit * (bids + asks)
            if bid_error >= 0.0 and ask_error >= 0.0 and bid_error + ask_error <= most:
                return NOTHING
        if not same and run[RESYNC] == RESYNC_NEVER:
            return NOTHING
        if lost == CROSSED and not same:  # a contradiction that the book told first
            run[THIS_MINUTE + M_CONTRADICTIONS] += 1
        if not same and lost in (CROSSED, DRIFT):
            begin_correction(run, event_id, ts)
        return ANCHOR
    further = reaches_further(book, levels, BID, bids) or reaches_further(book, levels, ASK, asks)
    if same:
        end_correction(run, found, event_id, ts)
        run[SUSPECTS] = 0
        run[AWAITED] = 0
        run[AGREED_ID] = event_id
        run[AGREED_TS] = ts
        run[LIFE_TS] = ts
        compared = bids + asks
        run[THIS_MINUTE + M_DRIFT_COMPARED] += compared
        run[THIS_MINUTE + M_DRIFT_EQUAL] += compared
        run[THIS_MINUTE + M_RANKS] += compared
        run[THIS_MINUTE + M_SIZES] += compared
        return EXTEND if further or run[RESYNC] == RESYNC_ALWAYS else NOTHING
    if again and sequence == run[SEQUENCE]:
        run[STILL] = 1
        run[SUSPECTS] = 0
        run[AWAITED] = 0
        return NOTHING
    return differs(
        book,
        run,
        found,
        squares,
        levels,
        bids,
        asks,
        prices,
        own_bids,
        own_asks,
        sequence,
        event_id,
        ts,
        tick,
        size_limit,
        further,
    )


@kernel
def begin_correction(run: Int64, event_id: int, ts: int) -> None:
    """The book is made what a row lists; an earlier correction that was not proven goes on."""
    if run[UNPROVEN] == 0:
        run[UNPROVEN] = 1
        run[UNPROVEN_ID] = event_id + 1
        run[UNPROVEN_TS] = ts


@kernel
def differs(
    book: Book,
    run: Int64,
    found: Int64,
    squares: Float64,
    levels: Int64,
    bids: int,
    asks: int,
    prices: Int64,
    own_bids: int,
    own_asks: int,
    sequence: int,
    event_id: int,
    ts: int,
    tick: int,
    size_limit: float,
    further: bool,
) -> int:
    """The second half of :func:`meet_reference`: where the twenty levels are not all the same."""
    run[SUSPECTS] = 0
    run[AWAITED] = 0
    equal_before = run[THIS_MINUTE + M_DRIFT_EQUAL]
    sizes_before = run[THIS_MINUTE + M_SIZES]
    # apart from the minute's sum, in which a small error would be lost
    squares_before = squares[run[CLOSED], SIZE_SQUARES]
    squares[run[CLOSED], SIZE_SQUARES] = 0.0
    price = np.empty(LEVELS, np.int64)
    size = np.empty(LEVELS, np.int64)
    strays = 0
    for side in (BID, ASK):
        count = bids if side == BID else asks
        for k in range(count):
            price[k] = levels[2 * LEVELS * (side - 1) + 2 * k]
            size[k] = levels[2 * LEVELS * (side - 1) + 2 * k + 1]
        compare_side(book, run, squares, side, price, size, 0, count, False, tick, run[SUSPECTS])
        own = own_bids if side == BID else own_asks
        strays += stranded(book, run, levels, side, count, prices[side - 1], own)
    error = squares[run[CLOSED], SIZE_SQUARES]
    squares[run[CLOSED], SIZE_SQUARES] += squares_before
    aligned = sequence == run[SEQUENCE]
    lives = flowing(run, ts)
    if run[SUSPECTS] == 0 and (strays == 0 or aligned or not lives):
        if strays == 0:
            run[AGREED_ID] = event_id
            run[AGREED_TS] = ts
            run[LIFE_TS] = ts
            end_correction(run, found, event_id, ts)
            return EXTEND if further or run[RESYNC] == RESYNC_ALWAYS else NOTHING
        run[THIS_MINUTE + M_CONTRADICTIONS] += 1
        run[DIFFERING] = strays
        return STRAND if lives and run[RESYNC] != RESYNC_NEVER else DISTRUST
    if not aligned and lives:
        run[SUSPECT_ID] = event_id
        run[SUSPECT_TS] = ts
        run[AWAITED] = 1 if run[SUSPECTS] > 0 else 0
        return NOTHING
    equal = run[THIS_MINUTE + M_DRIFT_EQUAL] - equal_before
    matched = run[THIS_MINUTE + M_SIZES] - sizes_before
    # what shares no level with the book may be of another symbol: the next one tells
    minor = run[SUSPECTS] == matched - equal and error <= size_limit * size_limit * matched
    corrects = run[RESYNC] == RESYNC_ON_DRIFT and equal > 0 and not minor
    if lives and (corrects or run[RESYNC] == RESYNC_ALWAYS):
        begin_correction(run, event_id, ts)
        run[DIFFERING] = run[SUSPECTS]
        return CORRECT
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    run[DIFFERING] = run[SUSPECTS]
    run[SUSPECTS] = 0
    return DISTRUST


@kernel
def awaited_contradicts(run: Int64) -> bool:
    """After the awaited message: whether it leaves what the reference before it differed in."""
    run[AWAITED] = 0
    if run[SUSPECTS] == 0:
        run[AGREED_ID] = run[SUSPECT_ID]
        run[AGREED_TS] = run[SUSPECT_TS]
        return False
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    run[DIFFERING] = run[SUSPECTS]
    run[SUSPECTS] = 0
    return True
