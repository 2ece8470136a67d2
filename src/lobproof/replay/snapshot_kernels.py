"""How a snapshot is taken over: held against the book, then applied, refuted, or left to wait."""

from __future__ import annotations

from lobproof.book.kernels import Book, apply_level, level_size
from lobproof.book.trust_kernels import (
    DEFINITE,
    NEVER,
    WHOLE,
    begin_undo,
    clear,
    deny,
    first_ask,
    list_side,
    own_levels,
    trust_snapshot_alone,
    undo,
)
from lobproof.jit import allocating, kernel
from lobproof.replay.anchor_kernels import (
    BELIEVED,
    DISBELIEVED,
    UNDECIDED,
    anchored,
    confirmed,
    judged,
    weigh,
)
from lobproof.replay.loss_kernels import lose_since_agreed
from lobproof.replay.state_kernels import MAX_MISMATCHES, Outputs, add_since, set_moment
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Int64, Rows
from lobproof.schema.plain import (
    ASK,
    BID,
    CLEAR,
    F_AWAITS,
    F_COMPLETE,
    F_DRIFT,
    F_GHOST_LEVELS,
    F_REFUTED,
    Q_DRIFT,
    Q_GHOST_LEVELS,
    Q_REFUTED,
)
from lobproof.schema.records import Record

# --- held against the book ----------------------------------------------------------------------


@kernel
def note_mismatch(
    state: Record, side: int, price: int, held: int, listed: int, earlier: int
) -> None:
    """Remember a level that differs, once; beyond the table's end only the number is kept.

    The first ``earlier`` entries are those of a snapshot before this one.
    """
    for k in range(min(earlier, MAX_MISMATCHES)):
        level = state.mismatch_levels[k]
        if level.side == side and level.price == price:
            level.listed = listed
            return
    if state.mismatches < MAX_MISMATCHES:
        level = state.mismatch_levels[state.mismatches]
        level.side = side
        level.price = price
        level.held = held
        level.listed = listed
    state.mismatches += 1


@kernel
def clear_mismatch(state: Record, side: int, price: int) -> None:
    """A depth message names the level: that it differed in a snapshot inside it proves nothing."""
    for k in range(min(state.mismatches, MAX_MISMATCHES)):
        level = state.mismatch_levels[k]
        if level.side == side and level.price == price:
            last = state.mismatches - 1
            if last < MAX_MISMATCHES:  # else the last one is only a number
                state.mismatch_levels[k] = state.mismatch_levels[last]
            state.mismatches = last
            return


@allocating
def compare_side(
    book: Book,
    state: Record,
    side: int,
    price: Int64,
    size: Int64,
    start: int,
    stop: int,
    complete: bool,
    tick: int,
    earlier: int,
) -> None:
    """Compare rows ``start:stop`` (best first) with the book, where both know the side.

    Levels that differ are noted as mismatches, beside the ``earlier`` ones of a snapshot before;
    counts, rank-wise squared price errors (in ticks) and relative size errors are added to the
    minute.
    """
    known = state.trust.sides[side - 1]
    listed = stop - start
    if known.kind == UNTRUSTED or listed == 0:
        return
    sign = 2 * side - 3  # sign * price grows away from the touch, on either side
    limit = sign * price[stop - 1]
    if complete:
        limit = WHOLE
    if known.kind != EVERYTHING:
        limit = min(limit, sign * known.to)

    minute = state.minute
    own_prices, own_sizes, own = own_levels(book, side, limit)
    matched = 0
    theirs = 0
    for k in range(listed):
        if sign * price[start + k] > limit:
            break
        theirs += 1
        minute.drift_compared += 1
        held = level_size(book, side, price[start + k])
        if held == size[start + k]:
            minute.drift_equal += 1
        else:
            note_mismatch(state, side, price[start + k], held, size[start + k], earlier)
        if held == 0:
            minute.drift_missing += 1
        else:
            matched += 1
            minute.sizes += 1
            error = (held - size[start + k]) / size[start + k]
            minute.size_squares += error * error
    for k in range(min(own, theirs)):
        distance = (own_prices[k] - price[start + k]) / tick
        minute.ranks += 1
        minute.price_squares += distance * distance
    if own > matched:  # levels that the book holds and the snapshot does not list
        minute.drift_ghosts += own - matched
        minute.drift_compared += own - matched
        at = 0
        for k in range(own):
            while at < listed and sign * price[start + at] < sign * own_prices[k]:
                at += 1
            if at == listed or price[start + at] != own_prices[k]:
                note_mismatch(state, side, own_prices[k], own_sizes[k], 0, earlier)


