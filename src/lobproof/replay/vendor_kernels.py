"""How a vendor's row of `book` is held against the rebuilt book, and what follows from it.

Such a row is no event. What follows from it is one: the replay stops, and the caller inserts a
snapshot that anchors, extends or corrects the book, or a mark that takes trust away. A row that
stands still proves nothing: the last kernels here notice that.
"""

from __future__ import annotations

from lobproof.book.kernels import Book, level_size, side_count, top
from lobproof.jit import allocating, kernel
from lobproof.replay.silence_kernels import flowing
from lobproof.replay.snapshot_kernels import compare_side
from lobproof.replay.state_kernels import (
    RESYNC_ALWAYS,
    RESYNC_NEVER,
    RESYNC_ON_DRIFT,
    Outputs,
    add_since,
    set_moment,
    tally,
)
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Int64, Rows
from lobproof.schema.plain import (
    ASK,
    BID,
    Q_CROSSED,
    Q_DRIFT,
    Q_UNSEEDED,
    Q_VENDOR_ROW_STALE,
    Q_VENDOR_ROW_UNUSED,
)
from lobproof.schema.records import Record

# what the replay stops for
NOTHING, ANCHOR, EXTEND, CORRECT, STRAND, DISTRUST, QUIET = range(7)
"""Nothing; a snapshot that seeds or restores trust, reaches further, corrects, or replaces levels
that should not be there; a mark that the book is contradicted; a mark that the feed is silent."""

LEAST_STANDSTILL_NS = 1_000_000_000
LEAST_UNSHOWN_PRINTS = 3
"""Rows stand still where two in a row show nothing of so many prints, for so long."""


# --- what a row lists: levels[side, level, price or size] ---------------------------------------


@kernel
def levels_listed(levels: Int64, side: int) -> int:
    """Leading levels of a side of a row; -1 where no book can look like that."""
    sign = 2 * side - 3
    listed = levels[side - 1]
    count = 0
    for k in range(LEVELS):
        price, size = listed[k, 0], listed[k, 1]
        if price == 0 and size == 0:
            continue
        if k != count or price <= 0 or size <= 0:  # behind an empty slot, or half a level
            return -1
        if k > 0 and sign * price <= sign * listed[k - 1, 0]:  # out of order
            return -1
        count += 1
    return count


@kernel
def agrees(levels: Int64, own: Int64, side: int, count: int, held: int) -> bool:
    """Whether the book's ``held`` leading levels are those of the row, as far as it lists any."""
    if held < count:
        return False
    same = True
    for k in range(count):
        same &= own[side - 1, k, 0] == levels[side - 1, k, 0]
        same &= own[side - 1, k, 1] == levels[side - 1, k, 1]
    return same


@kernel
def reaches_further(trust: Record, levels: Int64, side: int, count: int) -> bool:
    """Whether the row lists more of a side than is trusted."""
    known = trust.sides[side - 1]
    if count == 0 or known.kind == EVERYTHING:
        return False
    sign = 2 * side - 3
    worst = sign * levels[side - 1, count - 1, 0]
    return bool(known.kind == UNTRUSTED or worst > sign * known.to)


@kernel
def ghosts_beyond(
    book: Book, trust: Record, levels: Int64, own: Int64, side: int, count: int, held: int
) -> int:
    """Levels beyond the trusted range that the book holds, and that the row denies.

    Deltas told of them, so that they are right unless one was lost; levels that may be from
    before a loss prove nothing. Of the book's own levels the best twenty are looked at.
    """
    known = trust.sides[side - 1]
    if known.stale != 0 or known.kind != RANGE or count == 0:
        return 0
    sign = 2 * side - 3
    listed = levels[side - 1]
    to = sign * known.to
    worst = sign * listed[count - 1, 0]
    found = 0
    for k in range(count):  # listed with another size
        price = listed[k, 0]
        if sign * price > to:
            size = level_size(book, side, price)
            if size != 0 and size != listed[k, 1]:
                found += 1
    at = 0
    for k in range(held):  # not listed at all
        price = own[side - 1, k, 0]
        if to < sign * price <= worst:
            while at < count and sign * listed[at, 0] < sign * price:
                at += 1
            if at == count or listed[at, 0] != price:
                found += 1
    return found


@kernel
def size_error(levels: Int64, own: Int64, side: int, count: int, held: int) -> float:
    """Sum of squared relative size errors of the leading levels; -1 where a price differs."""
    error = 0.0
    if held < count:
        return -1.0
    for k in range(count):
        if own[side - 1, k, 0] != levels[side - 1, k, 0]:
            return -1.0
        size = levels[side - 1, k, 1]
        error += ((own[side - 1, k, 1] - size) / size) ** 2
    return error


# --- what follows from it -----------------------------------------------------------------------


