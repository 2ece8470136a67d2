"""Tokens of the strict shape: literals, keys, integers, times, quoted decimals.

A failed step gives position -1, and every step passes -1 on, so that a shape reads as one chain.
One blank after ``:`` or ``,`` is let through.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel

Bytes = NDArray[np.uint8]

BLANK, QUOTE, COMMA, DOT, ZERO, NINE, AT, OPEN, CLOSE = 32, 34, 44, 46, 48, 57, 64, 91, 93
BACKSLASH, BRACE, BRACE_CLOSE, RETURN, BANG = 92, 123, 125, 13, 33
UPPER_A, UPPER_Z, TILDE = 65, 90, 126
MAX_NUMBER_BYTES = 48
_LAST_TENTH = 9 * 10**17
_MS_BELOW = 9_000_000_000_000
_US_FROM, _US_BELOW = 100_000_000_000_000, 9_000_000_000_000_000


def text(value: str) -> Bytes:
    """``value`` as an array of bytes."""
    return np.frombuffer(value.encode(), np.uint8)


@kernel
def match(buf: Bytes, pos: int, stop: int, literal: Bytes) -> int:
    """Position behind ``literal``, or -1."""
    size = literal.size
    if pos < 0 or pos + size > stop:
        return -1
    for i in range(size):
        if buf[pos + i] != literal[i]:
            return -1
    return pos + size


@kernel
def byte(buf: Bytes, pos: int, stop: int, wanted: int) -> int:
    """Position behind the byte ``wanted``, or -1."""
    if pos < 0 or pos >= stop or buf[pos] != wanted:
        return -1
    return pos + 1


@kernel
def key(buf: Bytes, pos: int, stop: int, literal: Bytes) -> int:
    """Behind ``"key":`` and a blank, if there is one."""
    pos = match(buf, pos, stop, literal)
    if 0 <= pos < stop and buf[pos] == BLANK:
        return pos + 1
    return pos


@kernel
def comma(buf: Bytes, pos: int, stop: int) -> int:
    """Behind a comma and a blank, if there is one."""
    pos = byte(buf, pos, stop, COMMA)
    if 0 <= pos < stop and buf[pos] == BLANK:
        return pos + 1
    return pos


@kernel
def integer(buf: Bytes, pos: int, stop: int) -> tuple[int, int]:
    """A non-negative integer below 9 * 10^18: its value and the position behind it."""
    value = 0
    if pos < 0:
        return value, -1
    start = pos
    while pos < stop and ZERO <= buf[pos] <= NINE:
        if value >= _LAST_TENTH:
            return value, -1
        value = value * 10 + (int(buf[pos]) - ZERO)
        pos += 1
    if pos == start or (buf[start] == ZERO and pos > start + 1):
        return value, -1
    return value, pos


@kernel
def field(buf: Bytes, pos: int, stop: int, literal: Bytes) -> tuple[int, int]:
    """``"key":<integer>,``: the integer and the position behind the comma."""
    value, pos = integer(buf, key(buf, pos, stop, literal), stop)
    return value, comma(buf, pos, stop)


@kernel
def moment(buf: Bytes, pos: int, stop: int, literal: Bytes) -> tuple[int, int]:
    """A time in ms or µs since the epoch as ns; which one, its size tells."""
    value, pos = integer(buf, key(buf, pos, stop, literal), stop)
    if value < _MS_BELOW:
        return value * 1_000_000, pos
    if _US_FROM <= value < _US_BELOW:
        return value * 1_000, pos
    return value, -1


@kernel
def number(buf: Bytes, pos: int, stop: int) -> tuple[int, int, bool]:
    """A quoted plain decimal: start of its digits, position behind the quote, is it non-zero."""
    pos = byte(buf, pos, stop, QUOTE)
    if pos < 0:
        return 0, -1, False
    start = pos
    dot = -1
    nonzero = False
    while pos < stop and buf[pos] != QUOTE:
        c = buf[pos]
        if c == DOT:
            if dot >= 0 or pos == start:
                return 0, -1, False
            dot = pos
        elif c < ZERO or c > NINE:
            return 0, -1, False
        elif c != ZERO:
            nonzero = True
        pos += 1
    if pos >= stop or pos == start or pos - start > MAX_NUMBER_BYTES or dot == pos - 1:
        return 0, -1, False
    return start, pos + 1, nonzero
