"""Kernel that holds a snapshot against the rebuilt book, before anything is corrected."""

from __future__ import annotations

import numpy as np

from lobproof.book.kernels import Book, level_size, top, trust, trusted_to
from lobproof.jit import kernel
from lobproof.replay.ledger_kernels import (
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_DRIFT_GHOSTS,
    M_DRIFT_MISSING,
    M_RANK_SQUARES,
    M_RANKS,
    M_SIZES,
    MAX_SUSPECTS,
    SUSPECTS,
    Run,
)
from lobproof.schema import EVERYTHING, UNTRUSTED, Int64


@kernel
def note_suspect(run: Run, side: int, price: int) -> None:
    """Remember a level that differs; beyond the table's end only the number is kept."""
    at = run.state[SUSPECTS]
    if at < MAX_SUSPECTS:
        run.suspects[at, 0] = side
        run.suspects[at, 1] = price
    run.state[SUSPECTS] = at + 1


@kernel
def clear_suspect(run: Run, side: int, price: int) -> None:
    """A depth message names the level: that it differed in a snapshot inside it proves nothing."""
    for k in range(min(run.state[SUSPECTS], MAX_SUSPECTS)):
        if run.suspects[k, 0] == side and run.suspects[k, 1] == price:
            last = run.state[SUSPECTS] - 1
            if last < MAX_SUSPECTS:
                run.suspects[k, 0] = run.suspects[last, 0]
                run.suspects[k, 1] = run.suspects[last, 1]
            run.state[SUSPECTS] = last
            return


@kernel
def compare_side(
    book: Book, run: Run, side: int, prices: Int64, sizes: Int64, complete: bool, tick: int
) -> None:
    """Compare the side's listed levels (best first) with the book, where both know the side.

    Levels that differ are noted as suspects; counts, rank-wise squared price errors (in ticks)
    and relative size errors are added to the minute.
    """
    kind = trust(book, side)
    listed = prices.shape[0]
    if kind == UNTRUSTED or listed == 0:
        return
    sign = 2 * side - 3  # sign * price grows away from the touch, on either side
    limit = sign * prices[listed - 1]
    if kind != EVERYTHING:
        limit = min(limit, sign * trusted_to(book, side)) if not complete else sign * trusted_to(
            book, side
        )
    elif complete:
        limit = 2**62

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

    minute = run.minute
    matched = 0
    theirs = 0
    for k in range(listed):
        if sign * prices[k] > limit:
            break
        theirs += 1
        minute[M_DRIFT_COMPARED] += 1
        held = level_size(book, side, prices[k])
        if held == sizes[k]:
            minute[M_DRIFT_EQUAL] += 1
        else:
            note_suspect(run, side, prices[k])
        if held == 0:
            minute[M_DRIFT_MISSING] += 1
        else:
            matched += 1
            minute[M_SIZES] += 1
            error = (held - sizes[k]) / sizes[k]
            run.size_squares[0] += error * error
    for k in range(min(own, theirs)):
        distance = (own_prices[k] - prices[k]) // tick
        minute[M_RANKS] += 1
        minute[M_RANK_SQUARES] += distance * distance
    if own > matched:
        minute[M_DRIFT_GHOSTS] += own - matched
        minute[M_DRIFT_COMPARED] += own - matched
        at = 0
        for k in range(own):
            while at < listed and sign * prices[at] < sign * own_prices[k]:
                at += 1
            if at == listed or prices[at] != own_prices[k]:
                note_suspect(run, side, own_prices[k])
