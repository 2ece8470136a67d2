"""Kernel for the end of a book message: touch, trust, doubts, the state row."""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import (
    Book,
    best_price,
    crossed,
    extend_trust,
    grow_range,
    slots_within,
    top,
    trust,
    trusted_slots,
    trusted_to,
)
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    CODES,
    DOUBT,
    LAST_ASK,
    LAST_BID,
    LOST,
    M_ASK_REACH,
    M_BID_REACH,
    M_BOOK_MESSAGES,
    M_CROSSED,
    M_DOUBTFUL,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_SPREAD_SUM,
    M_THROUGH,
    M_TRUSTED_MIN,
    NEXT_STATE_TS,
    NO_REACH,
    SNAPSHOT_TRUST,
    STALE,
    STATES,
    THIS_MINUTE,
    WHOLE_SIDE,
    close_doubt,
    open_doubt,
)
from lobproof.replay.mark_kernels import lose_trust
from lobproof.schema import (
    EVERYTHING,
    LEVELS,
    RANGE,
    UNTRUSTED,
    Finding,
    Flag,
    Int64,
    Side,
)

BID = int(Side.BID)
ASK = int(Side.ASK)

F_DOUBTFUL = int(Flag.DOUBTFUL)
F_CROSSED = int(Flag.CROSSED)

Q_CROSSED = int(Finding.CROSSED)
Q_BEYOND = int(Finding.TOUCH_BEYOND_RANGE)

# columns of the states that a step gives
S_ID, S_TS, S_TS_EVENT, S_SEQUENCE, S_BID_TRUSTED, S_ASK_TRUSTED, S_FLAGS, S_LEVELS = range(8)
STATE_COLUMNS = S_LEVELS + 4 * LEVELS
FINDINGS_A_MESSAGE = 2 * CODES + 8
"""More findings than one message can give: each code closed once, each tally once, and its own."""


@kernel
def grow(book: Book, run: Int64, side: int) -> None:
    """Extend a trusted range as far as the book proves.

    Neighbours are one count of the grid apart, not one tick: orders older than a change of the
    tick may rest in between, unseen. Where the book may hold levels from before a loss they prove
    nothing, and only the opposite touch does.
    """
    if run[STALE + side - 1] == 0:
        grow_range(book, side, 1)
    elif trust(book, side) == RANGE and best_price(book, 3 - side) != 0:
        extend_trust(book, side, best_price(book, 3 - side), False)


@kernel
def covered_slots(run: Int64, side: int, prices: Int64, count: int) -> int:
    """How many of the leading slots the last snapshot itself lists."""
    covered = SNAPSHOT_TRUST + 2 * (side - 1)
    return slots_within(side, run[covered], run[covered + 1], prices, count, LEVELS)


@kernel
def reach(book: Book, side: int, best: int) -> int:
    """How far from the touch ``best`` (0 in an empty side) a side is trusted, in counts."""
    kind = trust(book, side)
    if kind == EVERYTHING:
        return WHOLE_SIDE
    sign = 2 * side - 3
    if kind == UNTRUSTED or best == 0 or sign * best > sign * trusted_to(book, side):
        return NO_REACH
    return int(sign * (trusted_to(book, side) - best))


