"""A venue's publisher: market events in, depth messages every 100 ms and touch changes out.

The publisher's memory is one int64 array whose first slots are those of a market's (random state,
best prices, ring), so that :func:`~lobproof.sources.simulator.market_kernels.next_best` works on
it too. Its ladder holds one signed quantity per price: positive bids, negative asks.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.sources.simulator.layout_kernels import (
    BEST_ASK,
    BEST_BID,
    BID,
    BITS_AT,
    FLOOR,
    HEADER_SLOTS,
    LEVEL,
    MASK,
    ROW_ID,
    ROW_KIND,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_TS,
    Int64,
)
from lobproof.sources.simulator.market_kernels import next_best
from lobproof.sources.simulator.random_kernels import below

# slots of m that a market's memory uses otherwise
PUBLISH_MS, CUT_MS = 7, 8  # when the open message will be published; what it holds ends before
LAST_ID = 9  # id of the last update seen
SENT_ID = 10  # final id of the last message
FIRST_ID = 11  # id of the first update in the open message
BIDS, ASKS = 12, 13  # levels touched since the last message
NUMBER = 14  # number of the open message
TYPICAL = 15  # running mean of the levels a message names, times 256
LAST_CHANGED_TOUCH = 16  # whether the last update changed the touch
TOUCH = 17  # four slots: bid, its size, ask, its size, as last published
LAG_MS, LAG_SHARE = 21, 22  # lag in bursts; shares are in millionths
LATE_SHARE = 23
WANT_TICKERS, WANT_TOPS = 24, 25
SNAPSHOT_DUE = 26  # ns
FULL_EVERY = 27  # stop after every so many messages; 0 never
LADDER_AT, MARKS_AT, TOUCHED_AT, ROOM = 28, 29, 30, 31  # ROOM: touched levels a side
MESSAGES, DEPTH_ROWS, TICKERS = 40, 41, 42  # filled rows of the outputs
FEED_AT = HEADER_SLOTS

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
def apply_level(m: Int64, side: int, price: int, size: int) -> None:
    """Set a level of the ladder and follow the best prices."""
    if price < m[FLOOR]:
        m[FLOOR] = price
    elif price > m[FLOOR] + m[MASK]:
        m[FLOOR] = price - m[MASK]
    slot = price & int(m[MASK])
    word = int(m[BITS_AT]) + (slot >> 5)
    if size:
        m[m[LADDER_AT] + slot] = size if side == BID else -size
        m[word] |= 1 << (slot & 31)
        if side == BID:
            m[BEST_BID] = max(int(m[BEST_BID]), price)
        elif m[BEST_ASK] == 0 or price < m[BEST_ASK]:
            m[BEST_ASK] = price
        return
    m[m[LADDER_AT] + slot] = 0
    m[word] &= ~(1 << (slot & 31))
    if side == BID:
        if price == m[BEST_BID]:
            m[BEST_BID] = next_best(m, side, price - 1)
    elif price == m[BEST_ASK]:
        m[BEST_ASK] = next_best(m, side, price + 1)


@kernel
def level_size(m: Int64, side: int, price: int) -> int:
    """The quantity that ``side`` has at ``price``."""
    signed = int(m[m[LADDER_AT] + (price & m[MASK])])
    return max(signed if side == BID else -signed, 0)


@kernel
def ladder_side(m: Int64, side: int, levels: Int64, start: int, stop: int) -> int:
    """Fill ``levels[start:stop]`` with a side's price, size, price, … best first; levels found."""
    price = int(m[BEST_BID if side == BID else BEST_ASK])
    step = -1 if side == BID else 1
    at = start
    while price and at < stop:
        levels[at] = price
        levels[at + 1] = level_size(m, side, price)
        at += 2
        price = next_best(m, side, price + step)
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
def touch(m: Int64, side: int, price: int) -> None:
    """Note that the open message names a level (bids are kept negated, to sort best first)."""
    mark = int(m[MARKS_AT]) + 2 * (price & int(m[MASK])) + side - BID
    if m[mark] == m[NUMBER]:
        return
    m[mark] = m[NUMBER]
    if side == BID:
        m[m[TOUCHED_AT] + m[BIDS]] = -price
        m[BIDS] += 1
    else:
        m[m[TOUCHED_AT] + m[ROOM] + m[ASKS]] = price
        m[ASKS] += 1


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
def name_levels(m: Int64, side: int, rows: Int64, at: int, late: bool, depth: Int64) -> None:
    """Write the touched levels of a side to ``depth``, best first, with their present quantities.

    A ``late`` sample shows levels that one of the next events removes as removed already.
    """
    start = int(m[TOUCHED_AT]) + (0 if side == BID else int(m[ROOM]))
    stop = start + int(m[BIDS] if side == BID else m[ASKS])
    until = (int(m[PUBLISH_MS]) + LATE_MS) * 1_000_000
    sort_span(m, start, stop)
    for slot in range(start, stop):
        price = int(m[slot]) if side != BID else -int(m[slot])
        size = level_size(m, side, price)
        if late and size and dies_soon(rows, at, until, side, price):
            size = 0
        row = int(m[DEPTH_ROWS])
        depth[row, 0] = side
        depth[row, 1] = price
        depth[row, 2] = size
        m[DEPTH_ROWS] = row + 1


