"""Trades that no depth message has confirmed yet: a hash keyed by side and price, and a queue.

A trade stays pending until a depth message names its level, over two messages and a fifth of a
second at least: in bursts the book lags its trades by one message, and a stream of 10 ms is to have
as much time as one of 100 ms (measured on recordings, see TABLES). The hash has what is pending of
each level; the queue its trades in their order, for they expire in it. A trade in the queue that
its level no longer counts was named.
"""

from __future__ import annotations

import numpy as np

from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    DEPTH_MESSAGES,
    EXPIRED_TRADES,
    EXPIRED_VOLUME,
    PENDING,
    PENDING_HIGH,
    PENDING_LOW,
    QUEUE_FIRST,
    QUEUE_NEXT,
    nothing_pends,
)
from lobproof.schema import PENDING_MESSAGES, PENDING_NS, Int64

# columns of the table; its rows are the hash's slots
P_SIDE = 0
P_PRICE = 1  # 0: free
P_VOLUME = 2
P_TRADES = 3
P_SINCE = 4  # number in the queue of the first trade that counts
P_ACTIVE = 5  # row k: the slot of the k-th level in use, in order of arrival
# and those of the queue: trade n is in row n % capacity
Q_SIDE, Q_PRICE, Q_SIZE, Q_TS, Q_MESSAGES = range(6, 11)
COLUMNS = 11


def new_pending(capacity: int = 1024) -> Int64:
    """An empty table of ``capacity`` slots (a power of two)."""
    return np.zeros((capacity, COLUMNS), np.int64)


def reserve(pending: Int64, run: Int64, trades: int) -> Int64:
    """A table that takes ``trades`` more; the same one where it is large enough."""
    active = int(run[PENDING])
    queued = np.arange(run[QUEUE_FIRST], run[QUEUE_NEXT])
    needed = max(2 * (active + trades), len(queued) + trades)
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
        grown[to, P_VOLUME:P_ACTIVE] = pending[slot, P_VOLUME:P_ACTIVE]
    grown[queued % capacity, Q_SIDE:] = pending[queued % len(pending), Q_SIDE:]
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
def add_trade(pending: Int64, run: Int64, side: int, price: int, size: int, ts: int) -> None:
    """Note a trade that consumes ``side`` (the maker's) at ``price``; ``ts`` never decreases."""
    slot = find(pending, side, price)
    if pending[slot, P_PRICE] == 0:
        insert(pending, run, slot, side, price)
    number = run[QUEUE_NEXT]
    if pending[slot, P_TRADES] == 0:
        pending[slot, P_SINCE] = number
    pending[slot, P_VOLUME] += size
    pending[slot, P_TRADES] += 1
    at = number % pending.shape[0]
    pending[at, Q_SIDE] = side
    pending[at, Q_PRICE] = price
    pending[at, Q_SIZE] = size
    pending[at, Q_TS] = ts
    pending[at, Q_MESSAGES] = run[DEPTH_MESSAGES]
    run[QUEUE_NEXT] = number + 1


@kernel
def take_named(pending: Int64, side: int, price: int) -> int:
    """Volume pending at a level that a depth message names; it is no longer pending."""
    slot = find(pending, side, price)
    if pending[slot, P_PRICE] == 0:
        return 0
    volume = pending[slot, P_VOLUME]
    pending[slot, P_VOLUME] = 0
    pending[slot, P_TRADES] = 0
    return int(volume)


@kernel
def forget(pending: Int64, run: Int64) -> None:
    """Nothing is pending any more."""
    for k in range(run[PENDING]):
        slot = pending[k, P_ACTIVE]
        for column in range(P_ACTIVE):
            pending[slot, column] = 0
    run[QUEUE_FIRST] = run[QUEUE_NEXT]
    nothing_pends(run)


@kernel
def age(pending: Int64, run: Int64, ts: int) -> None:
    """End of a depth message of ``ts``: what had its messages and its time expires.

    Its volume and the number of its trades go to ``run``.
    """
    run[EXPIRED_VOLUME] = 0
    run[EXPIRED_TRADES] = 0
    run[DEPTH_MESSAGES] += 1
    while run[QUEUE_FIRST] < run[QUEUE_NEXT]:
        number = run[QUEUE_FIRST]
        at = number % pending.shape[0]
        if run[DEPTH_MESSAGES] - pending[at, Q_MESSAGES] < PENDING_MESSAGES:
            break
        if ts - pending[at, Q_TS] < PENDING_NS:
            break
        slot = find(pending, pending[at, Q_SIDE], pending[at, Q_PRICE])
        if pending[slot, P_TRADES] > 0 and pending[slot, P_SINCE] <= number:
            pending[slot, P_VOLUME] -= pending[at, Q_SIZE]
            pending[slot, P_TRADES] -= 1
            run[EXPIRED_VOLUME] += pending[at, Q_SIZE]
            run[EXPIRED_TRADES] += 1
        run[QUEUE_FIRST] = number + 1
    count = run[PENDING]
    kept = 0
    for k in range(count):
        if pending[pending[k, P_ACTIVE], P_TRADES] > 0:
            kept += 1
    if kept == count:
        return
    # rebuild: open addressing forgets no key in place
    levels = np.empty((kept, P_ACTIVE), np.int64)
    n = 0
    for k in range(count):
        slot = pending[k, P_ACTIVE]
        if pending[slot, P_TRADES] > 0:
            for column in range(P_ACTIVE):
                levels[n, column] = pending[slot, column]
            n += 1
        for column in range(P_ACTIVE):
            pending[slot, column] = 0
    nothing_pends(run)
    for k in range(kept):
        slot = find(pending, levels[k, P_SIDE], levels[k, P_PRICE])
        insert(pending, run, slot, levels[k, P_SIDE], levels[k, P_PRICE])
        for column in range(P_VOLUME, P_ACTIVE):
            pending[slot, column] = levels[k, column]
