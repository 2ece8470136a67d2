"""What is counted: a book message, a minute and a day come to their ends."""

from __future__ import annotations

from lobproof.book.kernels import Book, crossed, top
from lobproof.book.trust_kernels import DEFINITE, forget_listed, grow, slots_within, trusted_slots
from lobproof.jit import kernel
from lobproof.replay.anchor_kernels import LEAST_UNLISTED
from lobproof.replay.loss_kernels import last_known, lose_since_agreed
from lobproof.replay.silence_kernels import COVERED, hear_anew, silent
from lobproof.replay.state_kernels import (
    CODES,
    MINUTE_NS,
    NO_REACH,
    WHOLE_SIDE,
    Outputs,
    add_finding,
    add_since,
    close_doubt,
    open_doubt,
    set_moment,
)
from lobproof.replay.vendor_kernels import end_correction, end_standstill
from lobproof.schema import EVERYTHING, LEVELS, UNTRUSTED, Int64
from lobproof.schema.plain import (
    ASK,
    BID,
    F_CROSSED,
    F_DOUBTFUL,
    Q_ANCHOR_UNPROVEN,
    Q_CROSSED,
    Q_DRIFT,
    Q_INVALID_INPUT,
    Q_REFUTED,
    Q_SILENCE,
    Q_STALE_BOOK,
    Q_TOUCH_BEYOND_RANGE,
    Q_TRADES_ABSENT,
    Q_UNREADABLE,
)
from lobproof.schema.records import Record

# --- a book message ---------------------------------------------------------------------------

FINDINGS_A_MESSAGE = 2 * CODES + 8
"""More findings than one message can give: each code closed once, each tally once, and its own."""


@kernel
def listed_slots(trust: Record, side: int, prices: Int64, count: int) -> int:
    """How many of the leading slots the last snapshot itself lists."""
    known = trust.sides[side - 1]
    return slots_within(side, known.listed, known.listed_to, prices, count, LEVELS)


@kernel
def reach(trust: Record, side: int, best: int) -> int:
    """How far from the touch ``best`` (0 in an empty side) a side is trusted, in counts."""
    known = trust.sides[side - 1]
    if known.kind == EVERYTHING:
        return WHOLE_SIDE
    sign = 2 * side - 3
    if known.kind == UNTRUSTED or best == 0 or sign * best > sign * known.to:
        return NO_REACH
    return int(sign * (known.to - best))


@kernel
def settle_doubts(state: Record, out: Outputs, wanted: int, last_id: int, ts: int) -> None:
    """Open the doubts that hold after this message, and close those that do no more."""
    doubts = state.doubts
    if wanted == doubts:
        return
    for code in range(1, CODES):
        bit = 1 << code
        if doubts & bit and not wanted & bit:
            close_doubt(state, out, code, last_id - 1, ts)
        elif wanted & bit and not doubts & bit:
            open_doubt(state, code, last_id, ts)


@kernel
def settle(
    book: Book,
    state: Record,
    out: Outputs,
    last_id: int,
    ts: int,
    ts_event: int,
    sequence: int,
    state_every: int,
    ahead: bool,
    told: int,
) -> int:
    """End of a book message: touch, trust, doubts, the state row. Returns flags for its rows.

    ``told`` are flags of the message that its state has too. ``ahead``: the message is a snapshot
    whose id lies inside the next depth message; until that one comes, what the snapshot does not
    list is older than what it does. What it lists is kept until then, and no longer.
    """
    trust = state.trust
    # the next state's own levels; where none is due they are room for the touch
    row = out.states[state.states]
    levels = row.levels
    bid_prices = levels[0, :, 0]
    ask_prices = levels[1, :, 0]
    bids = top(book, BID, LEVELS, bid_prices, levels[0, :, 1])
    asks = top(book, ASK, LEVELS, ask_prices, levels[1, :, 1])
    is_crossed = crossed(book)
    if is_crossed and trust.reason == 0:
        # the chain is whole and yet this cannot be: wrong since the book was last confirmed
        lose_since_agreed(state, Q_CROSSED)
    if not is_crossed:
        grow(book, trust, BID)
        grow(book, trust, ASK)
    bid_slots = trusted_slots(book, trust, BID, bid_prices, bids, LEVELS)
    ask_slots = trusted_slots(book, trust, ASK, ask_prices, asks, LEVELS)
    if ahead:
        bid_slots = min(bid_slots, listed_slots(trust, BID, bid_prices, bids))
        ask_slots = min(ask_slots, listed_slots(trust, ASK, ask_prices, asks))
    else:
        forget_listed(trust)

    wanted = 0
    if trust.reason != 0:
        wanted |= 1 << trust.reason
    elif bid_slots == 0 or ask_slots == 0:
        wanted |= 1 << Q_TOUCH_BEYOND_RANGE
    if is_crossed:
        wanted |= 1 << Q_CROSSED
    settle_doubts(state, out, wanted, last_id, ts)

    minute = state.minute
    best_bid = bid_prices[0] if bids > 0 else 0
    best_ask = ask_prices[0] if asks > 0 else 0
    rose = best_bid >= state.last_ask > 0
    fell = 0 < best_ask <= state.last_bid
    if wanted == 0 and (rose or fell):
        minute.through += 1
    state.last_bid = best_bid
    state.last_ask = best_ask
    minute.book_messages += 1
    flags = 0
    if is_crossed:
        flags |= F_CROSSED
        minute.crossed_messages += 1
    if wanted != 0:
        flags |= F_DOUBTFUL
        minute.doubtful_messages += 1
    elif bids > 0 and asks > 0:
        spread = best_ask - best_bid
        minute.spread_sum += spread
        minute.spread_count += 1
        minute.spread_max = max(minute.spread_max, spread)
    trusted = min(bid_slots, ask_slots)
    if minute.trusted_min < 0 or trusted < minute.trusted_min:
        minute.trusted_min = trusted
    minute.bid_reach = reach(trust, BID, best_bid)
    minute.ask_reach = reach(trust, ASK, best_ask)

    if state_every >= 0 and ts >= state.next_state_ts:
        if state_every > 0:
            state.next_state_ts = ts - ts % state_every + state_every
        row.event_id = last_id
        row.ts_order = ts
        row.ts_event = ts_event
        row.sequence = sequence
        row.bid_trusted = bid_slots
        row.ask_trusted = ask_slots
        row.state_flags = flags | told
        state.states += 1
    return flags


