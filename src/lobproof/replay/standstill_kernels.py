"""Kernels that notice where a vendor's book stands still: what repeats proves nothing."""

from __future__ import annotations

from lobproof.book.kernels import Book, level_size, side_count
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    FRESH_ID,
    FRESH_TS,
    LISTED,
    PRINTS,
)
from lobproof.replay.minute_kernels import end_standstill
from lobproof.schema import LEVELS, Int8, Int64, Side

BID = int(Side.BID)
ASK = int(Side.ASK)


@kernel
def repeats(run: Int64, found: Int64, levels: Int64, event_id: int, ts: int) -> bool:
    """Whether a reference lists what the one before it did; remembers it where not."""
    same = True
    for k in range(4 * LEVELS):
        same &= run[LISTED + k] == levels[k]
    if not same:
        end_standstill(run, found, event_id, ts)
        run[FRESH_ID] = event_id
        run[FRESH_TS] = ts
        for k in range(4 * LEVELS):
            run[LISTED + k] = levels[k]
    return same


@kernel
def note_listed(
    book: Book,
    run: Int64,
    found: Int64,
    start: int,
    stop: int,
    event_id: int,
    ts: int,
    side: Int8,
    price: Int64,
    size: Int64,
) -> None:
    """Rows ``start:stop`` are a reference that will be the book: whether it shows any print."""
    same = stop - start == side_count(book, BID) + side_count(book, ASK)
    for i in range(start, stop):
        same &= level_size(book, side[i], price[i]) == size[i]
    if same:
        run[PRINTS + 2] += run[PRINTS + 1]
        run[PRINTS + 1] = run[PRINTS]
        run[PRINTS] = 0
        return
    end_standstill(run, found, event_id - 1, ts)
    run[FRESH_ID] = event_id + stop - start
    run[FRESH_TS] = ts
