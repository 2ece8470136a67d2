"""Trades that no depth message has confirmed yet: a small hash keyed by side and price.

A trade stays pending until a depth message names its level, over two messages at most: in bursts
the book lags its trades by one message (measured on recordings, see TABLES).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lobproof.jit import kernel
from lobproof.schema import Int64

COUNT = 0


class Pending(NamedTuple):
    """Pending volume per level; ``fresh`` since the last depth message, ``aged`` one older."""

    meta: Int64
    side: Int64
    price: Int64  # 0: free slot
    fresh: Int64
    aged: Int64
    fresh_trades: Int64
    aged_trades: Int64
    active: Int64  # the slots in use, in order of arrival


def new_pending(capacity: int = 1024) -> Pending:
    """An empty table of ``capacity`` slots (a power of two)."""
    return Pending(np.zeros(1, np.int64), *(np.zeros(capacity, np.int64) for _ in range(7)))


def reserve(pending: Pending, trades: int) -> Pending:
    """A table that takes ``trades`` more without filling up; the same one where it is large enough."""
    needed = 2 * (int(pending.meta[COUNT]) + trades)
    capacity = len(pending.price)
    if needed <= capacity:
        return pending
    while capacity < needed:
        capacity *= 2
    grown = new_pending(capacity)
    for slot in pending.active[: pending.meta[COUNT]]:
        to = find(grown, pending.side[slot], pending.price[slot])
        insert(grown, to, pending.side[slot], pending.price[slot])
        grown.fresh[to] = pending.fresh[slot]
        grown.aged[to] = pending.aged[slot]
        grown.fresh_trades[to] = pending.fresh_trades[slot]
        grown.aged_trades[to] = pending.aged_trades[slot]
    return grown


@kernel
def find(pending: Pending, side: int, price: int) -> int:
    """The slot that holds ``side, price``, or the free slot where it belongs."""
    mask = pending.price.shape[0] - 1
    slot = (((price & 0x7FFFFFFF) * 0x9E3779B1) >> 7 ^ (price >> 31) ^ side) & mask
    while pending.price[slot] != 0 and not (
        pending.price[slot] == price and pending.side[slot] == side
    ):
        slot = (slot + 1) & mask
    return slot


@kernel
def insert(pending: Pending, slot: int, side: int, price: int) -> None:
    """Take the free ``slot`` for ``side, price``."""
    pending.side[slot] = side
    pending.price[slot] = price
    pending.active[pending.meta[COUNT]] = slot
    pending.meta[COUNT] += 1


@kernel
def add_trade(pending: Pending, side: int, price: int, size: int) -> None:
    """Note a trade that consumes ``side`` (the maker's) at ``price``."""
    slot = find(pending, side, price)
    if pending.price[slot] == 0:
        insert(pending, slot, side, price)
    pending.fresh[slot] += size
    pending.fresh_trades[slot] += 1


@kernel
def take_named(pending: Pending, side: int, price: int) -> int:
    """Volume pending at a level that a depth message names; it is no longer pending."""
    slot = find(pending, side, price)
    if pending.price[slot] == 0:
        return 0
    volume = pending.fresh[slot] + pending.aged[slot]
    pending.fresh[slot] = 0
    pending.aged[slot] = 0
    pending.fresh_trades[slot] = 0
    pending.aged_trades[slot] = 0
    return volume


@kernel
def age(pending: Pending, expired: Int64) -> None:
    """End of a depth message: what two messages did not name expires into ``expired``.

    ``expired`` receives (volume, trades), added to what it holds.
    """
    count = pending.meta[COUNT]
    kept = 0
    for k in range(count):
        slot = pending.active[k]
        expired[0] += pending.aged[slot]
        expired[1] += pending.aged_trades[slot]
        pending.aged[slot] = pending.fresh[slot]
        pending.aged_trades[slot] = pending.fresh_trades[slot]
        pending.fresh[slot] = 0
        pending.fresh_trades[slot] = 0
        if pending.aged[slot] > 0:
            kept += 1
    if kept == count:
        return
    # rebuild: open addressing forgets no key in place
    side = np.empty(kept, np.int64)
    price = np.empty(kept, np.int64)
    volume = np.empty(kept, np.int64)
    trades = np.empty(kept, np.int64)
    n = 0
    for k in range(count):
        slot = pending.active[k]
        if pending.aged[slot] > 0:
            side[n] = pending.side[slot]
            price[n] = pending.price[slot]
            volume[n] = pending.aged[slot]
            trades[n] = pending.aged_trades[slot]
            n += 1
        pending.price[slot] = 0
        pending.aged[slot] = 0
        pending.aged_trades[slot] = 0
    pending.meta[COUNT] = 0
    for k in range(kept):
        slot = find(pending, side[k], price[k])
        insert(pending, slot, side[k], price[k])
        pending.aged[slot] = volume[k]
        pending.aged_trades[slot] = trades[k]
