"""Kernel that holds a snapshot against the rebuilt book, before anything is corrected."""

from __future__ import annotations

from lobproof.book.kernels import Book, level_size, trust, trusted_to
from lobproof.book.undo_kernels import own_levels
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    CLOSED,
    DIFFERENCE,
    L_BOOK,
    L_PRICE,
    L_SIDE,
    L_SNAPSHOT,
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_DRIFT_GHOSTS,
    M_DRIFT_MISSING,
    M_RANKS,
    M_SIZES,
    MAX_SUSPECTS,
    PRICE_SQUARES,
    SIZE_SQUARES,
    STALE,
    SUSPECT_LEVELS,
    SUSPECTS,
    THIS_MINUTE,
    Float64,
)
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Int64


@kernel
def note_suspect(run: Int64, side: int, price: int, held: int, listed: int, earlier: int) -> None:
    """Remember a level that differs, once; beyond the table's end only the number is kept.

    The first ``earlier`` entries are those of a snapshot before this one.
    """
    for k in range(min(earlier, MAX_SUSPECTS)):
        at = SUSPECT_LEVELS + DIFFERENCE * k
        if run[at + L_SIDE] == side and run[at + L_PRICE] == price:
            run[at + L_SNAPSHOT] = listed
            return
    if run[SUSPECTS] < MAX_SUSPECTS:
        at = SUSPECT_LEVELS + DIFFERENCE * run[SUSPECTS]
        run[at + L_SIDE] = side
        run[at + L_PRICE] = price
        run[at + L_BOOK] = held
        run[at + L_SNAPSHOT] = listed
    run[SUSPECTS] += 1


@kernel
def clear_suspect(run: Int64, side: int, price: int) -> None:
    """A depth message names the level: that it differed in a snapshot inside it proves nothing."""
    for k in range(min(run[SUSPECTS], MAX_SUSPECTS)):
        at = SUSPECT_LEVELS + DIFFERENCE * k
        if run[at + L_SIDE] == side and run[at + L_PRICE] == price:
            last = run[SUSPECTS] - 1
            if last < MAX_SUSPECTS:
                for field in range(DIFFERENCE):
                    run[at + field] = run[SUSPECT_LEVELS + DIFFERENCE * last + field]
            run[SUSPECTS] = last
            return


@kernel
def compare_side(
    book: Book,
    run: Int64,
    squares: Float64,
    side: int,
    price: Int64,
    size: Int64,
    start: int,
    stop: int,
    complete: bool,
    tick: int,
    earlier: int,
) -> None:
    """Compare rows ``start:stop`` (best first) with the book, where both know the side.

    Levels that differ are noted as suspects, beside the ``earlier`` ones of a snapshot before;
    counts, rank-wise squared price errors (in ticks) and relative size errors are added to the
    minute.
    """
    kind = trust(book, side)
    listed = stop - start
    if kind == UNTRUSTED or listed == 0:
        return
    sign = 2 * side - 3  # sign * price grows away from the touch, on either side
    limit = sign * price[stop - 1]
    if complete:
        limit = 2**62
    if kind != EVERYTHING:
        limit = min(limit, sign * trusted_to(book, side))

    own_prices, own_sizes, own = own_levels(book, side, limit)
    matched = 0
    theirs = 0
    for k in range(listed):
        if sign * price[start + k] > limit:
            break
        theirs += 1
        run[THIS_MINUTE + M_DRIFT_COMPARED] += 1
        held = level_size(book, side, price[start + k])
        if held == size[start + k]:
            run[THIS_MINUTE + M_DRIFT_EQUAL] += 1
        else:
            note_suspect(run, side, price[start + k], held, size[start + k], earlier)
        if held == 0:
            run[THIS_MINUTE + M_DRIFT_MISSING] += 1
        else:
            matched += 1
            run[THIS_MINUTE + M_SIZES] += 1
            error = (held - size[start + k]) / size[start + k]
            squares[run[CLOSED], SIZE_SQUARES] += error * error
    for k in range(min(own, theirs)):
        distance = (own_prices[k] - price[start + k]) / tick
        run[THIS_MINUTE + M_RANKS] += 1
        squares[run[CLOSED], PRICE_SQUARES] += distance * distance
    if own > matched:
        run[THIS_MINUTE + M_DRIFT_GHOSTS] += own - matched
        run[THIS_MINUTE + M_DRIFT_COMPARED] += own - matched
        at = 0
        for k in range(own):
            while at < listed and sign * price[start + at] < sign * own_prices[k]:
                at += 1
            if at == listed or price[start + at] != own_prices[k]:
                note_suspect(run, side, own_prices[k], own_sizes[k], 0, earlier)


@kernel
def compare_beyond(
    book: Book,
    run: Int64,
    side: int,
    price: Int64,
    size: Int64,
    start: int,
    stop: int,
    complete: bool,
    earlier: int,
) -> None:
    """Hold what a whole chain told of levels beyond the trusted range against a snapshot.

    The book may lack levels there, but those that it holds are right, unless they may be from
    before a loss. What differs is a suspect; nothing of it enters the minute's counts.
    """
    if run[STALE + side - 1] != 0 or trust(book, side) != RANGE or stop == start:
        return
    sign = 2 * side - 3
    known = sign * trusted_to(book, side)
    limit = sign * price[stop - 1]
    if complete:
        limit = 2**62
    at = start
    prices, sizes, own = own_levels(book, side, limit)
    for k in range(own):
        if sign * prices[k] <= known:
            continue
        while at < stop and sign * price[at] < sign * prices[k]:
            at += 1
        listed = size[at] if at < stop and price[at] == prices[k] else 0
        if listed != sizes[k]:
            note_suspect(run, side, prices[k], sizes[k], listed, earlier)
