"""Stored events applied to a book: what `Store.book_at` runs between a keyframe and an instant."""

from __future__ import annotations

from lobproof.book.kernels import (
    MAX_PRICE,
    Book,
    apply_level,
    clear_book,
    clear_side_range,
    extend_trust,
    set_trust,
)
from lobproof.jit import kernel
from lobproof.schema import UNTRUSTED, Flag, Int8, Int32, Int64, Kind

LAST = int(Flag.LAST)
GAP = int(Flag.GAP)
COMPLETE = int(Flag.COMPLETE)
HARMLESS_GAP = int(Flag.RESYNC | Flag.TRADES)
"""A gap that a snapshot bridged, or one of the trade stream, takes no trust away."""

CLEAR = int(Kind.CLEAR)
DELTA = int(Kind.DELTA)
SNAPSHOT = int(Kind.SNAPSHOT)
MARK = int(Kind.MARK)


@kernel
def replace_side(
    book: Book, bid_or_ask: int, side: Int8, price: Int64, flags: Int32, start: int, stop: int
) -> None:
    """Make room for a snapshot's rows of one side, and note what it makes known.

    The range from the touch to the worst price listed goes; all of it where the side is listed
    whole. A side without rows stays as it is.
    """
    worst = 0
    complete = False
    sign = 2 * bid_or_ask - 3
    for row in range(start, stop):
        if side[row] == bid_or_ask and price[row] > 0:
            if worst == 0 or sign * price[row] > sign * worst:
                worst = price[row]
            complete = complete or (flags[row] & COMPLETE) != 0
    if worst != 0:
        clear_side_range(book, bid_or_ask, sign * MAX_PRICE if complete else worst)
        extend_trust(book, bid_or_ask, worst, complete)


@kernel
def apply_events(
    book: Book, kind: Int8, side: Int8, price: Int64, size: Int64, flags: Int32
) -> int:
    """Apply whole messages; columns of equal length. Trades leave the book alone.

    Returns how many rows were applied: fewer than given where the book's hash had no room.
    """
    rows = len(kind)
    row = 0
    while row < rows:
        code = kind[row]
        if code == CLEAR:
            clear_book(book)
        elif code == MARK:
            if flags[row] & GAP and not flags[row] & HARMLESS_GAP:
                set_trust(book, 1, UNTRUSTED, 0)
                set_trust(book, 2, UNTRUSTED, 0)
        elif code == SNAPSHOT and (row == 0 or kind[row - 1] != SNAPSHOT or flags[row - 1] & LAST):
            stop = row
            while stop < rows and not flags[stop] & LAST:
                stop += 1
            stop = min(stop + 1, rows)
            replace_side(book, 1, side, price, flags, row, stop)
            replace_side(book, 2, side, price, flags, row, stop)
        listed = code in (DELTA, SNAPSHOT)
        if listed and apply_level(book, side[row], price[row], size[row]) < 0:
            return row
        row += 1
    return rows
