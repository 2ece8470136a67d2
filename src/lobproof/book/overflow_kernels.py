"""The hash of levels outside the window or off the tick.

Entries lie side by side (a scan costs what is there, not what could be); an index of open
addressing, never more than half full, finds them. Removal closes the gap in the index by shifting
back, and moves the last entry into the free place, so nothing is left behind.
"""

from __future__ import annotations

from lobproof.book.layout_kernels import (
    CAPACITY,
    HEADER,
    NONE,
    OVERFLOW,
    OVERFLOW_BOUND,
    OVERFLOW_EXACT,
    OVERFLOW_INDEX,
    OVERFLOW_KEY,
    OVERFLOW_SIZE,
    WORK,
    Book,
)
from lobproof.jit import kernel

FULL = -1
"""The hash has no room for another level: nothing was changed."""


@kernel
def home(key: int, mask: int) -> int:
    """Where the search for ``key`` begins; every product stays within int64."""
    low = (key & 0x7FFFFFFF) * 0x9E3779B1
    high = ((key >> 31) & 0x7FFFFFFF) * 0x85EBCA77
    return ((low ^ high) >> 31) & mask


@kernel
def overflow_find(book: Book, head: int, key: int) -> int:
    """Place in the index that holds ``key``, or the free one where it belongs."""
    index = book[head + OVERFLOW_INDEX]
    before_keys = book[head + OVERFLOW_KEY] - 1
    mask = 2 * book[head + CAPACITY] - 1
    place = home(key, mask)
    entry = book[index + place]
    while entry != 0 and book[before_keys + entry] != key:
        place = (place + 1) & mask
        entry = book[index + place]
    return place


@kernel
def overflow_size(book: Book, head: int, key: int) -> int:
    """Size of the level in the hash, 0 where there is none."""
    entry = book[book[head + OVERFLOW_INDEX] + overflow_find(book, head, key)]
    return book[book[head + OVERFLOW_SIZE] + entry - 1] if entry != 0 else 0


@kernel
def overflow_insert(book: Book, head: int, place: int, key: int, size: int) -> None:
    """Add a level at the free ``place`` of the index; the caller has checked that there is room."""
    entry = book[head + OVERFLOW]
    book[book[head + OVERFLOW_KEY] + entry] = key
    book[book[head + OVERFLOW_SIZE] + entry] = size
    book[book[head + OVERFLOW_INDEX] + place] = entry + 1
    book[head + OVERFLOW] = entry + 1
    if key <= book[head + OVERFLOW_BOUND]:
        book[head + OVERFLOW_BOUND] = key
        book[head + OVERFLOW_EXACT] = 1


@kernel
def overflow_remove(book: Book, head: int, place: int) -> None:
    """Remove the level that ``place`` of the index holds."""
    index = book[head + OVERFLOW_INDEX]
    keys = book[head + OVERFLOW_KEY]
    mask = 2 * book[head + CAPACITY] - 1
    entry = book[index + place] - 1
    if book[keys + entry] == book[head + OVERFLOW_BOUND]:
        book[head + OVERFLOW_EXACT] = 0
    gap = place
    at = (place + 1) & mask
    while book[index + at] != 0:
        start = home(book[keys + book[index + at] - 1], mask)
        if ((at - start) & mask) >= ((at - gap) & mask):
            book[index + gap] = book[index + at]
            gap = at
        at = (at + 1) & mask
    book[index + gap] = 0
    last = book[head + OVERFLOW] - 1
    if entry != last:
        key = book[keys + last]
        book[index + overflow_find(book, head, key)] = entry + 1
        book[keys + entry] = key
        book[book[head + OVERFLOW_SIZE] + entry] = book[book[head + OVERFLOW_SIZE] + last]
    book[head + OVERFLOW] = last
    if last == 0:
        book[head + OVERFLOW_BOUND] = NONE


@kernel
def overflow_apply(book: Book, head: int, key: int, size: int) -> int:
    """Set a level's size, 0 removes it; returns what it was, or ``FULL``."""
    book[head + WORK] += 1
    place = overflow_find(book, head, key)
    entry = book[book[head + OVERFLOW_INDEX] + place]
    if entry == 0:
        if size == 0:
            return 0
        if book[head + OVERFLOW] == book[head + CAPACITY]:
            return FULL
        overflow_insert(book, head, place, key, size)
        return 0
    at = book[head + OVERFLOW_SIZE] + entry - 1
    was = book[at]
    if size == 0:
        overflow_remove(book, head, place)
    else:
        book[at] = size
    return int(was)


@kernel
def overflow_best(book: Book, head: int) -> int:
    """Best key in the hash, or ``NONE``; looks for it only where the last known one was removed."""
    count = book[head + OVERFLOW]
    if count != 0 and book[head + OVERFLOW_EXACT] == 0:
        book[head + WORK] += count
        keys = book[head + OVERFLOW_KEY]
        best = NONE
        for at in range(keys, keys + count):
            best = min(best, book[at])
        book[head + OVERFLOW_BOUND] = best
        book[head + OVERFLOW_EXACT] = 1
    return int(book[head + OVERFLOW_BOUND])


@kernel
def overflow_reindex(book: Book) -> None:
    """Build the index over entries that were copied into a larger hash."""
    for head in (0, HEADER):
        for entry in range(book[head + OVERFLOW]):
            key = book[book[head + OVERFLOW_KEY] + entry]
            book[book[head + OVERFLOW_INDEX] + overflow_find(book, head, key)] = entry + 1
