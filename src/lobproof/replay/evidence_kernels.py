"""Kernels that weigh a snapshot against a whole chain: which of the two is believed.

A later snapshot that differs from a book whose chain is whole is held against what is known of
each level that differs:

- depth messages set it since the anchor, or two snapshots agreed on it: the chain is believed and
  the snapshot refuted, unless it says what the last refuted one said of every such level, and
  most of its levels are the book's (another symbol's are not);
- it is as the anchoring snapshot listed it, and nothing else: one snapshot stands against another,
  and nothing is believed until a third comes.

So the replay keeps an image of what the anchor lists, how far a second snapshot agreed, and the
levels of the last one that was refuted. An anchor itself is on probation until a depth message
names a level that it lists.
"""

from __future__ import annotations

from lobproof.book.kernels import Book, top
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    DIFFERENCE,
    IMAGE_LEVELS,
    IMAGES,
    L_BOOK,
    L_PRICE,
    L_SIDE,
    MAX_IMAGE,
    MAX_REMEMBERED,
    MAX_SUSPECTS,
    NEVER,
    PROBE,
    PROBED,
    REMEMBERED,
    REMEMBERED_LEVELS,
    SHARED,
    SNAPSHOT_TRUST,
    SUSPECT_ID,
    SUSPECT_LEVELS,
    SUSPECT_TS,
    SUSPECTS,
    VOUCHED,
    WAITING,
)
from lobproof.schema import EVERYTHING, UNTRUSTED, Int64, Side

BID = int(Side.BID)
ASK = int(Side.ASK)

UNKNOWN = 2**62 + 1
"""How far the image goes where it holds not all that the anchor lists."""
UNDECIDED, BELIEVED, DISBELIEVED = range(3)
"""One snapshot against another; a second one says the same; the chain says otherwise."""


@kernel
def listed_to(run: Int64, side: int) -> int:
    """How far (sign * price) the last snapshot lists a side; `NEVER` where it does not."""
    covered = SNAPSHOT_TRUST + 2 * (side - 1)
    if run[covered] == UNTRUSTED:
        return NEVER
    return 2**62 if run[covered] == EVERYTHING else int((2 * side - 3) * run[covered + 1])


@kernel
def take_image(book: Book, run: Int64) -> None:
    """Note the book as far as the last snapshot lists it."""
    for side in (BID, ASK):
        sign = 2 * side - 3
        at = IMAGE_LEVELS + 2 * MAX_IMAGE * (side - 1)
        limit = listed_to(run, side)
        count = 0
        if limit != NEVER:
            prices = run[at : at + MAX_IMAGE]
            count = top(book, side, MAX_IMAGE, prices, run[at + MAX_IMAGE : at + 2 * MAX_IMAGE])
        cut = count == MAX_IMAGE and sign * run[at + count - 1] < limit
        while count > 0 and sign * run[at + count - 1] > limit:
            count -= 1
        run[IMAGES + 2 * (side - 1)] = count
        run[IMAGES + 2 * (side - 1) + 1] = UNKNOWN if cut else limit


@kernel
def no_image(run: Int64) -> None:
    """Nothing is known of the anchor: what it listed may be any of the book's levels."""
    for side in (BID, ASK):
        run[IMAGES + 2 * (side - 1)] = 0
        run[IMAGES + 2 * (side - 1) + 1] = UNKNOWN
        run[VOUCHED + side - 1] = NEVER
    run[REMEMBERED] = 0
    run[PROBE] = 0


@kernel
def set_since(run: Int64, side: int, price: int, held: int) -> bool:
    """Whether the book's size of a level is not the anchor's, so that a depth message set it."""
    sign = 2 * side - 3
    at = IMAGE_LEVELS + 2 * MAX_IMAGE * (side - 1)
    count = run[IMAGES + 2 * (side - 1)]
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if sign * run[at + middle] < sign * price:
            low = middle + 1
        else:
            high = middle
    if low < count and run[at + low] == price:
        return bool(run[at + MAX_IMAGE + low] != held)
    end = run[IMAGES + 2 * (side - 1) + 1]
    if end == UNKNOWN:
        return False
    # beyond what the anchor lists all is from depth messages
    return bool(held != 0 or sign * price > end)


@kernel
def anchored(book: Book, run: Int64) -> None:
    """The book rests on the last snapshot alone."""
    take_image(book, run)
    run[VOUCHED] = NEVER
    run[VOUCHED + 1] = NEVER
    run[REMEMBERED] = 0
    run[WAITING] = 0
    run[PROBE] = 1
    run[PROBED] = 0


@kernel
def confirmed(book: Book, run: Int64, bids_to: int, asks_to: int) -> None:
    """The last snapshot agrees with the book, as far (sign * price) as both know the sides."""
    run[VOUCHED] = max(run[VOUCHED], bids_to)
    run[VOUCHED + 1] = max(run[VOUCHED + 1], asks_to)
    take_image(book, run)
    run[REMEMBERED] = 0
    run[PROBE] = 0


@kernel
def was_said(run: Int64, entry: int) -> bool:
    """Whether the last refuted snapshot said the same of a suspect, against the same book."""
    for k in range(run[REMEMBERED]):
        at = REMEMBERED_LEVELS + DIFFERENCE * k
        same = True
        for field in range(DIFFERENCE):
            same &= run[at + field] == run[entry + field]
        if same:
            return True
    return False


@kernel
def weigh(run: Int64) -> int:
    """Judge the snapshot whose differences are the suspects; a refuted one is remembered."""
    if run[SUSPECTS] > MAX_SUSPECTS:
        return UNDECIDED
    against = 0
    said = 0
    for k in range(run[SUSPECTS]):
        at = SUSPECT_LEVELS + DIFFERENCE * k
        side = run[at + L_SIDE]
        price = run[at + L_PRICE]
        vouched = (2 * side - 3) * price <= run[VOUCHED + side - 1]
        if vouched or set_since(run, side, price, run[at + L_BOOK]):
            against += 1
            if was_said(run, at):
                said += 1
    if against == 0:
        return UNDECIDED
    if said == against and run[SHARED] >= run[SUSPECTS]:
        return BELIEVED
    count = min(run[SUSPECTS], MAX_REMEMBERED)
    for k in range(DIFFERENCE * count):
        run[REMEMBERED_LEVELS + k] = run[SUSPECT_LEVELS + k]
    run[REMEMBERED] = count
    return DISBELIEVED


@kernel
def probe(run: Int64, side: int, price: int, before: int) -> None:
    """Note whether the anchor, within its range, holds a level that a depth message names."""
    if (2 * side - 3) * price <= listed_to(run, side):
        if before > 0:
            run[PROBE] = 0
        else:
            run[PROBED] += 1


@kernel
def judged(run: Int64) -> None:
    """The book is known to be right up to the last snapshot."""
    run[SUSPECTS] = 0
    run[WAITING] = 0
    run[AGREED_ID] = run[SUSPECT_ID]
    run[AGREED_TS] = run[SUSPECT_TS]
