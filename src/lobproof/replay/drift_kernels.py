"""Kernel that holds a snapshot against the rebuilt book, before anything is corrected."""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, level_size, top, trust, trusted_to
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    CLOSED,
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_DRIFT_GHOSTS,
    M_DRIFT_MISSING,
    M_RANKS,
    M_SIZES,
    MAX_SUSPECTS,
    PRICE_SQUARES,
    SIZE_SQUARES,
    SUSPECT_LEVELS,
    SUSPECTS,
    THIS_MINUTE,
    Float64,
)
from lobproof.schema import EVERYTHING, UNTRUSTED, Int64


@kernel
def note_suspect(run: Int64, side: int, price: int, earlier: int) -> None:
    """Remember a level that differs, once; beyond the table's end only the number is kept.

    The first ``earlier`` entries are those of a snapshot before this one.
    """
    for k in range(min(earlier, MAX_SUSPECTS)):
        if run[SUSPECT_LEVELS + 2 * k] == side and run[SUSPECT_LEVELS + 2 * k + 1] == price:
            return
    at = run[SUSPECTS]
    if at < MAX_SUSPECTS:
        run[SUSPECT_LEVELS + 2 * at] = side
        run[SUSPECT_LEVELS + 2 * at + 1] = price
    run[SUSPECTS] = at + 1


@kernel
def clear_suspect(run: Int64, side: int, price: int) -> None:
    """A depth message names the level: that it differed in a snapshot inside it proves nothing."""
    for k in range(min(run[SUSPECTS], MAX_SUSPECTS)):
        if run[SUSPECT_LEVELS + 2 * k] == side and run[SUSPECT_LEVELS + 2 * k + 1] == price:
            last = run[SUSPECTS] - 1
            if last < MAX_SUSPECTS:
                run[SUSPECT_LEVELS + 2 * k] = run[SUSPECT_LEVELS + 2 * last]
                run[SUSPECT_LEVELS + 2 * k + 1] = run[SUSPECT_LEVELS + 2 * last + 1]
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

    # the book's own levels within the limit
    room = listed + 64
    while True:
        own_prices = np.empty(room, np.int64)
        own_sizes = np.empty(room, np.int64)
        own = top(book, side, room, own_prices, own_sizes)
        if own < room or sign * own_prices[own - 1] > limit:
            break
        room *= 2
    while own > 0 and sign * own_prices[own - 1] > limit:
        own -= 1

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
            note_suspect(run, side, price[start + k], earlier)
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
                note_suspect(run, side, own_prices[k], earlier)
