"""One flat array holds a book; here is where everything lies in it, and how the window is indexed.

Both sides share one code: a price becomes a *key*, the price itself for asks and its negative for
bids, so that on either side the smallest key is the best. A level whose key lies on the tick and
inside the side's window has a slot in a dense array; any other lives in a hash
(``overflow_kernels``).

Why one array, and why :func:`pointer`: numba passes an array as seven values, and looks at each
index for being negative. In the loop over rows that costs as much as the book itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from lobproof.jit import kernel
from lobproof.schema import Int64

NONE = 2**62
"""Key of a level that does not exist: worse than any."""
MAX_PRICE = NONE - 1
"""Prices are 1 … ``MAX_PRICE``, so that no difference of two keys overflows."""

Book = Int64
"""Header of the bids, header of the asks, then what their offsets point to. Made by
:func:`new_book`; to be read and written through the kernels only."""

HEADER = 32
"""Length of a side's header: the bids' begins at 0, the asks' at ``HEADER``. In it are:"""
BASE = 0  # key of slot 0
FIRST = 1  # no word of the bitmap before this one holds a level
NEAR = 2  # levels in the window
OVERFLOW = 3  # levels in the hash
OVERFLOW_BOUND = 4  # no key in the hash is better than this
OVERFLOW_EXACT = 5  # whether OVERFLOW_BOUND is itself in the hash
WORK = 6  # what the hash has cost since the window was last looked at
TICK = 7
INVERSE = 8  # of the tick's odd part, modulo 2**64, as the signed integer of the same bits
SHIFT = 9  # the tick's factors of two
TICKS = 10  # length of the window, W
WORDS = 11  # words of the bitmap, W / 64, without the sentinel
CAPACITY = 12  # levels that the hash can hold, C
SIZE = 13  # offset of the sizes by slot, W
BITS = 14  # offset of the bitmap, W / 64 words and a sentinel of ones that ends every walk
OVERFLOW_KEY = 15  # offset of the keys in the hash, C: the first OVERFLOW are in use, in no order
OVERFLOW_SIZE = 16  # offset of their sizes, C
OVERFLOW_INDEX = 17  # offset of the index, 2 C: 1 + position of the key, 0 where free

ONE = np.uint64(1)
"""Words of a bitmap are only ever mixed with unsigned numbers, compiled or not."""
_ALL64 = 2**64 - 1


def new_book(window_ticks: int, tick: int, overflow_capacity: int = 4096) -> Book:
    """An empty book.

    Parameters
    ----------
    window_ticks
        Length of each side's dense window: a power of two, at least 64.
    tick
        Distance of the dense window's levels, in counts of the price grid.
    overflow_capacity
        Levels that each side's hash can hold: a power of two.
    """
    if window_ticks < 64 or window_ticks & (window_ticks - 1):
        raise ValueError(f"a window of {window_ticks} ticks is no power of two of at least 64")
    if overflow_capacity < 1 or overflow_capacity & (overflow_capacity - 1):
        raise ValueError(f"a capacity of {overflow_capacity} levels is no power of two")
    if tick < 1 or tick * window_ticks > NONE:
        raise ValueError(f"a tick of {tick} counts does not fit a window of {window_ticks} ticks")
    shift = (tick & -tick).bit_length() - 1
    inverse = pow(tick >> shift, -1, 2**64)
    words = window_ticks // 64
    side = window_ticks + words + 1
    book = np.zeros(2 * (HEADER + side + 4 * overflow_capacity), np.int64)
    for s in range(2):
        head = book[s * HEADER : (s + 1) * HEADER]
        head[BASE] = head[OVERFLOW_BOUND] = NONE
        head[FIRST] = head[WORDS] = words
        head[TICK] = tick
        head[INVERSE] = inverse - 2**64 if inverse >= 2**63 else inverse
        head[SHIFT] = shift
        head[TICKS] = window_ticks
        head[SIZE] = 2 * HEADER + s * side
        head[BITS] = head[SIZE] + window_ticks
        book[head[BITS] + words] = -1
        place_overflow(head, s, 2 * (HEADER + side), overflow_capacity)
    return book


def place_overflow(head: Int64, s: int, start: int, capacity: int) -> None:
    """Write into a side's header where its hash lies; those of both sides begin at ``start``."""
    head[CAPACITY] = capacity
    head[OVERFLOW_KEY] = start + s * 4 * capacity
    head[OVERFLOW_SIZE] = head[OVERFLOW_KEY] + capacity
    head[OVERFLOW_INDEX] = head[OVERFLOW_SIZE] + capacity