@kernel
def note_tops(m: Int64, first_row: int, depth: Int64, truths: Int64, tops: Int64) -> None:
    """Write the twenty best levels a side: of the market, and as a client now knows them."""
    k = int(m[MESSAGES])
    half = 2 * DEPTH_LEVELS
    base = k * 2 * half
    for slot in range(base, base + 2 * half):
        truths[slot] = 0
        tops[slot] = 0
    ladder_side(m, BID, truths, base, base + half)
    ladder_side(m, BID + 1, truths, base + half, base + 2 * half)
    hidden = 0
    for row in range(first_row, int(m[DEPTH_ROWS])):
        side, price = int(depth[row, 0]), int(depth[row, 1])
        size = level_size(m, side, price)
        if size != depth[row, 2]:
            # park the true size below the touched levels until the listing is done
            at = int(m[TOUCHED_AT]) + 2 * int(m[ROOM]) + 3 * hidden
            m[at] = side
            m[at + 1] = price
            m[at + 2] = size
            hidden += 1
            apply_level(m, side, price, 0)
    ladder_side(m, BID, tops, base, base + half)
    ladder_side(m, BID + 1, tops, base + half, base + 2 * half)
    for k in range(hidden):
        at = int(m[TOUCHED_AT]) + 2 * int(m[ROOM]) + 3 * k
        apply_level(m, int(m[at]), int(m[at + 1]), int(m[at + 2]))


@kernel
def close(
    m: Int64, rows: Int64, at: int, messages: Int64, depth: Int64, truths: Int64, tops: Int64
) -> None:
    """Publish the open message, if it holds anything, and open the next; ``rows[at]`` is in it."""
    named = int(m[BIDS] + m[ASKS])
    now = int(rows[at, ROW_TS]) // 1_000_000
    if named == 0:
        ahead = max(now - int(m[PUBLISH_MS]) + 1, 1)
        m[PUBLISH_MS] += (ahead + INTERVAL_MS - 1) // INTERVAL_MS * INTERVAL_MS
        m[CUT_MS] = m[PUBLISH_MS]
        return
    late = False
    if m[LATE_SHARE] and below(m, 1_000_000) < m[LATE_SHARE]:
        # where the last update shows at the touch, a ticker of that id shows it too
        late = m[LAST_CHANGED_TOUCH] == 0
    first_row = int(m[DEPTH_ROWS])
    name_levels(m, BID, rows, at, late, depth)
    name_levels(m, BID + 1, rows, at, late, depth)
    if m[WANT_TOPS]:
        note_tops(m, first_row, depth, truths, tops)
    k = int(m[MESSAGES])
    messages[k, 0] = m[PUBLISH_MS]
    messages[k, 1] = m[FIRST_ID]
    messages[k, 2] = m[LAST_ID]
    messages[k, 3] = m[SENT_ID]
    messages[k, 4] = m[DEPTH_ROWS]
    m[MESSAGES] = k + 1
    m[SENT_ID] = m[LAST_ID]
    m[NUMBER] += 1
    m[BIDS] = 0
    m[ASKS] = 0
    burst = 256 * named > 2 * m[TYPICAL]
    m[TYPICAL] += (256 * named - m[TYPICAL]) // 64
    lag = 0
    if burst and m[LAG_MS] and below(m, 1_000_000) < m[LAG_SHARE]:
        lag = 1 + below(m, int(m[LAG_MS]))
    m[PUBLISH_MS] += INTERVAL_MS
    m[CUT_MS] = max(int(m[CUT_MS]), int(m[PUBLISH_MS]) - lag)


@kernel
def publish(
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
        if ts >= m[SNAPSHOT_DUE]:
            return at, AT_SNAPSHOT
        if ts // 1_000_000 >= m[CUT_MS]:
            before = int(m[MESSAGES])
            close(m, rows, at, messages, depth, truths, tops)
            if m[MESSAGES] > before and m[FULL_EVERY] and m[NUMBER] % m[FULL_EVERY] == 0:
                return at, AT_FULL
            continue
        if rows[at, ROW_KIND] == LEVEL:
            side, price = int(rows[at, ROW_SIDE]), int(rows[at, ROW_PRICE])
            if m[BIDS] + m[ASKS] == 0:
                m[FIRST_ID] = rows[at, ROW_ID]
            apply_level(m, side, price, int(rows[at, ROW_SIZE]))
            touch(m, side, price)
            m[LAST_ID] = rows[at, ROW_ID]
            bid, ask = int(m[BEST_BID]), int(m[BEST_ASK])
            bid_size = level_size(m, BID, bid) if bid else 0
            ask_size = level_size(m, BID + 1, ask) if ask else 0
            changed = (
                bid != m[TOUCH]
                or bid_size != m[TOUCH + 1]
                or ask != m[TOUCH + 2]
                or ask_size != m[TOUCH + 3]
            )
            m[LAST_CHANGED_TOUCH] = int(changed)
            if changed:
                m[TOUCH] = bid
                m[TOUCH + 1] = bid_size
                m[TOUCH + 2] = ask
                m[TOUCH + 3] = ask_size
                if m[WANT_TICKERS]:
                    k = int(m[TICKERS])
                    tickers[k, 0] = ts
                    tickers[k, 1] = rows[at, ROW_ID]
                    tickers[k, 2] = bid
                    tickers[k, 3] = bid_size
                    tickers[k, 4] = ask
                    tickers[k, 5] = ask_size
                    m[TICKERS] = k + 1
        at += 1
    return at, DONE
