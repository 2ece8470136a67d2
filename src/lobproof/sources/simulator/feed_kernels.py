"""A venue's publisher: market events in, depth messages every 100 ms and touch changes out.

The publisher's memory is one int64 array: a ladder of one signed quantity per price (positive bids,
negative asks), marks of the levels that the open message names, the ladder's bits, those levels.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, integers, record
from lobproof.sources.simulator.layout_kernels import (
    BID,
    LEVEL,
    RANDOM,
    RING,
    ROW_ID,
    ROW_KIND,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_TS,
)
from lobproof.sources.simulator.market_kernels import next_best
from lobproof.sources.simulator.random_kernels import below

FEED = record(
    ("random", RANDOM),
    ("ring", RING),
    *integers("publish_ms", "cut_ms"),  # when the open message is due; what it holds ends before
    *integers("last_id"),  # of the last update seen
    *integers("sent_id"),  # final id of the last message
    *integers("first_id"),  # of the first update in the open message
    *integers("bids", "asks"),  # levels touched since the last message
    *integers("number"),  # of the open message
    *integers("typical"),  # running mean of the levels a message names, times 256
    *integers("last_changed_touch"),  # whether the last update did
    *integers("touch_bid", "touch_bid_size", "touch_ask", "touch_ask_size"),  # last published
    *integers("lag_ms", "lag_share", "late_share"),  # lag in bursts; shares are in millionths
    *integers("want_tickers", "want_tops"),
    *integers("snapshot_due"),  # ns
    *integers("full_every"),  # stop after every so many messages; 0 never
    *integers("marks_at", "touched_at"),  # in the memory, whose ladder comes first
    *integers("room"),  # for touched levels, a side
    *integers("messages", "depth_rows", "tickers"),  # filled rows of the outputs
)
"""What a publisher keeps beside its memory."""

INTERVAL_MS = 100
LOOK_AHEAD = 8
"""Events behind a message that a late sample may already show."""
LATE_MS = 5
"""How long after publication they happen at most; the next message tells of them."""
LONGEST_LAG_MS = INTERVAL_MS - LATE_MS
DEPTH_LEVELS = 20

MESSAGE_SLOTS = 5  # publish ms, first id, last id, previous last id, end of its depth rows
DONE, AT_SNAPSHOT, AT_FULL = 0, 1, 2


@kernel
def apply_level(state: Record, m: Int64, side: int, price: int, size: int) -> None:
    """Set a level of the ladder and follow the best prices."""
    if price < state.ring.floor:
        state.ring.floor = price
    elif price > state.ring.floor + state.ring.mask:
        state.ring.floor = price - state.ring.mask
    slot = price & int(state.ring.mask)
    word = int(state.ring.bits_at) + (slot >> 5)
    if size:
        m[slot] = size if side == BID else -size
        m[word] |= 1 << (slot & 31)
        if side == BID:
            state.ring.best_bid = max(int(state.ring.best_bid), price)
        elif state.ring.best_ask == 0 or price < state.ring.best_ask:
            state.ring.best_ask = price
        return
    m[slot] = 0
    m[word] &= ~(1 << (slot & 31))
    if side == BID:
        if price == state.ring.best_bid:
            state.ring.best_bid = next_best(state.ring, m, side, price - 1)
    elif price == state.ring.best_ask:
        state.ring.best_ask = next_best(state.ring, m, side, price + 1)


@kernel
def level_size(state: Record, m: Int64, side: int, price: int) -> int:
    """The quantity that ``side`` has at ``price``."""
    signed = int(m[price & state.ring.mask])
    return max(signed if side == BID else -signed, 0)


@kernel
def ladder_side(state: Record, m: Int64, side: int, levels: Int64, start: int, stop: int) -> int:
    """Fill ``levels[start:stop]`` with a side's price, size, price, … best first; levels found."""
    price = int(state.ring.best_bid if side == BID else state.ring.best_ask)
    step = -1 if side == BID else 1
    at = start
    while price and at < stop:
        levels[at] = price
        levels[at + 1] = level_size(state, m, side, price)
        at += 2
        price = next_best(state.ring, m, side, price + step)
    return (at - start) // 2


