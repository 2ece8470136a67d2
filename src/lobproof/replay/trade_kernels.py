"""How trades are confirmed: which are pending, what took them, and where they print.

A trade stays pending until a depth message names its level, over two messages and a fifth of a
second at least: in bursts the book lags its trades by one message, and a stream of 10 ms is to have
as much time as one of 100 ms (measured on recordings). A hash keyed by side and price has what is
pending of each level; a queue has its trades in their order, for they expire in it. A trade in the
queue that its level no longer counts was named.
"""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, best_price, level_size
from lobproof.jit import allocating, kernel
from lobproof.replay.state_kernels import nothing_pends
from lobproof.schema import EVERYTHING, PENDING_MESSAGES, PENDING_NS, RANGE, Rows
from lobproof.schema.plain import ASK, BID, CLEAR
from lobproof.schema.records import Record, Records, integers, record

PENDING_ROW = record(
    # a slot of the hash; its price is 0 where it is free
    *integers("side", "price", "volume", "trades"),
    *integers("since"),  # number in the queue of the first trade that counts
    # row k: the slot of the k-th level in use, in order of arrival
    *integers("slot"),
    # and of the queue: trade n is in row n % capacity
    *integers("queued_side", "queued_price", "queued_size", "queued_ts", "queued_messages"),
)
FAR_BASIS_POINTS = 30
"""Beside the spread. On recordings the 95th percentile of the distance is 2 to 24 basis points."""
PRINT_NS = 1_000_000_000
"""Trades this far apart are prints of their own, also without a book message between them."""


# --- what is pending ------------------------------------------------------------------------------


def new_pending(capacity: int = 1024) -> Records:
    """An empty table of ``capacity`` rows (a power of two)."""
    return np.zeros(capacity, PENDING_ROW)


def reserve(pending: Records, state: Record, trades: int) -> Records:
    """A table that takes ``trades`` more; the same one where it is large enough."""
    about = state.pending
    active = int(about.levels)
    queued = np.arange(about.first, about.next)
    needed = max(2 * (active + trades), len(queued) + trades)
    capacity = len(pending)
    if needed <= capacity:
        return pending
    while capacity < needed:
        capacity *= 2
    grown = new_pending(capacity)
    nothing_pends(state)
    rehash(pending, grown, state, active)
    for name in PENDING_ROW.names or ():
        if name.startswith("queued"):
            grown[name][queued % capacity] = pending[name][queued % len(pending)]
    return grown


@kernel
def rehash(pending: Records, grown: Records, state: Record, active: int) -> None:
    """Put the levels in use into a larger table."""
    for k in range(active):
        old = pending[pending[k].slot]
        to = find(grown, old.side, old.price)
        insert(grown, state, to, old.side, old.price)
        grown[to].volume = old.volume
        grown[to].trades = old.trades
        grown[to].since = old.since


@kernel
def find(pending: Records, side: int, price: int) -> int:
    """The slot that holds ``side, price``, or the free slot where it belongs."""
    mask = pending.shape[0] - 1
    slot = (((price & 0x7FFFFFFF) * 0x9E3779B1) >> 7 ^ (price >> 31) ^ side) & mask
    while pending[slot].price != 0 and not (
        pending[slot].price == price and pending[slot].side == side
    ):
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def insert(pending: Records, state: Record, slot: int, side: int, price: int) -> None:
    """Take the free ``slot`` for ``side, price``."""
    about = state.pending
    pending[slot].side = side
    pending[slot].price = price
    pending[about.levels].slot = slot
    about.levels += 1
    about.low = min(about.low, price)
    about.high = max(about.high, price)


@kernel
def free(level: Record) -> None:
    """Make a slot free."""
    level.side = 0
    level.price = 0
    level.volume = 0
    level.trades = 0
    level.since = 0


@kernel
def add_trade(pending: Records, state: Record, side: int, price: int, size: int, ts: int) -> None:
    """Note a trade that consumes ``side`` (the maker's) at ``price``; ``ts`` never decreases."""
    about = state.pending
    slot = find(pending, side, price)
    if pending[slot].price == 0:
        insert(pending, state, slot, side, price)
    level = pending[slot]
    if level.trades == 0:
        level.since = about.next
    level.volume += size
    level.trades += 1
    queued = pending[about.next % pending.shape[0]]
    queued.queued_side = side
    queued.queued_price = price
    queued.queued_size = size
    queued.queued_ts = ts
    queued.queued_messages = about.messages
    about.next += 1


@kernel
def take_named(pending: Records, side: int, price: int) -> int:
    """Volume pending at a level that a depth message names; it is no longer pending."""
    level = pending[find(pending, side, price)]
    if level.price == 0:
        return 0
    volume = level.volume
    level.volume = 0
    level.trades = 0
    return int(volume)