@allocating
def meet_one_side(book: Book, state: Record, levels: Int64, bids: int, tick: int) -> int:
    """A row of which one side is empty: it vouches for nothing, and may still contradict.

    The other side is held against the book; the empty one says nothing, for a vendor that lost it
    is likelier than a market without it.
    """
    side = BID if bids > 0 else ASK
    count = levels_listed(levels, side)
    price, size = levels[side - 1, :, 0].copy(), levels[side - 1, :, 1].copy()
    state.mismatches = 0
    state.vendor_row_waits = 0
    compare_side(book, state, side, price, size, 0, count, False, tick, 0)
    if state.mismatches == 0:
        return NOTHING
    state.minute.contradictions += 1
    state.differing = state.mismatches
    state.mismatches = 0
    return DISTRUST


@kernel
def meet_row(
    book: Book,
    state: Record,
    out: Outputs,
    levels: Int64,
    sequence: int,
    misplaced: bool,
    event_id: int,
    ts: int,
    tick: int,
    size_limit: float,
) -> int:
    """Hold one row against the book as it stands after ``event_id``; what to do about it.

    A row of the book's own id is judged at once; any other that differs waits for the next
    depth message, which may explain it (the mismatches that it leaves). ``size_limit`` is the root
    mean square of relative size errors up to which no correction is asked for. ``misplaced``: its
    id and its time do not belong together, so that it is evidence of nothing. One that repeats the
    one before it although the deltas have moved the book proves nothing either: the next one that
    moves tells whether the deltas were right.
    """
    bids = levels_listed(levels, BID)
    asks = levels_listed(levels, ASK)
    none = bids < 0 or asks < 0 or bids + asks == 0
    crosses = bids > 0 and asks > 0 and levels[0, 0, 0] >= levels[1, 0, 0]
    late = sequence < 0 or 0 < sequence < state.sequence
    if none or crosses or late or misplaced or bids == 0 or asks == 0:
        tally(state, Q_VENDOR_ROW_UNUSED, event_id, ts)
        if none or crosses or late or misplaced or state.trust.reason != 0:
            return NOTHING
        if sequence != state.sequence or not flowing(state, ts):
            return NOTHING
        return meet_one_side(book, state, levels, bids, tick)
    again = repeats(state, out, levels, event_id, ts)
    state.minute.vendor_rows += 1
    own = out.states[state.states].levels  # room, until the next message settles
    own_bids = top(book, BID, LEVELS, own[0, :, 0], own[0, :, 1])
    own_asks = top(book, ASK, LEVELS, own[1, :, 0], own[1, :, 1])
    same = agrees(levels, own, BID, bids, own_bids) and agrees(levels, own, ASK, asks, own_asks)
    if state.trust.reason != 0:
        # nothing is trusted: whether this row may anchor
        if state.trust.reason == Q_UNSEEDED:
            return ANCHOR
        if not flowing(state, ts):
            return NOTHING
        if state.trust.reason == Q_DRIFT and not same and state.resync != RESYNC_ALWAYS:
            bid_error = size_error(levels, own, BID, bids, own_bids)
            ask_error = size_error(levels, own, ASK, asks, own_asks)
            most = size_limit * size_limit * (bids + asks)
            if bid_error >= 0.0 and ask_error >= 0.0 and bid_error + ask_error <= most:
                return NOTHING  # too small a difference to be corrected
        if not same and state.resync == RESYNC_NEVER:
            return NOTHING
        if state.trust.reason == Q_CROSSED and not same:  # a contradiction that the book told first
            state.minute.contradictions += 1
        if not same and (state.trust.reason == Q_CROSSED or state.trust.reason == Q_DRIFT):
            begin_correction(state, event_id, ts)
        return ANCHOR
    further = reaches_further(state.trust, levels, BID, bids) or reaches_further(
        state.trust, levels, ASK, asks
    )
    if same:
        end_correction(state, out, event_id, ts)
        state.mismatches = 0
        state.vendor_row_waits = 0
        set_moment(state.agreed, event_id, ts)
        state.last_alive = ts
        compared = bids + asks
        minute = state.minute
        minute.drift_compared += compared
        minute.drift_equal += compared
        minute.ranks += compared
        minute.sizes += compared
        return EXTEND if further or state.resync == RESYNC_ALWAYS else NOTHING
    if again and sequence == state.sequence:
        state.stands_still = 1
        state.mismatches = 0
        state.vendor_row_waits = 0
        return NOTHING
    # how far it differs, the errors apart from the minute's sum, in which a small one would be lost
    size_squares = state.minute.size_squares
    equal = state.minute.drift_equal
    matched = state.minute.sizes
    state.minute.size_squares = 0.0
    ghosts = differences(book, state, levels, own, bids, asks, own_bids, own_asks, tick)
    error = state.minute.size_squares
    state.minute.size_squares += size_squares
    equal = state.minute.drift_equal - equal
    matched = state.minute.sizes - matched
    aligned = sequence == state.sequence
    lives = flowing(state, ts)
    if state.mismatches == 0 and (ghosts == 0 or aligned or not lives):
        if ghosts == 0:  # as far as both know the sides they agree
            set_moment(state.agreed, event_id, ts)
            state.last_alive = ts
            end_correction(state, out, event_id, ts)
            return EXTEND if further or state.resync == RESYNC_ALWAYS else NOTHING
        state.minute.contradictions += 1
        state.differing = ghosts
        return STRAND if lives and state.resync != RESYNC_NEVER else DISTRUST
    if not aligned and lives:  # the next depth message may explain it
        set_moment(state.compared, event_id, ts)
        state.vendor_row_waits = 1 if state.mismatches > 0 else 0
        return NOTHING
    # what shares no level with the book may be of another symbol: the next one tells
    minor = state.mismatches == matched - equal and error <= size_limit * size_limit * matched
    corrects = state.resync == RESYNC_ON_DRIFT and equal > 0 and not minor
    if lives and (corrects or state.resync == RESYNC_ALWAYS):
        begin_correction(state, event_id, ts)
        state.differing = state.mismatches
        return CORRECT
    state.minute.contradictions += 1
    state.differing = state.mismatches
    state.mismatches = 0
    return DISTRUST


