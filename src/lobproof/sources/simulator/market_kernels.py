"""The matching engine: price-time priority over first-in first-out queues of orders.

Each operation appends to the event rows what an outside observer would see: one row per trade
and one per change of a level, the trade first.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.sources.simulator.layout_kernels import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    BITS_AT,
    BUY,
    CAPACITY,
    FLOOR,
    FREE,
    HEAD,
    ID_STEP,
    LEVEL,
    LEVEL_SLOTS,
    LEVELS_AT,
    LIST,
    LISTS_AT,
    LIVE,
    MASK,
    MAX_FILLS,
    NEXT,
    ORDER_SLOTS,
    ORDERS_AT,
    PLACE,
    PREV,
    PRICE,
    ROW_ID,
    ROW_KIND,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_SLOTS,
    ROW_TS,
    ROWS,
    ROWS_AT,
    SIZE,
    TAIL,
    TOTAL,
    TRADE,
    TRADE_ID,
    UPDATE_ID,
    USED,
    Int64,
)
from lobproof.sources.simulator.random_kernels import below


@kernel
def order_at(order: int) -> int:
    """Where an order lies in the memory."""
    return ORDERS_AT + ORDER_SLOTS * order


@kernel
def level_at(m: Int64, price: int) -> int:
    """Where the level of ``price`` lies in the memory."""
    return int(m[LEVELS_AT] + LEVEL_SLOTS * (price & m[MASK]))


@kernel
def emit(m: Int64, ts: int, kind: int, side: int, price: int, size: int, number: int) -> None:
    """Append one event row."""
    at = m[ROWS_AT] + ROW_SLOTS * m[ROWS]
    m[at + ROW_TS] = ts
    m[at + ROW_KIND] = kind
    m[at + ROW_SIDE] = side
    m[at + ROW_PRICE] = price
    m[at + ROW_SIZE] = size
    m[at + ROW_ID] = number
    m[ROWS] += 1


@kernel
def emit_level(m: Int64, ts: int, side: int, price: int) -> None:
    """Append the quantity that the level at ``price`` now has, under the next update id."""
    if m[ID_STEP] > 1:
        m[UPDATE_ID] += below(m, 2 * int(m[ID_STEP]) - 1)
    m[UPDATE_ID] += 1
    emit(m, ts, LEVEL, side, price, int(m[level_at(m, price) + TOTAL]), int(m[UPDATE_ID]))


@kernel
def next_best(m: Int64, side: int, price: int) -> int:
    """The best price of ``side`` at or behind ``price``, 0 when there is none.

    Occupied levels are bits, 32 to a word.
    """
    mask, bits, floor = int(m[MASK]), int(m[BITS_AT]), int(m[FLOOR])
    if side == BID:
        stop = max(floor, 1)
        while price >= stop:
            at = price & mask
            word = int(m[bits + (at >> 5)]) & ((2 << (at & 31)) - 1)
            if word:
                top = 0
                while word > 1:
                    word >>= 1
                    top += 1
                price += top - (at & 31)
                return price if price >= stop else 0
            price -= (at & 31) + 1
        return 0
    stop = floor + mask + 1
    while price < stop:
        at = price & mask
        word = int(m[bits + (at >> 5)]) >> (at & 31)
        if word:
            while not word & 1:
                word >>= 1
                price += 1
            return price if price < stop else 0
        price += 32 - (at & 31)
    return 0


@kernel
def place(m: Int64, ts: int, side: int, price: int, size: int, listed: int) -> int:
    """Rest an order that does not cross, last in its queue; its number, 0 when there is no room.

    ``listed`` is the list of live orders that it joins. The price must lie within the ring.
    """
    order = int(m[FREE])
    if order:
        m[FREE] = m[order_at(order) + NEXT]
    else:
        order = int(m[USED])
        if order == m[CAPACITY]:
            return 0
        m[USED] = order + 1
    level = level_at(m, price)
    tail = int(m[level + TAIL])
    at = order_at(order)
    m[at + PRICE] = price
    m[at + SIZE] = size
    m[at + NEXT] = 0
    m[at + PREV] = tail
    m[at + LIST] = listed
    m[at + PLACE] = m[LIVE + listed]
    m[m[LISTS_AT] + listed * m[CAPACITY] + m[LIVE + listed]] = order
    m[LIVE + listed] += 1
    m[level + TAIL] = order
    m[level + TOTAL] += size
    if tail:
        m[order_at(tail) + NEXT] = order
    else:
        m[level + HEAD] = order
        slot = price & int(m[MASK])
        m[m[BITS_AT] + (slot >> 5)] |= 1 << (slot & 31)
        if side == BID:
            m[BEST_BID] = max(int(m[BEST_BID]), price)
        elif m[BEST_ASK] == 0 or price < m[BEST_ASK]:
            m[BEST_ASK] = price
    emit_level(m, ts, side, price)
    return order


@kernel
def unlink(m: Int64, order: int, side: int) -> None:
    """Take an order (its remaining size still in the level) out of queue, level and list."""
    at = order_at(order)
    price, before, after = int(m[at + PRICE]), int(m[at + PREV]), int(m[at + NEXT])
    level = level_at(m, price)
    m[level + TOTAL] -= m[at + SIZE]
    if before:
        m[order_at(before) + NEXT] = after
    else:
        m[level + HEAD] = after
    if after:
        m[order_at(after) + PREV] = before
    else:
        m[level + TAIL] = before
    listed = int(m[at + LIST])
    members = int(m[LISTS_AT] + listed * m[CAPACITY])
    m[LIVE + listed] -= 1
    moved = int(m[members + m[LIVE + listed]])
    m[members + m[at + PLACE]] = moved
    m[order_at(moved) + PLACE] = m[at + PLACE]
    m[at + NEXT] = m[FREE]
    m[at + SIZE] = 0
    m[FREE] = order
    if m[level + HEAD] == 0:
        slot = price & int(m[MASK])
        m[m[BITS_AT] + (slot >> 5)] ^= 1 << (slot & 31)
        if side == BID and price == m[BEST_BID]:
            m[BEST_BID] = next_best(m, BID, price - 1)
        elif side == ASK and price == m[BEST_ASK]:
            m[BEST_ASK] = next_best(m, ASK, price + 1)


@kernel
def cancel(m: Int64, ts: int, order: int) -> None:
    """Remove a live order."""
    at = order_at(order)
    price = int(m[at + PRICE])
    side = BID + (int(m[at + LIST]) & 1)
    unlink(m, order, side)
    emit_level(m, ts, side, price)


@kernel
def take(m: Int64, ts: int, taker: int, size: int, limit: int, fills: int) -> int:
    """Match an order against the other side, best price first, oldest order first.

    Nothing beyond the price ``limit`` is taken, and no more than ``fills`` orders (up to
    ``MAX_FILLS``). Returns the quantity traded, at most ``size``.
    """
    maker = ASK if taker == BUY else BID
    best = BEST_ASK if taker == BUY else BEST_BID
    left = size
    for _ in range(min(fills, MAX_FILLS)):
        price = int(m[best])
        if left == 0 or price == 0:
            break
        if (taker == BUY and price > limit) or (taker != BUY and price < limit):
            break
        level = level_at(m, price)
        order = int(m[level + HEAD])
        at = order_at(order)
        filled = min(left, int(m[at + SIZE]))
        m[TRADE_ID] += 1
        emit(m, ts, TRADE, taker, price, filled, int(m[TRADE_ID]))
        m[at + SIZE] -= filled
        m[level + TOTAL] -= filled
        if m[at + SIZE] == 0:
            unlink(m, order, maker)
        emit_level(m, ts, maker, price)
        left -= filled
    return size - left


@kernel
def list_side(m: Int64, side: int, levels: Int64) -> int:
    """Fill ``levels`` (n, 2) with prices and sizes of a side, best first; returns how many."""
    price = int(m[BEST_BID if side == BID else BEST_ASK])
    step = -1 if side == BID else 1
    count = 0
    while price and count < len(levels):
        levels[count, 0] = price
        levels[count, 1] = m[level_at(m, price) + TOTAL]
        count += 1
        price = next_best(m, side, price + step)
    return count