@kernel
def forget(pending: Records, state: Record) -> None:
    """Nothing is pending any more."""
    for k in range(state.pending.levels):
        free(pending[pending[k].slot])
    state.pending.first = state.pending.next
    nothing_pends(state)


@kernel
def age(pending: Records, state: Record, ts: int) -> None:
    """End of a depth message of ``ts``: what had its messages and its time expires.

    Its volume and the number of its trades are in ``state.pending``.
    """
    about = state.pending
    about.expired_volume = 0
    about.expired_trades = 0
    about.messages += 1
    while about.first < about.next:
        queued = pending[about.first % pending.shape[0]]
        if about.messages - queued.queued_messages < PENDING_MESSAGES:
            break
        if ts - queued.queued_ts < PENDING_NS:
            break
        level = pending[find(pending, queued.queued_side, queued.queued_price)]
        if level.trades > 0 and level.since <= about.first:  # no message has named it
            level.volume -= queued.queued_size
            level.trades -= 1
            about.expired_volume += queued.queued_size
            about.expired_trades += 1
        about.first += 1
    count = about.levels
    kept = 0
    for k in range(count):
        if pending[pending[k].slot].trades > 0:
            kept += 1
    if kept < count:
        keep_pending(pending, state, kept)


@allocating
def keep_pending(pending: Records, state: Record, kept: int) -> None:
    """Build the hash anew of the ``kept`` levels that are pending still.

    Open addressing forgets no key in place.
    """
    levels = np.empty((kept, 5), np.int64)
    n = 0
    for k in range(state.pending.levels):
        level = pending[pending[k].slot]
        if level.trades > 0:
            levels[n, 0] = level.side
            levels[n, 1] = level.price
            levels[n, 2] = level.volume
            levels[n, 3] = level.trades
            levels[n, 4] = level.since
            n += 1
        free(level)
    nothing_pends(state)
    for k in range(kept):
        slot = find(pending, levels[k, 0], levels[k, 1])
        insert(pending, state, slot, levels[k, 0], levels[k, 1])
        pending[slot].volume = levels[k, 2]
        pending[slot].trades = levels[k, 3]
        pending[slot].since = levels[k, 4]


# --- what took a level ----------------------------------------------------------------------------


@kernel
def is_complete_at(trust: Record, side: int, price: int) -> bool:
    """Whether the book is complete at this price."""
    known = trust.sides[side - 1]
    sign = 2 * int(side) - 3  # a row's side is an int8, too narrow for prices
    within = known.kind == RANGE and sign * price <= sign * known.to
    return bool(known.kind == EVERYTHING or within)


@kernel
def reconcile(state: Record, volume: int, before: int, after: int) -> None:
    """Account for the traded ``volume`` of a level that a depth message took to ``after``."""
    minute = state.minute
    fall = before - after
    if before == 0 and after == 0:
        minute.transient_volume += volume
    elif fall >= volume:
        minute.explained_volume += volume
    elif fall > 0:
        minute.explained_volume += fall
        minute.refilled_volume += volume - fall
    else:
        minute.grown_volume += volume


@kernel
def confirm_by_snapshot(
    book: Book, pending: Records, state: Record, rows: Rows, start: int, stop: int
) -> None:
    """Account for all pending trades by the snapshot in rows ``start:stop``, not yet applied."""
    if state.pending.levels == 0:
        return
    begin = start + 1 if rows.kind[start] == CLEAR else start
    for k in range(state.pending.levels):
        level = pending[pending[k].slot]
        sign = 2 * level.side - 3
        after = 0
        covered = False
        for i in range(begin, stop):
            if rows.side[i] == level.side:
                covered |= sign * rows.price[i] >= sign * level.price
                if rows.price[i] == level.price:
                    after = rows.size[i]
        if not covered:  # the snapshot does not reach to the level
            state.minute.unnamed_volume += level.volume
            state.minute.unnamed_trades += level.trades
        elif state.trust.reason == 0:
            reconcile(state, level.volume, level_size(book, level.side, level.price), after)
    forget(pending, state)


# --- where a trade prints -------------------------------------------------------------------------


@kernel
def outside(book: Book, price: int) -> bool:
    """Whether a trade prints outside the touch."""
    bid = best_price(book, BID)
    ask = best_price(book, ASK)
    return bool(bid != 0 and ask != 0 and not bid <= price <= ask)


@kernel
def is_far(book: Book, price: int) -> bool:
    """Whether a trade prints further outside the touch than a living book explains."""
    bid = best_price(book, BID)
    ask = best_price(book, ASK)
    if bid == 0 or ask == 0:
        return False
    # in two steps: the product of a price may be too large
    share = bid // 10_000 * FAR_BASIS_POINTS + bid % 10_000 * FAR_BASIS_POINTS // 10_000
    return bool(max(bid - price, price - ask) > share + ask - bid)
