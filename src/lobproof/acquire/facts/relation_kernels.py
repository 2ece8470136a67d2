"""Kernels that replay deltas and hold rows of ``book`` against the book that they make."""

from __future__ import annotations

from typing import NamedTuple

from lobproof.book.kernels import Book, apply_level, clear_side_range, crossed, top
from lobproof.book.trust_kernels import clear, extend, trusted_slots
from lobproof.jit import kernel
from lobproof.schema import LEVELS, UNTRUSTED, Int8, Int64
from lobproof.schema.records import Record

SHIFT = 0
MESSAGE, ROW, APPLIED = 1, 2, 3
ROWS, SAME, BETWEEN, BEFORE = 4, 5, 6, 7
COMPARED, TOUCH, EQUAL, SEEDS, SKIPPED = 8, 9, 10, 11, 12
MESSAGES, CROSSED = 13, 14
LEVELS_COMPARED = 15
RELATION_SLOTS = 16
"""How many messages after its own a row is held against; next message, next row, whether that
message is applied; rows met: all, with the number of a message, between two, before the first;
rows compared, equal in the touch, equal in all trusted levels, rows that seeded the book, rows too
crossed to seed from; messages after which the book was seeded, crossed then; levels compared."""

_SIDE = 2 * LEVELS
NEVER = 2**63 - 1
"""Sequence number behind the last message."""
START = -(2**62)
"""Sequence number of a message of nothing before the first."""


class Messages(NamedTuple):
    """Messages to apply: what lies behind ``number`` tells where they end, or is nothing any more.

    Message ``k`` has the deltas ``starts[k]:starts[k + 1]``; ``sequences`` has one number before
    them and two behind. A replay with shift ``s`` begins at message ``2 + s`` and goes on to
    ``number + s``: so all need the same rows of ``book`` at the same time.
    """

    sequences: Int64
    starts: Int64
    number: int
    last: bool
    side: Int8
    price: Int64
    size: Int64


class BookRows(NamedTuple):
    """Rows of ``book``, (n, 80) counts, and whether they are the last."""

    sequences: Int64
    levels: Int64
    last: bool


@kernel
def _seeded(trust: Record) -> bool:
    """Whether something of both sides is known."""
    return bool(trust.sides[0].kind != UNTRUSTED and trust.sides[1].kind != UNTRUSTED)


@kernel
def _seed_side(book: Book, trust: Record, row: Int64, side: int) -> None:
    """Make the side, as far as the row lists it, what the row says."""
    first = (side - 1) * _SIDE
    depth = 0
    while depth < LEVELS and row[first + 2 * depth] > 0 and row[first + 2 * depth + 1] > 0:
        depth += 1
    if depth == 0:
        return
    worst = row[first + 2 * (depth - 1)]
    clear_side_range(book, side, worst)
    for level in range(depth):
        apply_level(book, side, row[first + 2 * level], row[first + 2 * level + 1])
    extend(trust, side, worst, False)


@kernel
def _side_equal(
    book: Book, trust: Record, row: Int64, side: int, prices: Int64, sizes: Int64
) -> tuple[int, bool, bool]:
    """Trusted levels compared, whether the first is equal, and whether all are."""
    count = top(book, side, LEVELS, prices, sizes)
    slots = trusted_slots(book, trust, side, prices, count, LEVELS)
    first = (side - 1) * _SIDE
    for level in range(slots):
        if row[first + 2 * level] != prices[level] or row[first + 2 * level + 1] != sizes[level]:
            return slots, level > 0, False
    return slots, slots > 0, slots > 0


@kernel
def _look_at_row(
    state: Int64, book: Book, trust: Record, row: Int64, prices: Int64, sizes: Int64
) -> None:
    """Hold a row against the book, then set the book to it where that says more or otherwise."""
    seeded = _seeded(trust)
    whole = False
    unfit = row[0] >= row[_SIDE] or row[0] <= 0
    if seeded and crossed(book):
        if not unfit:
            state[COMPARED] += 1
    elif seeded:
        bids, bid_touch, bids_equal = _side_equal(book, trust, row, 1, prices, sizes)
        asks, ask_touch, asks_equal = _side_equal(book, trust, row, 2, prices, sizes)
        if bids > 0 and asks > 0:
            state[COMPARED] += 1
            state[LEVELS_COMPARED] += bids + asks
            if bid_touch and ask_touch:
                state[TOUCH] += 1
            if bids_equal and asks_equal:
                state[EQUAL] += 1
                whole = True
                if bids == LEVELS and asks == LEVELS:
                    return
    if unfit:
        state[SKIPPED] += 1
        return
    if not whole:
        clear(book, trust)
        state[SEEDS] += 1
    _seed_side(book, trust, row, 1)
    _seed_side(book, trust, row, 2)


@kernel
def relate(
    state: Int64,
    book: Book,
    trust: Record,
    messages: Messages,
    until: int,
    rows: BookRows,
    prices: Int64,
    sizes: Int64,
) -> bool:
    """Apply the messages from ``state[MESSAGE]`` to ``until``, and look at the rows behind each.

    False where it stopped because further rows are needed. ``prices`` and ``sizes`` are scratch.
    """
    sequences, starts = messages.sequences, messages.starts
    side, price, size = messages.side, messages.price, messages.size
    shift = state[SHIFT]
    while state[MESSAGE] <= until:
        k = state[MESSAGE]
        if state[APPLIED] == 0:
            if sequences[k] < sequences[k - 1]:
                clear(book, trust)
            for d in range(starts[k], starts[k + 1]):
                if side[d] != 0 and price[d] > 0 and size[d] >= 0:
                    apply_level(book, side[d], price[d], size[d])
            if _seeded(trust):
                state[MESSAGES] += 1
                if crossed(book):
                    state[CROSSED] += 1
            state[APPLIED] = 1
        end = sequences[k + 1 - shift]
        while state[ROW] < len(rows.levels) and rows.sequences[state[ROW]] < end:
            r = state[ROW]
            state[ROWS] += 1
            if rows.sequences[r] == sequences[k - shift]:
                state[SAME] += 1
            elif sequences[k - shift] == START:
                state[BEFORE] += 1
            else:
                state[BETWEEN] += 1
            _look_at_row(state, book, trust, rows.levels[r], prices, sizes)
            state[ROW] += 1
        if state[ROW] == len(rows.levels) and not rows.last:
            return False
        state[APPLIED] = 0
        state[MESSAGE] += 1
    return True
