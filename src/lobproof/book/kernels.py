"""The book's operations. ``side`` is 1 (bid) or 2 (ask); prices and sizes are counts on the grid.

Prices are 1 … ``MAX_PRICE``, sizes 0 or more: the callers' decoders see to that. A read may move
the window or note where the best was found: it changes no level, but reads of one book must not
run in two threads at once.
"""

from __future__ import annotations

import numpy as np

from lobproof.book.layout_kernels import (
    BASE,
    BITS,
    CAPACITY,
    FIRST,
    HEADER,
    MAX_PRICE,
    NEAR,
    NONE,
    ONE,
    OVERFLOW,
    OVERFLOW_BOUND,
    OVERFLOW_KEY,
    OVERFLOW_SIZE,
    SIZE,
    TICK,
    TICKS,
    WORDS,
    WORK,
    Book,
    first_slot,
    head_of,
    new_book,
    place_overflow,
    pointer,
    put_near,
    sign_of,
    slot_of,
    step,
    trailing_zeros,
)
from lobproof.book.overflow_kernels import (
    FULL,
    overflow_best,
    overflow_find,
    overflow_reindex,
    overflow_remove,
    overflow_size,
)
from lobproof.book.window_kernels import apply_key, best_key, follow_touch
from lobproof.jit import allocating, kernel, specialized
from lobproof.schema import Int8, Int64

__all__ = [
    "FULL",
    "MAX_PRICE",
    "Book",
    "apply_level",
    "apply_rows",
    "best_price",
    "best_size",
    "clear_book",
    "clear_side_range",
    "crossed",
    "dump_side",
    "ensure_far_capacity",
    "level_size",
    "new_book",
    "side_count",
    "top",
]


def ensure_far_capacity(book: Book, rows: int) -> Book:
    """A book that takes ``rows`` more rows without ever answering ``FULL``.

    The same array where it has that room, otherwise a larger copy.
    """
    capacity = int(book[CAPACITY])
    used = max(int(book[head + NEAR] + book[head + OVERFLOW]) for head in (0, HEADER))
    needed = used + rows
    if needed <= capacity:
        return book
    while capacity < needed:
        capacity *= 2
    heads = book[: 2 * HEADER].reshape(2, HEADER)
    start = int(heads[0, OVERFLOW_KEY])
    grown = np.zeros(start + 8 * capacity, np.int64)
    grown[:start] = book[:start]
    for s in range(2):
        head = grown[s * HEADER : (s + 1) * HEADER]
        place_overflow(head, s, start, capacity)
        used = head[OVERFLOW]
        for column in (OVERFLOW_KEY, OVERFLOW_SIZE):
            old = heads[s, column]
            grown[head[column] : head[column] + used] = book[old : old + used]
    overflow_reindex(grown)
    return grown


@kernel
def apply_level(book: Book, side: int, price: int, size: int) -> int:
    """Set a level's size, 0 removes it.

    Returns the size that it had (0: there was no such level), or ``FULL`` (-1) where the hash has
    no room for it and nothing was changed: see :func:`ensure_far_capacity`.
    """
    return apply_key(pointer(book), head_of(side), sign_of(side) * price, size)


@specialized
def _key_size(book: Book, head: int, key: int) -> int:
    slot = slot_of(book, head, key)
    if slot >= 0:
        return int(book[book[head + SIZE] + slot])
    return overflow_size(book, head, key)


@specialized
def level_size(book: Book, side: int, price: int) -> int:
    """Size of the level, 0 where there is none."""
    return _key_size(pointer(book), head_of(side), sign_of(side) * price)


@specialized
def best_price(book: Book, side: int) -> int:
    """Best price of the side, 0 where it is empty."""
    key = best_key(pointer(book), head_of(side))
    return 0 if key == NONE else sign_of(side) * key


@kernel
def best_size(book: Book, side: int) -> int:
    """Size at the best price of the side, 0 where it is empty."""
    raw = pointer(book)
    head = head_of(side)
    key = best_key(raw, head)
    return 0 if key == NONE else _key_size(raw, head, key)


@kernel
def apply_rows(
    book: Book,
    side: Int8,
    price: Int64,
    size: Int64,
    best_bid: Int64,
    best_bid_size: Int64,
    best_ask: Int64,
    best_ask_size: Int64,
) -> int:
    """Apply all rows and record the best bid and ask after each; columns of equal length.

    Returns how many rows were applied: fewer than given where the hash had no room for the next.
    """
    raw = pointer(book)
    bid = best_price(book, 1)
    bid_size = best_size(book, 1)
    ask = best_price(book, 2)
    ask_size = best_size(book, 2)
    for row in range(len(side)):
        head = head_of(side[row])
        sign = sign_of(side[row])
        if apply_key(raw, head, sign * price[row], size[row]) < 0:
            return row
        slot = first_slot(raw, head)
        key = raw[head + BASE] + slot * raw[head + TICK]
        if slot < raw[head + TICKS] and key < raw[head + OVERFLOW_BOUND]:
            best = sign * key
            volume = raw[raw[head + SIZE] + slot]
        else:
            best = best_price(book, side[row])
            volume = best_size(book, side[row])
        if side[row] == 1:
            bid = best
            bid_size = volume
        else:
            ask = best
            ask_size = volume
        best_bid[row] = bid
        best_bid_size[row] = bid_size
        best_ask[row] = ask
        best_ask_size[row] = ask_size
    return len(side)


