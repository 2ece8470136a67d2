"""Trades that no depth message has confirmed yet: a small hash keyed by side and price.

A trade stays pending until a depth message names its level, over two messages at most: in bursts
the book lags its trades by one message (measured on recordings, see TABLES).
"""

from __future__ import annotations

import numpy as np

from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    EXPIRED_TRADES,
    EXPIRED_VOLUME,
    PENDING,
    PENDING_HIGH,
    PENDING_LOW,
    nothing_pends,
)
from lobproof.schema import Int64

# columns of the table; its rows are the hash's slots
P_SIDE = 0
P_PRICE = 1  # 0: free
P_FRESH = 2  # volume since the last depth message
P_AGED = 3  # volume that one depth message has not named
P_FRESH_TRADES = 4
P_AGED_TRADES = 5
P_ACTIVE = 6  # row k: the slot of the k-th level in use, in order of arrival
COLUMNS = 7


def new_pending(capacity: int = 1024) -> Int64:
    """An empty table of ``capacity`` slots (a power of two)."""
    return np.zeros((capacity, COLUMNS), np.int64)


def reserve(pending: Int64, run: Int64, trades: int) -> Int64:
    """A table that takes ``trades`` more; the same one where it is large enough."""
    active = int(run[PENDING])
    needed = 2 * (active + trades)
    capacity = len(pending)
    if needed <= capacity:
        return pending
    while capacity < needed:
        capacity *= 2
    grown = new_pending(capacity)
    nothing_pends(run)
    for slot in pending[:active, P_ACTIVE].tolist():
        side, price = int(pending[slot, P_SIDE]), int(pending[slot, P_PRICE])
        to = find(grown, side, price)
        insert(grown, run, to, side, price)
        grown[to, P_FRESH:P_ACTIVE] = pending[slot, P_FRESH:P_ACTIVE]
    return grown


@kernel
def find(pending: Int64, side: int, price: int) -> int:
    """The slot that holds ``side, price``, or the free slot where it belongs."""
    mask = pending.shape[0] - 1
    slot = (((price & 0x7FFFFFFF) * 0x9E3779B1) >> 7 ^ (price >> 31) ^ side) & mask
    while pending[slot, P_PRICE] != 0 and not (
        pending[slot, P_PRICE] == price and pending[slot, P_SIDE] == side
    ):
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def insert(pending: Int64, run: Int64, slot: int, side: int, price: int) -> None:
    """Take the free ``slot`` for ``side, price``."""
    pending[slot, P_SIDE] = side
    pending[slot, P_PRICE] = price
    pending[run[PENDING], P_ACTIVE] = slot
    run[PENDING] += 1
    run[PENDING_LOW] = min(run[PENDING_LOW], price)
    run[PENDING_HIGH] = max(run[PENDING_HIGH], price)


@kernel
def add_trade(pending: Int64, run: Int64, side: int, price: int, size: int) -> None:
    """Note a trade that consumes ``side`` (the maker's) at ``price``."""
    slot = find(pending, side, price)
    if pending[slot, P_PRICE] == 0:
        insert(pending, run, slot, side, price)
    pending[slot, P_FRESH] += size
    pending[slot, P_FRESH_TRADES] += 1


@kernel
def take_named(pending: Int64, side: int, price: int) -> int:
    """Volume pending at a level that a depth message names; it is no longer pending."""
    slot = find(pending, side, price)
    if pending[slot, P_PRICE] == 0:
        return 0
    volume = pending[slot, P_FRESH] + pending[slot, P_AGED]
    pending[slot, P_FRESH] = 0
    pending[slot, P_AGED] = 0
    pending[slot, P_FRESH_TRADES] = 0
    pending[slot, P_AGED_TRADES] = 0
    return int(volume)


@kernel
def forget(pending: Int64, run: Int64) -> None:
    """Nothing is pending any more."""
    for k in range(run[PENDING]):
        slot = pending[k, P_ACTIVE]
        for column in range(P_ACTIVE):
            pending[slot, column] = 0
    nothing_pends(run)


@kernel
def age(pending: Int64, run: Int64) -> None:
    """End of a depth message: what two messages did not name expires.

    Its volume and the number of its trades go to ``run``.
    """
    run[EXPIRED_VOLUME] = 0
    run[EXPIRED_TRADES] = 0
    count = run[PENDING]
    kept = 0
    for k in range(count):
        slot = pending[k, P_ACTIVE]
        run[EXPIRED_VOLUME] += pending[slot, P_AGED]
        run[EXPIRED_TRADES] += pending[slot, P_AGED_TRADES]
        pending[slot, P_AGED] = pending[slot, P_FRESH]
        pending[slot, P_AGED_TRADES] = pending[slot, P_FRESH_TRADES]
        pending[slot, P_FRESH] = 0
        pending[slot, P_FRESH_TRADES] = 0
        if pending[slot, P_AGED] > 0:
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
        slot = pending[k, P_ACTIVE]
        if pending[slot, P_AGED] > 0:
            side[n] = pending[slot, P_SIDE]
            price[n] = pending[slot, P_PRICE]
            volume[n] = pending[slot, P_AGED]
            trades[n] = pending[slot, P_AGED_TRADES]
            n += 1
        pending[slot, P_PRICE] = 0
        pending[slot, P_AGED] = 0
        pending[slot, P_AGED_TRADES] = 0
    nothing_pends(run)
    for k in range(kept):
        slot = find(pending, side[k], price[k])
        insert(pending, run, slot, side[k], price[k])
        pending[slot, P_AGED] = volume[k]
        pending[slot, P_AGED_TRADES] = trades[k]
