"""The trust machine: what of a book is known to be right, how that grows, and how it is lost.

The replay, `Store.book_at`, the report and `acquire` all keep trust by these kernels. They hold a
``TRUST`` record beside the book's levels. Of each side it says

- down to where the side is complete (``kind`` and ``to``): ``UNTRUSTED``, ``RANGE`` to a price, or
  ``EVERYTHING``;
- whether beyond that the book may hold levels from before a loss (``stale``);
- what the last snapshot lists of it (``listed``, ``listed_to``), for as long as that matters.

Trust grows where a snapshot lists a side (:func:`list_side`, :func:`extend`) and where the book
itself proves more (:func:`grow`). It is lost by :func:`lose` and :func:`deny`, falls back to the
last snapshot by :func:`trust_snapshot_alone`, and :func:`undo` takes back a snapshot that the next
depth message refutes. :class:`~lobproof.book.OrderBook` says what the ranges mean.
"""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import (
    MAX_PRICE,
    Book,
    apply_level,
    best_price,
    clear_book,
    clear_side_range,
    crossed,
    level_size,
    top,
)
from lobproof.jit import allocating, kernel, specialized
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Int8, Int64
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import INT, Record, integers, record, zeroed

MAX_LOGGED = 1 << 15
"""Levels of a snapshot that can be undone."""
NEVER = -(2**62)
"""How far (sign * price) a side is known of which nothing is."""
WHOLE = 2**62
"""How far (sign * price) a side is known that is known whole."""
DEFINITE, WAITS, UNKNOWN = range(3)
"""Of the last snapshot: it stands; the next depth message may undo it; it may, and what the book
was before is not known."""

SIDE_TRUST = record(
    ("kind", INT),  # UNTRUSTED, RANGE or EVERYTHING
    ("to", INT),  # price at the far end of a RANGE, itself in it; else 0
    ("stale", INT),  # 1: beyond the range may lie levels from before a loss, which prove nothing
    ("listed", INT),  # what the last snapshot lists, as `kind`, while it is ahead: `known_behind`
    ("listed_to", INT),
)
LOGGED_LEVEL = record(*integers("side", "price", "was"))
UNDO = record(
    ("logged", INT),  # levels noted, as they were before the snapshot
    ("overflown", INT),  # 1: more changed than there is room for
    ("sides", SIDE_TRUST, (2,)),  # as they were; kind, to and stale are restored
    ("levels", LOGGED_LEVEL, (MAX_LOGGED,)),
)
TRUST = record(
    # kept by the replay: code of why nothing is trusted, 0 where something is; whoever reads stored
    # events does not know it
    ("reason", INT),
    ("waits", INT),  # of the last snapshot: DEFINITE, WAITS or UNKNOWN
    ("sides", SIDE_TRUST, (2,)),  # bids, asks
    ("undo", UNDO),
)


def new_trust() -> Record:
    """Of an empty book: nothing is trusted, and nothing is stale."""
    trust: Record = zeroed(TRUST)[0]
    return trust


@kernel
def set_range(trust: Record, side: int, kind: int, price: int) -> None:
    """Set what the side is known to hold completely: UNTRUSTED, RANGE to ``price``, EVERYTHING."""
    known = trust.sides[side - 1]
    known.kind = kind
    known.to = price if kind == RANGE else 0


@kernel
def extend(trust: Record, side: int, price: int, complete: bool) -> None:
    """Note that the side is known from the touch to ``price``, or all of it; never narrows."""
    known = trust.sides[side - 1]
    sign = 2 * side - 3
    if complete or known.kind == EVERYTHING:
        set_range(trust, side, EVERYTHING, 0)
    elif known.kind == UNTRUSTED or sign * price > sign * known.to:
        set_range(trust, side, RANGE, price)


@kernel
def deny(trust: Record) -> None:
    """Marks both sides untrusted, and all their levels stale."""
    for side in (BID, ASK):
        set_range(trust, side, UNTRUSTED, 0)
        trust.sides[side - 1].stale = 1


@kernel
def lose(trust: Record, reason: int) -> None:
    """Trust is lost because of ``reason``, a finding's code, until a snapshot restores it."""
    deny(trust)
    trust.reason = reason
    trust.waits = DEFINITE


@kernel
def clear(book: Book, trust: Record) -> None:
    """Remove every level and all trust: the book is unknown from here, and nothing is stale."""
    clear_book(book)
    trust.waits = DEFINITE
    for side in (BID, ASK):
        set_range(trust, side, UNTRUSTED, 0)
        trust.sides[side - 1].stale = 0


@specialized
def grow(book: Book, trust: Record, side: int) -> None:
    """Extend a trusted range as far as the book itself proves.

    No order rests at or through the opposite side's best price, so once that price lies beyond
    the range, the side is known (and empty) down to there; from then on its deltas tell. And a
    level that the book holds right behind the range is exact, for nothing lies between, unless it
    may be from before a loss. Neighbours are one count of the grid apart, not one tick: orders
    older than a change of the tick may rest in between, unseen.
    """
    known = trust.sides[side - 1]
    if known.kind != RANGE:
        return
    sign = 2 * side - 3
    to = known.to
    opposite = best_price(book, 3 - side)
    if opposite != 0 and sign * opposite > sign * to:
        to = opposite
    while known.stale == 0 and level_size(book, side, to + sign) > 0:
        to += sign
    known.to = to


@kernel
def trust_snapshot_alone(trust: Record) -> None:
    """Of what was known before the last snapshot nothing holds: only what it lists is trusted."""
    trust.waits = DEFINITE
    for side in (BID, ASK):
        known = trust.sides[side - 1]
        set_range(trust, side, known.listed, known.listed_to)
        known.stale = 0 if known.listed == EVERYTHING else 1


