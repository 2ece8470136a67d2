"""Stored events applied to a book: what `Store.book_at` runs between a keyframe and an instant.

The rows say all that the replay knew. A snapshot with ``REFUTED`` was not applied; one with
``AWAITS`` was, until the depth message behind it, whose ``REFUTED`` undoes it. ``DRIFT`` on either
takes trust away, or leaves what the snapshot alone lists; so do ``STRANDED``, a mark of a gap, of
drift or of silence, and a crossed book. A snapshot whose id lies inside the next depth message
is *ahead*: until that one comes no more is trusted than it lists.
"""

from __future__ import annotations

from lobproof.book.kernels import (
    MAX_PRICE,
    Book,
    apply_level,
    best_price,
    clear_book,
    clear_side_range,
    crossed,
    extend_trust,
    grow_range,
    set_trust,
    trust,
    trusted_to,
)
from lobproof.book.undo_kernels import SAVED, UNDO, begin_undo, log_side, undo_levels
from lobproof.jit import kernel
from lobproof.schema import (
    DISTRUSTS,
    EVERYTHING,
    RANGE,
    UNTRUSTED,
    Flag,
    Int8,
    Int32,
    Int64,
    Kind,
    Side,
    speaks_of_the_feed,
)

LAST = int(Flag.LAST)
GAP = int(Flag.GAP)
RESYNC = int(Flag.RESYNC)
TRADES = int(Flag.TRADES)
DRIFT = int(Flag.DRIFT)
COMPLETE = int(Flag.COMPLETE)
STRANDED = int(Flag.STRANDED)
REFUTED = int(Flag.REFUTED)
AWAITS = int(Flag.AWAITS)

TRADE = int(Kind.TRADE)
CLEAR = int(Kind.CLEAR)
SNAPSHOT = int(Kind.SNAPSHOT)
MARK = int(Kind.MARK)
BID = int(Side.BID)
ASK = int(Side.ASK)


LISTED = 0  # in `covered`: what a snapshot that is ahead lists, trust and far end of each side
STALE = 4  # per side, 1: beyond the range, if there is one, may be levels from before a loss
SEQUENCE = 6  # of the last depth message
WAITS = 7  # 1: the depth message that comes may undo the snapshot before it; or UNKNOWN
UNDONE = 8  # what that snapshot has changed
COVERAGE = UNDONE + UNDO
UNKNOWN = 2  # it may, and what was before the snapshot is not known

speaks = kernel(speaks_of_the_feed)


@kernel
def known(book: Book, covered: Int64, half: int) -> tuple[int, int]:
    """What is trusted of a side, and how far: `trust` and `trusted_to`, less behind one ahead."""
    kind = trust(book, half)
    ahead = covered[LISTED] != UNTRUSTED or covered[LISTED + 2] != UNTRUSTED
    if kind == UNTRUSTED or not ahead:
        return kind, trusted_to(book, half)
    # a snapshot makes the range what it lists at least
    listed = LISTED + 2 * (half - 1)
    return int(covered[listed]), int(covered[listed + 1])


@kernel
def distrust(book: Book, covered: Int64) -> None:
    """Marks both sides untrusted."""
    covered[WAITS] = 0
    for half in (BID, ASK):
        set_trust(book, half, UNTRUSTED, 0)
        covered[STALE + half - 1] = 1


@kernel
def undo(book: Book, covered: Int64) -> None:
    """The book as before the snapshot that waits; nothing where none does."""
    if covered[WAITS] == 0:
        return
    if covered[WAITS] == UNKNOWN:
        distrust(book, covered)
        return
    undo_levels(book, covered[UNDONE:])
    for half in (BID, ASK):
        covered[STALE + half - 1] = covered[UNDONE + SAVED + 3 * (half - 1) + 2]


@kernel
def trust_snapshot_alone(book: Book, covered: Int64) -> None:
    """Of what was known before the last snapshot nothing holds: only what it lists is trusted."""
    for half in (BID, ASK):
        listed = LISTED + 2 * (half - 1)
        set_trust(book, half, covered[listed], covered[listed + 1])
        covered[STALE + half - 1] = 1