# --- minutes and days -------------------------------------------------------------------------

LEAST_FAR_PRINTS = 3
"""The book is stale in a minute with so many prints, at least half of all, far from the touch."""
LEAST_THROUGH = 20
"""A minute lacks trades where the book moved through its touch so often, and none came."""


@kernel
def add_of_minute(state: Record, out: Outputs, code: int, count: int) -> None:
    """Append a finding about the whole open minute."""
    minute = state.minute
    add_finding(
        state,
        out,
        code,
        minute.first_event_id,
        minute.last_event_id,
        minute.minute,
        minute.minute + MINUTE_NS - 1,
        count,
        0,
        0,
    )


@kernel
def close_minute(state: Record, out: Outputs) -> None:
    """Write the open minute and its tallies, if there is one, and empty both."""
    minute = state.minute
    if minute.minute < 0:
        return
    if minute.far_prints >= LEAST_FAR_PRINTS and 2 * minute.far_prints >= minute.prints:
        add_of_minute(state, out, Q_STALE_BOOK, minute.far_prints)
    if minute.through >= LEAST_THROUGH and minute.trades == 0:
        add_of_minute(state, out, Q_TRADES_ABSENT, minute.through)
    out.minutes[state.minutes] = minute
    state.minutes += 1
    state.minute = state.no_minute
    for code in range(CODES):
        one = state.tallies[code]
        if one.count > 0:
            first_number = 0
            last_number = 0
            if code == Q_INVALID_INPUT:
                first_number, last_number = state.invalid_rows[0], state.invalid_rows[1]
                state.invalid_rows[:] = 0
            add_finding(
                state,
                out,
                code,
                one.first.event_id,
                one.last.event_id,
                one.first.ts,
                one.last.ts,
                one.count,
                first_number,
                last_number,
            )
            one.count = 0


@kernel
def enter_minute(state: Record, out: Outputs, ts: int, event_id: int) -> None:
    """Make the minute of ``ts`` the open one."""
    start = ts - ts % MINUTE_NS
    if state.minute.minute != start:
        close_minute(state, out)
        state.minute.minute = start
        state.minute.first_event_id = event_id
        state.minute.last_event_id = event_id - 1
        state.minute.trusted_min = -1
        state.minute.bid_reach = NO_REACH
        state.minute.ask_reach = NO_REACH


@kernel
def begin_day(state: Record, ts: int) -> None:
    """Ids start again at 0: doubts that are open go on from there."""
    set_moment(state.fresh, 0, ts)
    set_moment(state.unproven_since, 0, ts)
    set_moment(state.agreed, 0, ts)
    set_moment(state.compared, 0, ts)
    set_moment(state.chained, 0, ts)
    set_moment(state.first_doubted, 0, ts)
    state.next_state_ts = 0
    for stream in range(COVERED):
        hear_anew(state.heard[stream])
    for code in range(CODES):
        if state.doubts & (1 << code):
            set_moment(state.doubt_since[code], 0, ts)


@kernel
def doubt_the_end(state: Record, out: Outputs, last: int, ts: int) -> None:
    """The events of a day end with ``last``, at ``ts``: nothing vouches for what is left open.

    That is a silence up to there, the book behind lines that cannot be read, and what waits for a
    depth message that never came.
    """
    since = last_known(state)
    if silent(state, ts):
        open_doubt(state, Q_SILENCE, since.event_id, since.ts)
    if state.unread > 0:
        open_doubt(state, Q_UNREADABLE, since.event_id, since.ts)
    if state.vendor_row_waits != 0 and state.mismatches > 0:
        # the message that explains that row never came
        add_since(state, out, Q_DRIFT, state.agreed, last, ts, state.mismatches)
    if state.trust.waits != DEFINITE:  # nothing has vouched for that snapshot
        add_since(state, out, Q_REFUTED, state.first_doubted, last, ts, state.mismatches)
    if state.unfollowed != 0 and state.trust.reason == 0:
        add_since(state, out, Q_ANCHOR_UNPROVEN, state.chained, last, ts, 1)
    if state.on_probation != 0 and state.unlisted >= LEAST_UNLISTED:
        add_since(state, out, Q_DRIFT, state.agreed, last, ts, state.unlisted)


@kernel
def end_day(state: Record, out: Outputs, last: int, ts: int) -> None:
    """Close the minute, and write a finding for each doubt that is still open.

    They stay open, but for those that a chain may prove to be harmless yet.
    """
    end_standstill(state, out, last, ts)
    end_correction(state, out, last, ts)
    close_minute(state, out)
    doubts = state.doubts
    for code in range(CODES):
        if doubts & (1 << code):
            close_doubt(state, out, code, last, ts)
    state.doubts = doubts
    if state.chainless == 0 and state.trust.reason != Q_SILENCE:
        state.doubts &= ~(1 << Q_SILENCE)
    state.doubts &= ~(1 << Q_UNREADABLE)
