"""What is known to be complete of each side: see :mod:`lobproof.book.reference`."""

from __future__ import annotations

from lobproof.book.layout_kernels import TRUST, TRUSTED_TO, Book, head_of, sign_of
from lobproof.jit import kernel
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED


@kernel
def trust(book: Book, side: int) -> int:
    """UNTRUSTED, RANGE or EVERYTHING."""
    return int(book[head_of(side) + TRUST])


@kernel
def trusted_to(book: Book, side: int) -> int:
    """Price at the far end of the trusted range, itself in it; 0 unless RANGE."""
    return int(book[head_of(side) + TRUSTED_TO])


@kernel
def set_trust(book: Book, side: int, kind: int, price: int) -> None:
    """Set what the side is known to hold completely: UNTRUSTED, RANGE to ``price``, EVERYTHING."""
    head = head_of(side)
    book[head + TRUST] = kind
    book[head + TRUSTED_TO] = price if kind == RANGE else 0


@kernel
def extend_trust(book: Book, side: int, price: int, complete: bool) -> None:
    """Note that a snapshot listed the side from the touch to ``price``, or all of it."""
    kind = trust(book, side)
    sign = sign_of(side)
    if complete or kind == EVERYTHING:
        set_trust(book, side, EVERYTHING, 0)
    elif kind == UNTRUSTED or sign * price > sign * trusted_to(book, side):
        set_trust(book, side, RANGE, price)