@allocating
def compare_beyond(
    book: Book,
    state: Record,
    side: int,
    price: Int64,
    size: Int64,
    start: int,
    stop: int,
    complete: bool,
    earlier: int,
) -> None:
    """Hold what a whole chain told of levels beyond the trusted range against a snapshot.

    The book may lack levels there, but those that it holds are right, unless they may be from
    before a loss. What differs is a mismatch; nothing of it enters the minute's counts.
    """
    known = state.trust.sides[side - 1]
    if known.stale != 0 or known.kind != RANGE or stop == start:
        return
    sign = 2 * side - 3
    to = sign * known.to
    limit = sign * price[stop - 1]
    if complete:
        limit = WHOLE
    at = start
    prices, sizes, own = own_levels(book, side, limit)
    for k in range(own):
        if sign * prices[k] <= to:
            continue
        while at < stop and sign * price[at] < sign * prices[k]:
            at += 1
        listed = size[at] if at < stop and price[at] == prices[k] else 0
        if listed != sizes[k]:
            note_mismatch(state, side, prices[k], sizes[k], listed, earlier)


@kernel
def both_know(trust: Record, side: int, price: Int64, start: int, stop: int, complete: bool) -> int:
    """How far (sign * price) both the book and a snapshot's rows ``start:stop`` know a side."""
    known = trust.sides[side - 1]
    if known.kind == UNTRUSTED or stop == start:
        return NEVER
    sign = 2 * side - 3
    listed = WHOLE if complete else sign * price[stop - 1]
    return int(listed if known.kind == EVERYTHING else min(listed, sign * known.to))


# --- what follows from a difference -------------------------------------------------------------


@kernel
def report_drift(state: Record, out: Outputs, last: int, ts: int) -> None:
    """A snapshot proves the book wrong since it last agreed."""
    state.minute.contradictions += 1
    add_since(state, out, Q_DRIFT, state.agreed, last, ts, state.mismatches)
    state.mismatches = 0


@kernel
def disbelieve(state: Record, out: Outputs, verdict: int, last: int, ts: int) -> int:
    """A snapshot is not believed, and the chain only where the verdict says so.

    What was replayed since the snapshot, up to the event ``last``, is in doubt. Returns flags for
    the rows of the message that decides.
    """
    state.minute.contradictions += 1
    if verdict == DISBELIEVED:
        add_since(state, out, Q_REFUTED, state.first_doubted, last, ts, state.mismatches)
        state.mismatches = 0
        return F_REFUTED
    # one snapshot against another: neither is
    state.differing = state.mismatches
    lose_since_agreed(state, Q_DRIFT)
    return F_REFUTED | F_DRIFT


@kernel
def judge_waiting(
    book: Book,
    state: Record,
    out: Outputs,
    rows: Rows,
    start: int,
    stop: int,
    event_id: int,
    ts: int,
) -> int:
    """The depth message in rows ``start:stop`` has come that a snapshot waited for.

    Returns flags for its rows. A snapshot that is not believed is undone, and the message applied
    to the book as it was.
    """
    if state.mismatches == 0:  # the message explains all that differed
        judged(state)
        confirmed(book, state, state.agrees_to[0], state.agrees_to[1])
        return 0
    verdict = weigh(state)
    if verdict == BELIEVED:  # a second snapshot says the same against the chain
        report_drift(state, out, state.compared.event_id - 1, state.compared.ts)
        trust_snapshot_alone(state.trust)
        judged(state)
        anchored(book, state)
        return F_DRIFT
    if state.trust.undo.overflown != 0:  # the book as it was is not known any more
        verdict = UNDECIDED
    undo(book, state.trust)
    for i in range(start, stop):
        if rows.price[i] > 0:  # an empty depth message has a row without a level
            apply_level(book, rows.side[i], rows.price[i], rows.size[i])
    return disbelieve(state, out, verdict, event_id - 1, ts)