@kernel
def settle(
    book: Book,
    run: Int64,
    found: Int64,
    states: Int64,
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
    bid_prices = np.empty(LEVELS, np.int64)
    bid_sizes = np.empty(LEVELS, np.int64)
    ask_prices = np.empty(LEVELS, np.int64)
    ask_sizes = np.empty(LEVELS, np.int64)
    bids = top(book, BID, LEVELS, bid_prices, bid_sizes)
    asks = top(book, ASK, LEVELS, ask_prices, ask_sizes)
    is_crossed = crossed(book)
    if is_crossed and run[LOST] == 0:
        # the chain is whole and yet this cannot be: wrong since the book was last confirmed
        lose_trust(book, run, Q_CROSSED)
        open_doubt(run, Q_CROSSED, run[AGREED_ID], run[AGREED_TS])
    if not is_crossed:
        grow(book, run, BID)
        grow(book, run, ASK)
    bid_slots = trusted_slots(book, BID, bid_prices, bids, LEVELS)
    ask_slots = trusted_slots(book, ASK, ask_prices, asks, LEVELS)
    if ahead:
        bid_slots = min(bid_slots, covered_slots(run, BID, bid_prices, bids))
        ask_slots = min(ask_slots, covered_slots(run, ASK, ask_prices, asks))
    else:
        run[SNAPSHOT_TRUST : SNAPSHOT_TRUST + 4] = UNTRUSTED

    lost = run[LOST]
    wanted = 0
    if lost != 0:
        wanted |= 1 << lost
    elif bid_slots == 0 or ask_slots == 0:
        wanted |= 1 << Q_BEYOND
    if is_crossed:
        wanted |= 1 << Q_CROSSED
    doubt = run[DOUBT]
    if wanted != doubt:
        for code in range(1, CODES):
            bit = 1 << code
            if doubt & bit and not wanted & bit:
                close_doubt(run, found, code, last_id - 1, ts)
            elif wanted & bit and not doubt & bit:
                open_doubt(run, code, last_id, ts)

    best_bid = bid_prices[0] if bids > 0 else 0
    best_ask = ask_prices[0] if asks > 0 else 0
    rose = best_bid >= run[LAST_ASK] > 0
    fell = 0 < best_ask <= run[LAST_BID]
    if wanted == 0 and (rose or fell):
        run[THIS_MINUTE + M_THROUGH] += 1
    run[LAST_BID] = best_bid
    run[LAST_ASK] = best_ask
    run[THIS_MINUTE + M_BOOK_MESSAGES] += 1
    flags = 0
    if is_crossed:
        flags |= F_CROSSED
        run[THIS_MINUTE + M_CROSSED] += 1
    if wanted != 0:
        flags |= F_DOUBTFUL
        run[THIS_MINUTE + M_DOUBTFUL] += 1
    elif bids > 0 and asks > 0:
        spread = ask_prices[0] - bid_prices[0]
        run[THIS_MINUTE + M_SPREAD_SUM] += spread
        run[THIS_MINUTE + M_SPREAD_COUNT] += 1
        run[THIS_MINUTE + M_SPREAD_MAX] = max(run[THIS_MINUTE + M_SPREAD_MAX], spread)
    trusted = min(bid_slots, ask_slots)
    if run[THIS_MINUTE + M_TRUSTED_MIN] < 0 or trusted < run[THIS_MINUTE + M_TRUSTED_MIN]:
        run[THIS_MINUTE + M_TRUSTED_MIN] = trusted
    run[THIS_MINUTE + M_BID_REACH] = reach(book, BID, best_bid)
    run[THIS_MINUTE + M_ASK_REACH] = reach(book, ASK, best_ask)

    if state_every >= 0 and ts >= run[NEXT_STATE_TS]:
        if state_every > 0:
            run[NEXT_STATE_TS] = ts - ts % state_every + state_every
        at = run[STATES]
        states[at, S_ID] = last_id
        states[at, S_TS] = ts
        states[at, S_TS_EVENT] = ts_event
        states[at, S_SEQUENCE] = sequence
        states[at, S_BID_TRUSTED] = bid_slots
        states[at, S_ASK_TRUSTED] = ask_slots
        states[at, S_FLAGS] = flags | told
        for k in range(LEVELS):
            states[at, S_LEVELS + 2 * k] = bid_prices[k]
            states[at, S_LEVELS + 2 * k + 1] = bid_sizes[k]
            states[at, S_LEVELS + 2 * (LEVELS + k)] = ask_prices[k]
            states[at, S_LEVELS + 2 * (LEVELS + k) + 1] = ask_sizes[k]
        run[STATES] = at + 1
    return flags
