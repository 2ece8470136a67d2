"""Kernels that hold trades against the book: what took them, and whether they print near it."""

from __future__ import annotations

from lobproof.book.kernels import Book, best_price, level_size, trust, trusted_to
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    LOST,
    M_EXPLAINED,
    M_GROWN,
    M_REFILLED,
    M_TRANSIENT,
    M_UNNAMED_TRADES,
    M_UNNAMED_VOLUME,
    PENDING,
    THIS_MINUTE,
)
from lobproof.replay.pending_kernels import (
    P_ACTIVE,
    P_PRICE,
    P_SIDE,
    P_TRADES,
    P_VOLUME,
    forget,
)
from lobproof.schema import EVERYTHING, RANGE, Int8, Int64, Kind, Side

CLEAR = int(Kind.CLEAR)
BID = int(Side.BID)
ASK = int(Side.ASK)
FAR_BASIS_POINTS = 30
"""Beside the spread. On recordings the 95th percentile of the distance is 2 to 24 basis points."""
PRINT_NS = 1_000_000_000
"""Trades this far apart are prints of their own, also without a book message between them."""


@kernel
def in_trusted_range(book: Book, side: int, price: int) -> bool:
    """Whether the book is complete at this price."""
    kind = trust(book, side)
    sign = 2 * int(side) - 3  # a row's side is an int8, too narrow for prices
    return kind == EVERYTHING or (kind == RANGE and sign * price <= sign * trusted_to(book, side))


@kernel
def reconcile(run: Int64, volume: int, before: int, after: int) -> None:
    """Account for the traded ``volume`` of a level that a depth message took to ``after``."""
    fall = before - after
    if before == 0 and after == 0:
        run[THIS_MINUTE + M_TRANSIENT] += volume
    elif fall >= volume:
        run[THIS_MINUTE + M_EXPLAINED] += volume
    elif fall > 0:
        run[THIS_MINUTE + M_EXPLAINED] += fall
        run[THIS_MINUTE + M_REFILLED] += volume - fall
    else:
        run[THIS_MINUTE + M_GROWN] += volume


@kernel
def confirm(
    book: Book,
    pending: Int64,
    run: Int64,
    start: int,
    stop: int,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
) -> None:
    """Account for all pending trades by the snapshot in rows ``start:stop``, not yet applied."""
    if run[PENDING] == 0:
        return
    begin = start + 1 if kind[start] == CLEAR else start
    for k in range(run[PENDING]):
        slot = pending[k, P_ACTIVE]
        half = pending[slot, P_SIDE]
        level = pending[slot, P_PRICE]
        sign = 2 * half - 3
        after = 0
        covered = False
        for i in range(begin, stop):
            if side[i] == half:
                covered |= sign * price[i] >= sign * level
                if price[i] == level:
                    after = size[i]
        volume = pending[slot, P_VOLUME]
        if not covered:
            run[THIS_MINUTE + M_UNNAMED_VOLUME] += volume
            run[THIS_MINUTE + M_UNNAMED_TRADES] += pending[slot, P_TRADES]
        elif run[LOST] == 0:
            reconcile(run, volume, level_size(book, half, level), after)
    forget(pending, run)


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
