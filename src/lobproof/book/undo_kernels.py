"""What a snapshot changes in a book, noted so that it can be undone.

A snapshot that differs from the book is applied before the depth message that judges it: should
that one refute it, the book is as if it had never come. The replay and the reader of stored events
both work by these kernels.

``undo`` is one flat array (`UNDO`,): how many levels it holds, what was trusted and whether levels
from before a loss may have been held, and side, price and size of each level as it was.
"""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, apply_level, level_size, top
from lobproof.book.trust_kernels import set_trust, trust, trusted_to
from lobproof.jit import kernel
from lobproof.schema import Int64, Side

BID = int(Side.BID)
ASK = int(Side.ASK)

LOGGED = 0
OVERFLOWN = 1  # 1: more levels changed than there is room for
SAVED = 2  # per side: kind and far end of the trust, 1 where stale levels may have been held
LEVEL = 8
MAX_LOGGED = 1 << 15
UNDO = LEVEL + 3 * MAX_LOGGED


@kernel
def begin_undo(book: Book, undo: Int64, bid_stale: int, ask_stale: int) -> None:
    """Note what is trusted; no level is noted yet."""
    undo[LOGGED] = 0
    undo[OVERFLOWN] = 0
    for half in (BID, ASK):
        at = SAVED + 3 * (half - 1)
        undo[at] = trust(book, half)
        undo[at + 1] = trusted_to(book, half)
        undo[at + 2] = bid_stale if half == BID else ask_stale


@kernel
def log_level(undo: Int64, side: int, price: int, size: int) -> None:
    """Note a level as it is before it changes."""
    at = undo[LOGGED]
    if at == MAX_LOGGED:
        undo[OVERFLOWN] = 1
        return
    undo[LEVEL + 3 * at] = side
    undo[LEVEL + 3 * at + 1] = price
    undo[LEVEL + 3 * at + 2] = size
    undo[LOGGED] = at + 1


@kernel
def own_levels(book: Book, side: int, limit: int) -> tuple[Int64, Int64, int]:
    """The side's levels, best first, down to ``sign * price <= limit``: prices, sizes, number."""
    sign = 2 * side - 3
    room = 64
    while True:
        prices = np.empty(room, np.int64)
        sizes = np.empty(room, np.int64)
        own = top(book, side, room, prices, sizes)
        if own < room or sign * prices[own - 1] > limit:
            break
        room *= 4
    while own > 0 and sign * prices[own - 1] > limit:
        own -= 1
    return prices, sizes, own


@kernel
def log_side(book: Book, undo: Int64, side: int, limit: int, listed: Int64) -> None:
    """Note what a snapshot changes that lists ``listed`` prices and empties the range before.

    The range goes to ``sign * price <= limit``.
    """
    prices, sizes, own = own_levels(book, side, limit)
    for k in range(own):
        log_level(undo, side, prices[k], sizes[k])
    for k in range(listed.shape[0]):
        if level_size(book, side, listed[k]) == 0:
            log_level(undo, side, listed[k], 0)


@kernel
def undo_levels(book: Book, undo: Int64) -> None:
    """Levels and trust as they were; what is stale the caller keeps."""
    for k in range(undo[LOGGED]):
        at = LEVEL + 3 * k
        apply_level(book, undo[at], undo[at + 1], undo[at + 2])
    for half in (BID, ASK):
        set_trust(book, half, undo[SAVED + 3 * (half - 1)], undo[SAVED + 3 * (half - 1) + 1])
    undo[LOGGED] = 0