@kernel
def grow(book: Book, covered: Int64, half: int) -> None:
    """Extend a trusted range as the replay did."""
    if covered[STALE + half - 1] == 0:
        grow_range(book, half, 1)
    elif trust(book, half) == RANGE and best_price(book, 3 - half) != 0:
        extend_trust(book, half, best_price(book, 3 - half), False)


@kernel
def replace_side(
    book: Book,
    covered: Int64,
    half: int,
    side: Int8,
    price: Int64,
    flags: Int32,
    start: int,
    stop: int,
) -> None:
    """Make room for a snapshot's rows of one side, and note what it makes known.

    The range from the touch to the worst price listed goes; all of it where the side is listed
    whole. A side without rows stays as it is.
    """
    worst = 0
    complete = False
    sign = 2 * half - 3
    for row in range(start, stop):
        if side[row] == half:
            if worst == 0 or sign * price[row] > sign * worst:
                worst = price[row]
            complete = (flags[row] & COMPLETE) != 0
    listed = LISTED + 2 * (half - 1)
    covered[listed] = UNTRUSTED
    covered[listed + 1] = 0
    if worst != 0:
        covered[listed] = EVERYTHING if complete else RANGE
        covered[listed + 1] = 0 if complete else worst
        if covered[WAITS] != 0:
            ours = side[start:stop] == half
            limit = 2**62 if complete else sign * worst
            log_side(book, covered[UNDONE:], half, limit, price[start:stop][ours])
        clear_side_range(book, half, sign * MAX_PRICE if complete else worst)
        extend_trust(book, half, worst, complete)


@kernel
def apply_events(
    book: Book,
    covered: Int64,
    sequence: Int64,
    prev_sequence: Int64,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
    flags: Int32,
) -> None:
    """Apply whole messages; trades leave the book alone.

    Parameters
    ----------
    book
        With room for as many levels as there are rows (`ensure_far_capacity`).
    covered
        (COVERAGE,), kept from call to call, of a keyframe in the beginning: what a snapshot that is
        ahead lists (else zeros), `STALE` of each side, `SEQUENCE`, -1 before the first, and what
        can be undone.
    sequence, prev_sequence, kind, side, price, size, flags
        Columns of equal length.
    """
    row = 0
    while row < len(kind):
        stop = row
        while stop + 1 < len(kind) and not flags[stop] & LAST:
            stop += 1
        stop += 1
        what = kind[row]
        if what == TRADE or (what == MARK and speaks(flags[row], prev_sequence[row])):
            if flags[row] & GAP and not flags[row] & TRADES:
                if flags[row] & RESYNC:
                    covered[WAITS] = 0
                    trust_snapshot_alone(book, covered)
                else:
                    distrust(book, covered)
            elif flags[row] & DISTRUSTS:
                distrust(book, covered)
            row = stop
            continue
        drift = (flags[row] & DRIFT) != 0
        refuted = (flags[row] & REFUTED) != 0
        listed = what in (SNAPSHOT, CLEAR)
        if what == CLEAR:
            clear_book(book)
            covered[STALE] = 0
            covered[STALE + 1] = 0
        elif listed or refuted:
            undo(book, covered)
        covered[WAITS] = 0
        if listed and (drift or flags[row] & STRANDED):
            distrust(book, covered)
        if listed and not refuted:
            if flags[row] & AWAITS:
                begin_undo(book, covered[UNDONE:], covered[STALE], covered[STALE + 1])
                covered[WAITS] = 1
            replace_side(book, covered, BID, side, price, flags, row, stop)
            replace_side(book, covered, ASK, side, price, flags, row, stop)
        if what != MARK and not (listed and refuted):
            for level in range(row + (what == CLEAR), stop):
                apply_level(book, side[level], price[level], size[level])
        if drift and not listed:
            if refuted:
                distrust(book, covered)
            else:
                trust_snapshot_alone(book, covered)
        if crossed(book):
            distrust(book, covered)
        else:
            grow(book, covered, BID)
            grow(book, covered, ASK)
        if not listed:
            covered[SEQUENCE] = sequence[row]
        if not listed or sequence[row] == covered[SEQUENCE]:
            covered[LISTED : LISTED + 4] = UNTRUSTED
        row = stop
