"""The best of a side across window and hash, and the window's following of the touch."""

from __future__ import annotations

import numpy as np

from lobproof.book.layout_kernels import (
    BASE,
    BITS,
    CAPACITY,
    FIRST,
    HEADER,
    NEAR,
    NONE,
    ONE,
    OVERFLOW,
    OVERFLOW_BOUND,
    OVERFLOW_KEY,
    OVERFLOW_SIZE,
    TICK,
    TICKS,
    WORDS,
    WORK,
    Book,
    first_slot,
    put_near,
    slot_of,
    trailing_zeros,
)
from lobproof.book.overflow_kernels import (
    overflow_apply,
    overflow_best,
    overflow_find,
    overflow_insert,
    overflow_remove,
)
from lobproof.jit import kernel, specialized


@specialized
def best_key(book: Book, head: int) -> int:
    """Key of the best level, or ``NONE``."""
    slot = first_slot(book, head)
    key = NONE
    if slot < book[head + TICKS]:
        key = book[head + BASE] + slot * book[head + TICK]
    if book[head + OVERFLOW_BOUND] < key:
        key = min(key, overflow_best(book, head))
    return key


@kernel
def base_around(book: Book, head: int, key: int) -> int:
    """Base of a window that holds ``key`` at a quarter of its length: depth lies on one side."""
    tick = max(book[head + TICK], 1)  # says that no division by zero can raise here
    return int((key // tick - (book[head + TICKS] >> 2)) * tick)


@kernel
def move_window(book: Book, head: int, base: int) -> None:
    """Give a side a new window; the hash must have room for all of the side's levels."""
    for at in range(book[head + FIRST], book[head + WORDS]):
        word = np.uint64(book[book[head + BITS] + at])
        while word != 0:
            slot = (at << 6) + trailing_zeros(word)
            word &= word - ONE
            key = book[head + BASE] + slot * book[head + TICK]
            size = put_near(book, head, slot, 0)
            overflow_insert(book, head, overflow_find(book, head, key), key, size)
    book[head + BASE] = base
    book[head + FIRST] = book[head + WORDS]
    for entry in range(
        book[head + OVERFLOW] - 1, -1, -1
    ):  # removal moves the last one, already seen
        key = book[book[head + OVERFLOW_KEY] + entry]
        slot = slot_of(book, head, key)
        if slot >= 0:
            put_near(book, head, slot, book[book[head + OVERFLOW_SIZE] + entry])
            overflow_remove(book, head, overflow_find(book, head, key))


@kernel
def levels_around(book: Book, head: int, key: int) -> int:
    """Levels between the ends of a window around ``key``, those off the tick included."""
    start = base_around(book, head, key)
    stop = start + book[head + TICKS] * book[head + TICK]
    n = 0
    for at in range(book[head + FIRST], book[head + WORDS]):
        word = np.uint64(book[book[head + BITS] + at])
        while word != 0:
            slot = (at << 6) + trailing_zeros(word)
            word &= word - ONE
            n += int(start <= book[head + BASE] + slot * book[head + TICK] < stop)
    for entry in range(book[head + OVERFLOW]):
        n += int(start <= book[book[head + OVERFLOW_KEY] + entry] < stop)
    return n


@kernel
def follow_touch(book: Book, head: int) -> None:
    """Move the window when it is due and the touch has left its middle.

    Due means that the hash has cost as much as a move would: so moves are amortised whatever the
    stream does. Where the book is crossed one of the two touches is stale, and the window goes to
    the one around which this side has more levels.
    """
    ticks = book[head + TICKS]
    levels = book[head + NEAR] + book[head + OVERFLOW]
    if book[head + WORK] < 16 + book[head + WORDS] + levels:
        return
    book[head + WORK] = 0
    touch = best_key(book, head)
    if touch == NONE or levels > book[head + CAPACITY]:
        return
    opposite = -best_key(book, HEADER - head)
    crossed = touch < opposite and opposite != -NONE
    if crossed and levels_around(book, head, opposite) > levels_around(book, head, touch):
        touch = opposite
    slot = (touch - book[head + BASE]) // max(book[head + TICK], 1)
    if slot < ticks >> 3 or slot >= ticks >> 1:
        move_window(book, head, base_around(book, head, touch))


@kernel
def apply_beyond_window(book: Book, head: int, key: int, size: int) -> int:
    """Set a level that has no slot in the window; returns what it was, or ``FULL``."""
    if (
        size != 0 and book[head + NEAR] + book[head + OVERFLOW] == 0
    ):  # an empty side moves for nothing
        book[head + BASE] = base_around(book, head, key)
        book[head + FIRST] = book[head + WORDS]
        slot = slot_of(book, head, key)
        if slot >= 0:
            return put_near(book, head, slot, size)
    was = overflow_apply(book, head, key, size)
    follow_touch(book, head)
    return was


@kernel
def apply_key(book: Book, head: int, key: int, size: int) -> int:
    """Set a level's size, 0 removes it; returns what it was, or ``FULL``."""
    slot = slot_of(book, head, key)
    if slot >= 0:
        return put_near(book, head, slot, size)
    return apply_beyond_window(book, head, key, size)