@kernel
def sort_span(m: Int64, start: int, stop: int) -> None:
    """Sort ``m[start:stop]`` in place (Shell's method; spans are short)."""
    gap = 1
    while gap < (stop - start) // 3:
        gap = 3 * gap + 1
    while gap:
        for i in range(start + gap, stop):
            value = m[i]
            j = i
            while j >= start + gap and m[j - gap] > value:
                m[j] = m[j - gap]
                j -= gap
            m[j] = value
        gap //= 3


@kernel
def touch(state: Record, m: Int64, side: int, price: int) -> None:
    """Note that the open message names a level (bids are kept negated, to sort best first)."""
    mark = int(state.marks_at) + 2 * (price & int(state.ring.mask)) + side - BID
    if m[mark] == state.number:
        return
    m[mark] = state.number
    if side == BID:
        m[state.touched_at + state.bids] = -price
        state.bids += 1
    else:
        m[state.touched_at + state.room + state.asks] = price
        state.asks += 1


@kernel
def dies_soon(rows: Int64, at: int, until: int, side: int, price: int) -> bool:
    """Whether one of the next events, if before ``until``, removes that level."""
    for row in range(at, min(at + LOOK_AHEAD, len(rows))):
        if (
            rows[row, ROW_TS] < until
            and rows[row, ROW_KIND] == LEVEL
            and rows[row, ROW_PRICE] == price
            and rows[row, ROW_SIDE] == side
            and rows[row, ROW_SIZE] == 0
        ):
            return True
    return False


@kernel
def name_levels(
    state: Record, m: Int64, side: int, rows: Int64, at: int, late: bool, depth: Int64
) -> None:
    """Write the touched levels of a side to ``depth``, best first, with their present quantities.

    A ``late`` sample shows levels that one of the next events removes as removed already.
    """
    start = int(state.touched_at) + (0 if side == BID else int(state.room))
    stop = start + int(state.bids if side == BID else state.asks)
    until = (int(state.publish_ms) + LATE_MS) * 1_000_000
    sort_span(m, start, stop)
    for slot in range(start, stop):
        price = int(m[slot]) if side != BID else -int(m[slot])
        size = level_size(state, m, side, price)
        if late and size and dies_soon(rows, at, until, side, price):
            size = 0
        row = int(state.depth_rows)
        depth[row, 0] = side
        depth[row, 1] = price
        depth[row, 2] = size
        state.depth_rows = row + 1


@kernel
def note_tops(
    state: Record, m: Int64, first_row: int, depth: Int64, truths: Int64, tops: Int64
) -> None:
    """Write the twenty best levels a side: of the market, and as a client now knows them."""
    k = int(state.messages)
    half = 2 * DEPTH_LEVELS
    base = k * 2 * half
    for slot in range(base, base + 2 * half):
        truths[slot] = 0
        tops[slot] = 0
    ladder_side(state, m, BID, truths, base, base + half)
    ladder_side(state, m, BID + 1, truths, base + half, base + 2 * half)
    hidden = 0
    for row in range(first_row, int(state.depth_rows)):
        side, price = int(depth[row, 0]), int(depth[row, 1])
        size = level_size(state, m, side, price)
        if size != depth[row, 2]:
            # park the true size below the touched levels until the listing is done
            at = int(state.touched_at) + 2 * int(state.room) + 3 * hidden
            m[at] = side
            m[at + 1] = price
            m[at + 2] = size
            hidden += 1
            apply_level(state, m, side, price, 0)
    ladder_side(state, m, BID, tops, base, base + half)
    ladder_side(state, m, BID + 1, tops, base + half, base + 2 * half)
    for k in range(hidden):
        at = int(state.touched_at) + 2 * int(state.room) + 3 * k
        apply_level(state, m, int(m[at]), int(m[at + 1]), int(m[at + 2]))


