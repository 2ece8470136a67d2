"""The matching engine: price-time priority over first-in first-out queues of orders.

Each operation appends to the event rows what an outside observer would see: one row per trade
and one per change of a level, the trade first.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record
from lobproof.sources.simulator.layout_kernels import (
    ASK,
    BID,
    BUY,
    HEAD,
    LEVEL,
    LEVEL_SLOTS,
    LIST,
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
    SIZE,
    TAIL,
    TOTAL,
    TRADE,
)
from lobproof.sources.simulator.random_kernels import below


@kernel
def order_at(order: int) -> int:
    """Where an order lies in the memory."""
    return ORDERS_AT + ORDER_SLOTS * order


@kernel
def level_at(state: Record, price: int) -> int:
    """Where the level of ``price`` lies in the memory."""
    return int(state.levels_at + LEVEL_SLOTS * (price & state.ring.mask))


@kernel
def emit(
    state: Record, m: Int64, ts: int, kind: int, side: int, price: int, size: int, number: int
) -> None:
    """Append one event row."""
    at = state.rows_at + ROW_SLOTS * state.rows
    m[at + ROW_TS] = ts
    m[at + ROW_KIND] = kind
    m[at + ROW_SIDE] = side
    m[at + ROW_PRICE] = price
    m[at + ROW_SIZE] = size
    m[at + ROW_ID] = number
    state.rows += 1


@kernel
def emit_level(state: Record, m: Int64, ts: int, side: int, price: int) -> None:
    """Append the quantity that the level at ``price`` now has, under the next update id."""
    if state.id_step > 1:
        state.update_id += below(state.random, 2 * int(state.id_step) - 1)
    state.update_id += 1
    emit(
        state,
        m,
        ts,
        LEVEL,
        side,
        price,
        int(m[level_at(state, price) + TOTAL]),
        int(state.update_id),
    )


@kernel
def next_best(ring: Record, m: Int64, side: int, price: int) -> int:
    """The best price of ``side`` at or behind ``price``, 0 when there is none.

    Occupied levels are bits, 32 to a word.
    """
    mask, bits, floor = int(ring.mask), int(ring.bits_at), int(ring.floor)
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
def place(state: Record, m: Int64, ts: int, side: int, price: int, size: int, listed: int) -> int:
    """Rest an order that does not cross, last in its queue; its number, 0 when there is no room.

    ``listed`` is the list of live orders that it joins. The price must lie within the ring.
    """
    order = int(state.free)
    if order:
        state.free = m[order_at(order) + NEXT]
    else:
        order = int(state.used)
        if order == state.capacity:
            return 0
        state.used = order + 1
    level = level_at(state, price)
    tail = int(m[level + TAIL])
    at = order_at(order)
    m[at + PRICE] = price
    m[at + SIZE] = size
    m[at + NEXT] = 0
    m[at + PREV] = tail
    m[at + LIST] = listed
    m[at + PLACE] = state.live[listed]
    m[state.lists_at + listed * state.capacity + state.live[listed]] = order
    state.live[listed] += 1
    m[level + TAIL] = order
    m[level + TOTAL] += size
    if tail:
        m[order_at(tail) + NEXT] = order
    else:
        m[level + HEAD] = order
        slot = price & int(state.ring.mask)
        m[state.ring.bits_at + (slot >> 5)] |= 1 << (slot & 31)
        if side == BID:
            state.ring.best_bid = max(int(state.ring.best_bid), price)
        elif state.ring.best_ask == 0 or price < state.ring.best_ask:
            state.ring.best_ask = price
    emit_level(state, m, ts, side, price)
    return order


@kernel
def unlink(state: Record, m: Int64, order: int, side: int) -> None:
    """Take an order (its remaining size still in the level) out of queue, level and list."""
    at = order_at(order)
    price, before, after = int(m[at + PRICE]), int(m[at + PREV]), int(m[at + NEXT])
    level = level_at(state, price)
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
    members = int(state.lists_at + listed * state.capacity)
    state.live[listed] -= 1
    moved = int(m[members + state.live[listed]])
    m[members + m[at + PLACE]] = moved
    m[order_at(moved) + PLACE] = m[at + PLACE]
    m[at + NEXT] = state.free
    m[at + SIZE] = 0
    state.free = order
    if m[level + HEAD] == 0:
        slot = price & int(state.ring.mask)
        m[state.ring.bits_at + (slot >> 5)] ^= 1 << (slot & 31)
        if side == BID and price == state.ring.best_bid:
            state.ring.best_bid = next_best(state.ring, m, BID, price - 1)
        elif side == ASK and price == state.ring.best_ask:
            state.ring.best_ask = next_best(state.ring, m, ASK, price + 1)


@kernel
def cancel(state: Record, m: Int64, ts: int, order: int) -> None:
    """Remove a live order."""
    at = order_at(order)
    price = int(m[at + PRICE])
    side = BID + (int(m[at + LIST]) & 1)
    unlink(state, m, order, side)
    emit_level(state, m, ts, side, price)


@kernel
def take(state: Record, m: Int64, ts: int, taker: int, size: int, limit: int, fills: int) -> int:
    """Match an order against the other side, best price first, oldest order first.

    Nothing beyond the price ``limit`` is taken, and no more than ``fills`` orders (up to
    ``MAX_FILLS``). Returns the quantity traded, at most ``size``.
    """
    maker = ASK if taker == BUY else BID
    left = size
    for _ in range(min(fills, MAX_FILLS)):
        price = int(state.ring.best_ask if taker == BUY else state.ring.best_bid)
        if left == 0 or price == 0:
            break
        if (taker == BUY and price > limit) or (taker != BUY and price < limit):
            break
        level = level_at(state, price)
        order = int(m[level + HEAD])
        at = order_at(order)
        filled = min(left, int(m[at + SIZE]))
        state.trade_id += 1
        emit(state, m, ts, TRADE, taker, price, filled, int(state.trade_id))
        m[at + SIZE] -= filled
        m[level + TOTAL] -= filled
        if m[at + SIZE] == 0:
            unlink(state, m, order, maker)
        emit_level(state, m, ts, maker, price)
        left -= filled
    return size - left


@kernel
def list_side(state: Record, m: Int64, side: int, levels: Int64) -> int:
    """Fill ``levels`` (n, 2) with prices and sizes of a side, best first; returns how many."""
    price = int(state.ring.best_bid if side == BID else state.ring.best_ask)
    step = -1 if side == BID else 1
    count = 0
    while price and count < len(levels):
        levels[count, 0] = price
        levels[count, 1] = m[level_at(state, price) + TOTAL]
        count += 1
        price = next_best(state.ring, m, side, price + step)
    return count