@kernel
def fail_probation(state: Record) -> int:
    """Depth messages name level after level that the anchor lacks, and none that it lists."""
    state.minute.contradictions += 1
    state.differing = state.unlisted
    lose_since_agreed(state, Q_DRIFT)
    return F_REFUTED | F_DRIFT


# --- taken over -----------------------------------------------------------------------------------


@kernel
def apply_snapshot(
    book: Book,
    state: Record,
    out: Outputs,
    rows: Rows,
    start: int,
    stop: int,
    first_id: int,
    ts: int,
    tick: int,
) -> int:
    """Rows ``start:stop`` list a book: compare, then take it over. Returns flags for the rows."""
    add = 0
    begin = start
    last_id = first_id + stop - start - 1
    clears = rows.kind[start] == CLEAR
    if clears:  # the book before is not even compared
        clear(book, state.trust)
        state.mismatches = 0
        begin += 1
    middle = first_ask(rows.side, begin, stop)
    bids_complete = middle > begin and (rows.flags[begin] & F_COMPLETE) != 0
    asks_complete = stop > middle and (rows.flags[middle] & F_COMPLETE) != 0
    if rows.flags[start] & F_GHOST_LEVELS:
        # a vendor's row denies levels that the book holds beyond its range
        add_since(state, out, Q_GHOST_LEVELS, state.agreed, last_id - 1, ts, state.differing)
        deny(state.trust)
    # of a chained feed a later snapshot is evidence beside the chain
    later = not clears and state.chainless == 0 and state.trust.reason == 0
    bids_to = NEVER
    asks_to = NEVER
    contradicts = not clears and state.chainless != 0 and state.mismatches > 0
    if later:
        # of two before one depth message the first may be the one that errs
        undo(book, state.trust)
        earlier = state.mismatches
        equal = state.minute.drift_equal
        price, size = rows.price, rows.size
        bids_to = both_know(state.trust, BID, price, begin, middle, bids_complete)
        asks_to = both_know(state.trust, ASK, price, middle, stop, asks_complete)
        for side in (BID, ASK):
            low = begin if side == BID else middle
            high = middle if side == BID else stop
            whole = bids_complete if side == BID else asks_complete
            compare_side(book, state, side, price, size, low, high, whole, tick, earlier)
            compare_beyond(book, state, side, price, size, low, high, whole, earlier)
        state.shared = state.minute.drift_equal - equal
        if state.mismatches > 0:
            if earlier == 0:
                set_moment(state.first_doubted, last_id, ts)
            if rows.sequence[start] == state.sequence:  # nothing else can explain what differs
                verdict = weigh(state)
                if verdict != BELIEVED:
                    return disbelieve(state, out, verdict, last_id, ts)
                contradicts = True
            else:  # the next depth message may
                begin_undo(state.trust)
                add |= F_AWAITS
    if contradicts:
        report_drift(state, out, last_id - 1, ts)
        deny(state.trust)
        add |= F_DRIFT
    state.last_alive = ts
    if state.trust.reason != 0:
        # the anchor: trust begins anew
        state.trust.reason = 0
        own = clears and state.chainless != 0  # snapshots are this feed's messages
        state.unfollowed = 0 if own or rows.sequence[start] == state.sequence else 1
        set_moment(state.chained, last_id, ts)
    if state.mismatches == 0:
        set_moment(state.agreed, last_id, ts)
    else:
        set_moment(state.compared, last_id, ts)
    for side in (BID, ASK):
        low = begin if side == BID else middle
        high = middle if side == BID else stop
        whole = bids_complete if side == BID else asks_complete
        list_side(book, state.trust, side, rows.price, low, high, whole)
        for i in range(low, high):
            apply_level(book, side, rows.price[i], rows.size[i])
    if state.chainless == 0:
        if not later or contradicts:
            anchored(book, state)
        elif state.trust.waits == DEFINITE:
            confirmed(book, state, bids_to, asks_to)
        else:
            state.agrees_to[0] = bids_to
            state.agrees_to[1] = asks_to
    return add