@kernel
def crossed(book: Book) -> bool:
    """Whether both sides have levels and the best bid is at or above the best ask."""
    raw = pointer(book)
    bid = best_key(raw, 0)
    ask = best_key(raw, HEADER)
    return bid != NONE and ask != NONE and ask <= -bid


@kernel
def side_count(book: Book, side: int) -> int:
    """Levels of the side."""
    head = head_of(side)
    return int(book[head + NEAR] + book[head + OVERFLOW])


@specialized
def top(book: Book, side: int, n: int, prices: Int64, sizes: Int64) -> int:
    """Write the best ``n`` levels of the side, best first, and zeros after the last.

    Returns how many levels were written. The columns, of ``n`` or more rows, may be strided views.
    """
    return _top(
        pointer(book),
        head_of(side),
        sign_of(side),
        n,
        pointer(prices),
        step(prices),
        pointer(sizes),
        step(sizes),
    )


@specialized
def _top(
    book: Book,
    head: int,
    sign: int,
    n: int,
    prices: Int64,
    price_step: int,
    sizes: Int64,
    size_step: int,
) -> int:
    base = book[head + BASE]
    tick = book[head + TICK]
    size = book[head + SIZE]
    bits = book[head + BITS]
    words = book[head + WORDS]
    at = first_slot(book, head) >> 6
    found = 0
    key = NONE
    while at < words and found < n:
        word = np.uint64(book[bits + at])
        while word != 0 and found < n:
            slot = (at << 6) + trailing_zeros(word)
            word &= word - ONE
            key = base + slot * tick
            prices[found * price_step] = sign * key
            sizes[found * size_step] = book[size + slot]
            found += 1
        at += 1
    if book[head + OVERFLOW] != 0 and (found < n or book[head + OVERFLOW_BOUND] < key):
        found = _merge_overflow(book, head, sign, n, found, prices, price_step, sizes, size_step)
    for k in range(found, n):
        prices[k * price_step] = 0
        sizes[k * size_step] = 0
    return found


@kernel
def _merge_overflow(
    book: Book,
    head: int,
    sign: int,
    n: int,
    found: int,
    prices: Int64,
    price_step: int,
    sizes: Int64,
    size_step: int,
) -> int:
    """Insert those levels of the hash that belong among the ``n`` best; returns the new number."""
    if found == n and (n == 0 or overflow_best(book, head) > sign * prices[(n - 1) * price_step]):
        return found
    book[head + WORK] += book[head + OVERFLOW]
    for entry in range(book[head + OVERFLOW]):
        key = book[book[head + OVERFLOW_KEY] + entry]
        if found == n:
            if key > sign * prices[(n - 1) * price_step]:
                continue
            found -= 1
        at = found
        while at > 0 and sign * prices[(at - 1) * price_step] > key:
            prices[at * price_step] = prices[(at - 1) * price_step]
            sizes[at * size_step] = sizes[(at - 1) * size_step]
            at -= 1
        prices[at * price_step] = sign * key
        sizes[at * size_step] = book[book[head + OVERFLOW_SIZE] + entry]
        found += 1
    follow_touch(book, head)
    return found


@allocating
def dump_side(book: Book, side: int, prices: Int64, sizes: Int64) -> int:
    """Write all levels of the side, best first, into columns of at least ``side_count`` rows.

    Returns their number.
    """
    head = head_of(side)
    sign = sign_of(side)
    far = book[head + OVERFLOW]
    keys = np.empty(far, np.int64)
    for entry in range(far):
        keys[entry] = book[book[head + OVERFLOW_KEY] + entry]
    order = np.argsort(keys)  # those of the window are in order as they stand
    n = 0
    taken = 0
    for at in range(book[head + FIRST], book[head + WORDS]):
        word = np.uint64(book[book[head + BITS] + at])
        while word != 0:
            slot = (at << 6) + trailing_zeros(word)
            word &= word - ONE
            key = book[head + BASE] + slot * book[head + TICK]
            while taken < far and keys[order[taken]] < key:
                prices[n] = sign * keys[order[taken]]
                sizes[n] = book[book[head + OVERFLOW_SIZE] + order[taken]]
                n += 1
                taken += 1
            prices[n] = sign * key
            sizes[n] = book[book[head + SIZE] + slot]
            n += 1
    while taken < far:
        prices[n] = sign * keys[order[taken]]
        sizes[n] = book[book[head + OVERFLOW_SIZE] + order[taken]]
        n += 1
        taken += 1
    return n


@kernel
def clear_book(book: Book) -> None:
    """Remove every level."""
    for side in (1, 2):
        clear_side_range(book, side, sign_of(side) * MAX_PRICE)


@kernel
def clear_side_range(book: Book, side: int, worst_price: int) -> None:
    """Remove all levels from the touch to ``worst_price`` inclusive; leave what lies beyond."""
    raw = pointer(book)
    head = head_of(side)
    worst = sign_of(side) * worst_price
    slot = first_slot(raw, head)
    while slot < raw[head + TICKS] and raw[head + BASE] + slot * raw[head + TICK] <= worst:
        put_near(raw, head, slot, 0)
        slot = first_slot(raw, head)
    if raw[head + OVERFLOW_BOUND] <= worst:
        for entry in range(
            raw[head + OVERFLOW] - 1, -1, -1
        ):  # removal moves the last, already seen
            key = raw[raw[head + OVERFLOW_KEY] + entry]
            if key <= worst:
                overflow_remove(raw, head, overflow_find(raw, head, key))