@kernel
def close(
    state: Record,
    m: Int64,
    rows: Int64,
    at: int,
    messages: Int64,
    depth: Int64,
    truths: Int64,
    tops: Int64,
) -> None:
    """Publish the open message, if it holds anything, and open the next; ``rows[at]`` is in it."""
    named = int(state.bids + state.asks)
    now = int(rows[at, ROW_TS]) // 1_000_000
    if named == 0:
        ahead = max(now - int(state.publish_ms) + 1, 1)
        state.publish_ms += (ahead + INTERVAL_MS - 1) // INTERVAL_MS * INTERVAL_MS
        state.cut_ms = state.publish_ms
        return
    late = False
    if state.late_share and below(state.random, 1_000_000) < state.late_share:
        # where the last update shows at the touch, a ticker of that id shows it too
        late = state.last_changed_touch == 0
    first_row = int(state.depth_rows)
    name_levels(state, m, BID, rows, at, late, depth)
    name_levels(state, m, BID + 1, rows, at, late, depth)
    if state.want_tops:
        note_tops(state, m, first_row, depth, truths, tops)
    k = int(state.messages)
    messages[k, 0] = state.publish_ms
    messages[k, 1] = state.first_id
    messages[k, 2] = state.last_id
    messages[k, 3] = state.sent_id
    messages[k, 4] = state.depth_rows
    state.messages = k + 1
    state.sent_id = state.last_id
    state.number += 1
    state.bids = 0
    state.asks = 0
    burst = 256 * named > 2 * state.typical
    state.typical += (256 * named - state.typical) // 64
    lag = 0
    if burst and state.lag_ms and below(state.random, 1_000_000) < state.lag_share:
        lag = 1 + below(state.random, int(state.lag_ms))
    state.publish_ms += INTERVAL_MS
    state.cut_ms = max(int(state.cut_ms), int(state.publish_ms) - lag)


@kernel
def publish(
    state: Record,
    m: Int64,
    rows: Int64,
    start: int,
    stop: int,
    messages: Int64,
    depth: Int64,
    tickers: Int64,
    truths: Int64,
    tops: Int64,
) -> tuple[int, int]:
    """Take market events ``start`` to ``stop``; returns the next row and why it stopped there.

    ``rows`` reaches up to LOOK_AHEAD further. ``AT_SNAPSHOT``: a REST snapshot is due before the
    row; ``AT_FULL``: a message was published, and the ladder is as of its last id.
    """
    at = start
    while at < stop:
        ts = int(rows[at, ROW_TS])
        if ts >= state.snapshot_due:
            return at, AT_SNAPSHOT
        if ts // 1_000_000 >= state.cut_ms:
            before = int(state.messages)
            close(state, m, rows, at, messages, depth, truths, tops)
            if (
                state.messages > before
                and state.full_every
                and state.number % state.full_every == 0
            ):
                return at, AT_FULL
            continue
        if rows[at, ROW_KIND] == LEVEL:
            side, price = int(rows[at, ROW_SIDE]), int(rows[at, ROW_PRICE])
            if state.bids + state.asks == 0:
                state.first_id = rows[at, ROW_ID]
            apply_level(state, m, side, price, int(rows[at, ROW_SIZE]))
            touch(state, m, side, price)
            state.last_id = rows[at, ROW_ID]
            bid, ask = int(state.ring.best_bid), int(state.ring.best_ask)
            bid_size = level_size(state, m, BID, bid) if bid else 0
            ask_size = level_size(state, m, BID + 1, ask) if ask else 0
            changed = (
                bid != state.touch_bid
                or bid_size != state.touch_bid_size
                or ask != state.touch_ask
                or ask_size != state.touch_ask_size
            )
            state.last_changed_touch = int(changed)
            if changed:
                state.touch_bid = bid
                state.touch_bid_size = bid_size
                state.touch_ask = ask
                state.touch_ask_size = ask_size
                if state.want_tickers:
                    k = int(state.tickers)
                    tickers[k, 0] = ts
                    tickers[k, 1] = rows[at, ROW_ID]
                    tickers[k, 2] = bid
                    tickers[k, 3] = bid_size
                    tickers[k, 4] = ask
                    tickers[k, 5] = ask_size
                    state.tickers = k + 1
        at += 1
    return at, DONE
