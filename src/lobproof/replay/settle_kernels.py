"""The end of a book message: touch, trust, doubts, counts, and the state row."""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, crossed, top
from lobproof.book.trust_kernels import forget_listed, grow, slots_within, trusted_slots
from lobproof.jit import kernel
from lobproof.replay.loss_kernels import lose_since_agreed
from lobproof.replay.state_kernels import (
    CODES,
    NO_REACH,
    WHOLE_SIDE,
    Outputs,
    close_doubt,
    open_doubt,
)
from lobproof.schema import EVERYTHING, LEVELS, UNTRUSTED, Int64
from lobproof.schema.plain import ASK, BID, F_CROSSED, F_DOUBTFUL, Q_CROSSED, Q_TOUCH_BEYOND_RANGE
from lobproof.schema.records import Record

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
    levels = np.empty((2, 2, LEVELS), np.int64)  # side, price and size
    bid_prices = levels[0, 0]
    ask_prices = levels[1, 0]
    bids = top(book, BID, LEVELS, bid_prices, levels[0, 1])
    asks = top(book, ASK, LEVELS, ask_prices, levels[1, 1])
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
        row = out.states[state.states]
        row.event_id = last_id
        row.ts_order = ts
        row.ts_event = ts_event
        row.sequence = sequence
        row.bid_trusted = bid_slots
        row.ask_trusted = ask_slots
        row.state_flags = flags | told
        slots = row.levels
        for k in range(LEVELS):
            slots[0, k, 0] = levels[0, 0, k]
            slots[0, k, 1] = levels[0, 1, k]
            slots[1, k, 0] = levels[1, 0, k]
            slots[1, k, 1] = levels[1, 1, k]
        state.states += 1
    return flags