@allocating
def differences(
    book: Book,
    state: Record,
    levels: Int64,
    own: Int64,
    bids: int,
    asks: int,
    own_bids: int,
    own_asks: int,
    tick: int,
) -> int:
    """Compare a row's sides with the book: mismatches, the minute's counts; returns the ghosts.

    ``own``: the book's best levels, laid out as those of the row.
    """
    state.mismatches = 0
    state.vendor_row_waits = 0
    ghosts = 0
    for side in (BID, ASK):
        count = bids if side == BID else asks
        held = own_bids if side == BID else own_asks
        price, size = levels[side - 1, :, 0].copy(), levels[side - 1, :, 1].copy()
        compare_side(book, state, side, price, size, 0, count, False, tick, state.mismatches)
        ghosts += ghosts_beyond(book, state.trust, levels, own, side, count, held)
    return ghosts


@kernel
def judge_row(state: Record) -> bool:
    """Judge the row that waited: whether the depth message explains all that differed."""
    state.vendor_row_waits = 0
    if state.mismatches == 0:
        state.agreed = state.compared
        return True
    state.minute.contradictions += 1
    state.differing = state.mismatches
    state.mismatches = 0
    return False


@kernel
def begin_correction(state: Record, event_id: int, ts: int) -> None:
    """The book is made what a row lists; an earlier correction that was not proven goes on."""
    if state.unproven == 0:
        state.unproven = 1
        set_moment(state.unproven_since, event_id + 1, ts)


@kernel
def end_correction(state: Record, out: Outputs, event_id: int, ts: int) -> None:
    """Another row agrees, or the day ends: what the one that corrected alone vouched for.

    It contradicted the deltas, and may have been wrong itself: until here that is in doubt.
    """
    if state.unproven != 0:
        add_since(state, out, Q_DRIFT, state.unproven_since, event_id, ts, state.differing)
        state.unproven = 0


# --- rows that stand still --------------------------------------------------------------------


@kernel
def repeats(state: Record, out: Outputs, levels: Int64, event_id: int, ts: int) -> bool:
    """Whether a row lists what the one before it did; remembers it where not."""
    before = state.row_levels
    same = True
    for side in range(2):
        for k in range(LEVELS):
            same &= before[side, k, 0] == levels[side, k, 0]
            same &= before[side, k, 1] == levels[side, k, 1]
    if not same:
        end_standstill(state, out, event_id, ts)
        set_moment(state.fresh, event_id, ts)
        # a slice in one assignment takes seconds to compile: its error has a text
        for side in range(2):
            for k in range(LEVELS):
                before[side, k, 0] = levels[side, k, 0]
                before[side, k, 1] = levels[side, k, 1]
    return same


@kernel
def note_listed(
    book: Book,
    state: Record,
    out: Outputs,
    rows: Rows,
    start: int,
    stop: int,
    event_id: int,
    ts: int,
) -> None:
    """Rows ``start:stop`` are a vendor's row that will be the book: whether it shows any print."""
    same = stop - start == side_count(book, BID) + side_count(book, ASK)
    for i in range(start, stop):
        same &= level_size(book, rows.side[i], rows.price[i]) == rows.size[i]
    if same:
        # what this row, and what more than one left out
        state.prints_unshown[2] += state.prints_unshown[1]
        state.prints_unshown[1] = state.prints_unshown[0]
        state.prints_unshown[0] = 0
        return
    end_standstill(state, out, event_id - 1, ts)
    set_moment(state.fresh, event_id + stop - start, ts)


@kernel
def end_standstill(state: Record, out: Outputs, event_id: int, ts: int) -> None:
    """`book` moves again after ``event_id``, or its day ends: a finding where it should have."""
    long = ts - state.fresh.ts >= LEAST_STANDSTILL_NS
    unshown = state.prints_unshown[2] >= LEAST_UNSHOWN_PRINTS and long
    if state.stands_still != 0 or unshown:
        add_since(state, out, Q_VENDOR_ROW_STALE, state.fresh, event_id, ts, 1)
    state.stands_still = 0
    state.prints_unshown[:] = 0
