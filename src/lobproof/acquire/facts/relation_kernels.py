"""Kernels that replay deltas and hold rows of ``book`` against the book that they make."""

from __future__ import annotations

from typing import NamedTuple

from lobproof.book.kernels import Book, apply_level, clear_side_range, crossed, top
from lobproof.book.trust_kernels import clear, extend, trusted_slots
from lobproof.jit import kernel
from lobproof.schema import LEVELS, UNTRUSTED, Int8, Int64
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import Record, integers, record

RELATION = record(
    *integers("shift"),  # so many messages after its own a row is held against the book
    *integers("message", "row"),  # the next ones
    *integers("applied"),  # 1: that message is
    *integers("rows", "same", "between", "before"),  # met; with the number of a message, or not
    *integers("compared", "touch", "equal"),  # rows; equal in the touch, in all trusted levels
    *integers("levels"),  # that were compared
    *integers("seeds", "skipped"),  # rows that seeded the book, and rows too crossed to
    *integers("messages", "crossed"),  # after which the book was seeded; and crossed then
)
"""How far a replay is, and what it counted."""

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
    state: Record, book: Book, trust: Record, row: Int64, prices: Int64, sizes: Int64
) -> None:
    """Hold a row against the book, then set the book to it where that says more or otherwise."""
    seeded = _seeded(trust)
    whole = False
    unfit = row[0] >= row[_SIDE] or row[0] <= 0
    if seeded and crossed(book):
        if not unfit:
            state.compared += 1
    elif seeded:
        bids, bid_touch, bids_equal = _side_equal(book, trust, row, BID, prices, sizes)
        asks, ask_touch, asks_equal = _side_equal(book, trust, row, ASK, prices, sizes)
        if bids > 0 and asks > 0:
            state.compared += 1
            state.levels += bids + asks
            if bid_touch and ask_touch:
                state.touch += 1
            if bids_equal and asks_equal:
                state.equal += 1
                whole = True
                if bids == LEVELS and asks == LEVELS:
                    return
    if unfit:
        state.skipped += 1
        return
    if not whole:
        clear(book, trust)
        state.seeds += 1
    _seed_side(book, trust, row, BID)
    _seed_side(book, trust, row, ASK)


@kernel
def relate(
    state: Record,
    book: Book,
    trust: Record,
    messages: Messages,
    until: int,
    rows: BookRows,
    prices: Int64,
    sizes: Int64,
) -> bool:
    """Apply the messages from ``state.message`` to ``until``, and look at the rows behind each.

    False where it stopped because further rows are needed. ``prices`` and ``sizes`` are scratch.
    """
    sequences, starts = messages.sequences, messages.starts
    side, price, size = messages.side, messages.price, messages.size
    shift = state.shift
    while state.message <= until:
        k = state.message
        if state.applied == 0:
            if sequences[k] < sequences[k - 1]:
                clear(book, trust)
            for d in range(starts[k], starts[k + 1]):
                if side[d] != 0 and price[d] > 0 and size[d] >= 0:
                    apply_level(book, side[d], price[d], size[d])
            if _seeded(trust):
                state.messages += 1
                if crossed(book):
                    state.crossed += 1
            state.applied = 1
        end = sequences[k + 1 - shift]
        while state.row < len(rows.levels) and rows.sequences[state.row] < end:
            r = state.row
            state.rows += 1
            if rows.sequences[r] == sequences[k - shift]:
                state.same += 1
            elif sequences[k - shift] == START:
                state.before += 1
            else:
                state.between += 1
            _look_at_row(state, book, trust, rows.levels[r], prices, sizes)
            state.row += 1
        if state.row == len(rows.levels) and not rows.last:
            return False
        state.applied = 0
        state.message += 1
    return True