@kernel
def forget_listed(trust: Record) -> None:
    """What the last snapshot lists matters no longer."""
    for side in (BID, ASK):
        trust.sides[side - 1].listed = UNTRUSTED
        trust.sides[side - 1].listed_to = 0


@kernel
def listed_key(trust: Record, side: int) -> int:
    """How far (sign * price) the last snapshot lists a side; `NEVER` where it does not."""
    known = trust.sides[side - 1]
    if known.listed == UNTRUSTED:
        return NEVER
    return WHOLE if known.listed == EVERYTHING else int((2 * side - 3) * known.listed_to)


@kernel
def known_behind(trust: Record, side: int) -> tuple[int, int]:
    """What is trusted of a side, as kind and far end; less behind a snapshot that is *ahead*.

    Ahead is one whose id lies inside the next depth message: until that one comes, what it does
    not list is older than what it does.
    """
    known = trust.sides[side - 1]
    ahead = trust.sides[0].listed != UNTRUSTED or trust.sides[1].listed != UNTRUSTED
    if known.kind == UNTRUSTED or not ahead:
        return known.kind, known.to
    # a snapshot makes the range what it lists at least
    return known.listed, known.listed_to


@specialized
def slots_within(side: int, kind: int, end: int, prices: Int64, count: int, n: int) -> int:
    """How many of the leading ``n`` slots lie in a range: ``kind``, to the price ``end``.

    ``prices[:count]`` are what :func:`top` wrote.
    """
    if kind == UNTRUSTED:
        return 0
    if kind == EVERYTHING:
        return n
    sign = 2 * side - 3
    slots = 0
    while slots < count and sign * prices[slots] <= sign * end:
        slots += 1
    return slots


@specialized
def trusted_slots(book: Book, trust: Record, side: int, prices: Int64, count: int, n: int) -> int:
    """How many of the leading ``n`` slots of the side are known to be right.

    ``prices[:count]`` are what :func:`top` wrote. None while the book is crossed.
    """
    if crossed(book):
        return 0
    known = trust.sides[side - 1]
    return slots_within(side, known.kind, known.to, prices, count, n)


# --- a snapshot replaces what it lists ----------------------------------------------------------


@kernel
def first_ask(side: Int8, start: int, stop: int) -> int:
    """Where the asks begin in a snapshot's rows ``start:stop``: bids come first."""
    middle = start
    while middle < stop and side[middle] == BID:
        middle += 1
    return middle


@kernel
def list_side(
    book: Book, trust: Record, side: int, price: Int64, start: int, stop: int, complete: bool
) -> None:
    """Make room for what a snapshot lists of a side, and note what that makes known.

    Rows ``start:stop`` list it, best first; ``complete``: whole. What they list is trusted, and
    what the book held in that range goes. Without rows the snapshot says nothing of the side.
    While the snapshot waits, what goes is noted, so that it can be undone.
    """
    known = trust.sides[side - 1]
    known.listed = UNTRUSTED
    known.listed_to = 0
    if start == stop:
        return
    worst = price[stop - 1]
    known.listed = EVERYTHING if complete else RANGE
    known.listed_to = 0 if complete else worst
    if complete:
        known.stale = 0
    if trust.waits != DEFINITE:
        log_side(book, trust.undo, side, listed_key(trust, side), price[start:stop])
    clear_side_range(book, side, (2 * side - 3) * MAX_PRICE if complete else worst)
    extend(trust, side, worst, complete)


@kernel
def begin_undo(trust: Record) -> None:
    """The snapshot that comes waits for a depth message: note what is trusted before it."""
    trust.waits = WAITS
    trust.undo.logged = 0
    trust.undo.overflown = 0
    for side in (BID, ASK):
        trust.undo.sides[side - 1] = trust.sides[side - 1]


@kernel
def log_level(log: Record, side: int, price: int, size: int) -> None:
    """Note a level as it is before it changes."""
    if log.logged == MAX_LOGGED:
        log.overflown = 1
        return
    level = log.levels[log.logged]
    level.side = side
    level.price = price
    level.was = size
    log.logged += 1


@allocating
def log_side(book: Book, log: Record, side: int, limit: int, listed: Int64) -> None:
    """Note what a snapshot changes that lists ``listed`` prices and empties the range before.

    The range goes to ``sign * price <= limit``.
    """
    prices, sizes, own = own_levels(book, side, limit)
    for k in range(own):
        log_level(log, side, prices[k], sizes[k])
    for k in range(listed.shape[0]):
        if level_size(book, side, listed[k]) == 0:
            log_level(log, side, listed[k], 0)


@kernel
def undo(book: Book, trust: Record) -> None:
    """The book, and what was trusted of it, as before the snapshot that waits; else nothing.

    Where the snapshot changed more levels than can be undone, nothing is trusted.
    """
    if trust.waits == DEFINITE:
        return
    if trust.waits == UNKNOWN:
        lose(trust, trust.reason)
        return
    log = trust.undo
    for k in range(log.logged):
        apply_level(book, log.levels[k].side, log.levels[k].price, log.levels[k].was)
    for side in (BID, ASK):
        known = trust.sides[side - 1]
        known.kind = log.sides[side - 1].kind
        known.to = log.sides[side - 1].to
        known.stale = log.sides[side - 1].stale
    if log.overflown != 0:  # what was not noted is as the snapshot had it
        deny(trust)
    log.logged = 0
    trust.waits = DEFINITE


@allocating
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