def pointer(column: Int64) -> Int64:
    """``column``, compiled: the address of its first item. Item k is at ``k * step(column)``.

    For arguments of a kernel only: they outlive it, while an array that the kernel itself makes may
    be freed once only its address is in use.
    """
    return column


def step(column: Int64) -> int:
    """Distance of the items behind ``pointer(column)``, in items."""
    return 1


def trailing_zeros(word: np.uint64) -> int:
    """Zeros below the lowest one of ``word``, which is not 0."""
    return (int(word) & -int(word)).bit_length() - 1


def exact_quotient(offset: int, inverse: int, shift: int, limit: int) -> int:
    """``offset / tick`` where that is whole and within 0 … ``limit`` - 1, otherwise -1.

    A product with the inverse, rotated by the tick's factors of two, is the quotient where the
    division is exact and more than ``2**64 / tick`` where it is not, so that one comparison
    answers both questions; an offset below 0 is as large.
    """
    product = (int(offset) * int(inverse)) & _ALL64
    turned = (product >> int(shift)) | (product << (64 - int(shift)) & _ALL64)
    return turned if turned < limit else -1


def _data(context: Any, column: Any) -> tuple[Any, Callable[..., Any]]:
    """Typing and code of an array's address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(column.dtype)(column), code


def _cttz(context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Typing and code of LLVM's count of trailing zeros."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), code


_data_intrinsic = intrinsic(_data)
_cttz_intrinsic = intrinsic(_cttz)


def _compiled_pointer(column: Any) -> Callable[..., Any]:
    return lambda column: _data_intrinsic(column)


def _compiled_step(column: Any) -> Callable[..., Any]:
    return lambda column: column.strides[0] >> 3


def _compiled_trailing_zeros(word: Any) -> Callable[..., Any]:
    return lambda word: _cttz_intrinsic(word)


def _compiled_exact_quotient(
    offset: Any, inverse: Any, shift: Any, limit: Any
) -> Callable[..., Any]:
    def quotient(offset: Any, inverse: Any, shift: Any, limit: Any) -> Any:
        product = np.uint64(offset) * np.uint64(inverse)
        low = np.uint64(shift)
        high = np.uint64(64 - shift) & np.uint64(63)  # a shift by 64 would be undefined
        turned = (product >> low) | (product << high)
        return np.int64(turned) if turned < np.uint64(limit) else np.int64(-1)

    return quotient


# numba compiles a call of the first as the second; strict would compare annotations, too
overload(pointer, strict=False)(_compiled_pointer)
overload(step, strict=False)(_compiled_step)
overload(trailing_zeros, strict=False)(_compiled_trailing_zeros)
overload(exact_quotient, strict=False)(_compiled_exact_quotient)


@kernel
def head_of(side: int) -> int:
    """Offset of the side's header; ``int`` because a column of sides is int8."""
    return HEADER * (int(side) - 1)


@kernel
def sign_of(side: int) -> int:
    """What turns a price into a key and back: -1 for bids, 1 for asks."""
    return 2 * int(side) - 3


@kernel
def slot_of(book: Book, head: int, key: int) -> int:
    """Slot of ``key`` in the window of the side at ``head``, or -1 outside or off the tick."""
    offset = key - book[head + BASE]
    return exact_quotient(offset, book[head + INVERSE], book[head + SHIFT], book[head + TICKS])


@kernel
def put_near(book: Book, head: int, slot: int, size: int) -> int:
    """Set the size at ``slot``; returns what it was."""
    at = book[head + SIZE] + slot
    was = book[at]
    book[at] = size
    word = slot >> 6
    at = book[head + BITS] + word
    bit = np.uint64(slot & 63)
    book[at] = np.int64((np.uint64(book[at]) & ~(ONE << bit)) | (np.uint64(size != 0) << bit))
    book[head + NEAR] += int(size != 0) - int(was != 0)
    first = book[head + FIRST]
    if size != 0 and word < first:
        first = word
    book[head + FIRST] = first
    return int(was)


@kernel
def first_slot(book: Book, head: int) -> int:
    """The best occupied slot, or the window's length."""
    bits = book[head + BITS]
    word = book[head + FIRST]
    while book[bits + word] == 0:
        word += 1
    book[head + FIRST] = word
    return int((word << 6) + trailing_zeros(np.uint64(book[bits + word])))
