"""Kernels of the decimal grid: text to counts, counts to 128-bit decimals and back.

Every sum, product and shift either stays within its 64 bits or is masked to them, so that the
compiled code (which wraps) and plain Python (whose integers grow) give the same results. Unsigned
constants are written so that numba types them as ``uint64``: a literal above ``2**63``, or such a
literal shifted down. Mixed with a signed one they would silently become floats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import inlined, kernel

OK = 0
MALFORMED = 1
"""Not ``[+-]digits[.digits]``."""
OFF_GRID = 2
"""A digit other than 0 beyond the grid."""
OVERFLOW = 3
"""The count does not fit into int64."""

MAX_COUNT = 2**63 - 1
_MAX_TENTH = MAX_COUNT // 10
_MAX_LAST_DIGIT = MAX_COUNT % 10
_ALL64 = 0xFFFF_FFFF_FFFF_FFFF

POWERS = np.array([10**k for k in range(19)], np.int64)
_FIVES = np.array([5**k for k in range(19)], np.uint64)
_FIVES_INVERSE = np.array([pow(5, -k, 2**64) for k in range(19)], np.uint64)
_MOST_FIVES = np.array([(2**64 - 1) // 5**k for k in range(19)], np.uint64)


@kernel
def parse_decimal(
    buffer: NDArray[np.uint8], start: int, stop: int, exponent: int
) -> tuple[int, int]:
    """Count of ``10**-exponent`` that the text ``buffer[start:stop]`` means, and a status.

    The text is ``[+-]digits[.digits]``. Zeros beyond the grid are dropped. The status is ``OK``,
    ``MALFORMED``, ``OFF_GRID`` or ``OVERFLOW`` (a magnitude above ``2**63 - 1``); the first
    of these that applies, and the value is 0 unless it is ``OK``. ``exponent`` is 0 … 18.
    """
    at = start
    negative = False
    if at < stop and (buffer[at] == 45 or buffer[at] == 43):
        negative = buffer[at] == 45
        at += 1
    first = at
    value = 0
    overflow = False
    off_grid = False
    while at < stop:
        digit = int(buffer[at]) - 48
        if digit < 0 or digit > 9:
            break
        if value >= _MAX_TENTH and (value > _MAX_TENTH or digit > _MAX_LAST_DIGIT):
            overflow = True
            value = 0
        value = value * 10 + digit
        at += 1
    if at == first:
        return 0, MALFORMED
    missing = exponent
    if at < stop:
        if buffer[at] != 46 or at + 1 == stop:
            return 0, MALFORMED
        at += 1
        while at < stop:
            digit = int(buffer[at]) - 48
            if digit < 0 or digit > 9:
                return 0, MALFORMED
            if missing > 0:
                if value >= _MAX_TENTH and (value > _MAX_TENTH or digit > _MAX_LAST_DIGIT):
                    overflow = True
                    value = 0
                value = value * 10 + digit
                missing -= 1
            elif digit != 0:
                off_grid = True
            at += 1
    if off_grid:
        return 0, OFF_GRID
    scale = int(POWERS[missing])
    if overflow or value > MAX_COUNT // scale:
        return 0, OVERFLOW
    value *= scale
    if negative:
        value = -value
    return value, OK


@kernel
def significant_decimals(buffer: NDArray[np.uint8], start: int, stop: int) -> int:
    """Digits after the point of ``buffer[start:stop]`` without trailing zeros; -1 if malformed.

    The text is ``[+-]digits[.digits]`` as for :func:`parse_decimal`.
    """
    at = start
    if at < stop and (buffer[at] == 45 or buffer[at] == 43):
        at += 1
    first = at
    while at < stop and buffer[at] >= 48 and buffer[at] <= 57:
        at += 1
    if at == first:
        return -1
    if at == stop:
        return 0
    if buffer[at] != 46 or at + 1 == stop:
        return -1
    point = at
    last = at
    at += 1
    while at < stop:
        if buffer[at] < 48 or buffer[at] > 57:
            return -1
        if buffer[at] != 48:
            last = at
        at += 1
    return last - point


@kernel
def _multiply_high(a: int, b: int) -> int:
    """Upper 64 bits of the 128-bit product of two uint64."""
    low = _ALL64 >> 32
    a_low = a & low
    a_high = a >> 32
    b_low = b & low
    b_high = b >> 32
    # none of these sums can exceed 64 bits: (2**32 - 1)**2 + 2 * (2**32 - 1) == 2**64 - 1
    middle = a_high * b_low + ((a_low * b_low) >> 32)
    other = a_low * b_high + (middle & low)
    return a_high * b_high + (middle >> 32) + (other >> 32)


@kernel
def widen(counts: NDArray[np.uint64], power: int, out: NDArray[np.uint64]) -> None:
    """``counts * 10**power`` as 128-bit two's complement: ``out[i] = (low, high)``.

    ``counts`` are the bits of int64 values; ``power`` is 0 … 18; ``out`` is (n, 2).
    """
    factor = int(_FIVES[power]) << power  # from _FIVES, since POWERS is signed
    for i in range(len(counts)):
        bits = int(counts[i])
        high = _multiply_high(bits, factor)
        if bits >> 63:  # the bits stand for bits - 2**64
            high -= factor
        out[i, 0] = (bits * factor) & _ALL64
        out[i, 1] = high & _ALL64


@inlined
def _shifted(low: int, high: int, power: int) -> tuple[int, int]:
    """128 bits of two's complement divided by ``2**power``, without the rest."""
    # two shifts, since a single one by 64 is undefined
    sign = high >> 63
    return (
        (low >> power) | (((high << 1) << (63 - power)) & _ALL64),
        (high >> power) | (((sign * _ALL64) << 1 << (63 - power)) & _ALL64),
    )


@kernel
def narrow(wide: NDArray[np.uint64], power: int, out: NDArray[np.uint64]) -> int:
    """Exact ``wide / 10**power`` as the bits of int64; first row where that is none, or -1.

    ``wide`` is (n, 2), the (low, high) halves of 128-bit two's complement. Division by ``2**k``
    is a shift, by ``5**k`` a product with its inverse modulo ``2**64``; the result times ``5**k``
    must then give the dividend again, which fails for a remainder as well as for an overflow.
    """
    factor = int(_FIVES[power])
    inverse = int(_FIVES_INVERSE[power])
    remainder = (_ALL64 >> 1) >> (63 - power)
    for i in range(len(wide)):
        low = int(wide[i, 0])
        if low & remainder:
            return i
        low, high = _shifted(low, int(wide[i, 1]), power)
        quotient = (low * inverse) & _ALL64
        check = _multiply_high(quotient, factor)
        if quotient >> 63:
            check -= factor
        if (check & _ALL64) != high:
            return i
        out[i] = quotient
    return -1


@kernel
def on_grid(low: int, high: int, power: int) -> bool:
    """Whether 128 bits that are no negative number are a multiple of ``10**power``.

    A multiple of ``5**k`` within 64 bits is one whose product with the inverse, which is the
    quotient then, is at most that of the largest number.
    """
    if low & ((_ALL64 >> 1) >> (63 - power)):
        return False
    low, high = _shifted(low, high, power)
    quotient = (low * int(_FIVES_INVERSE[power])) & _ALL64
    if high == 0:
        return quotient <= int(_MOST_FIVES[power])
    factor = int(_FIVES[power])
    if _multiply_high(quotient, factor) == high:
        return True
    rest = high % factor  # below 2**42: 16 bits more are within 64
    for shift in (48, 32, 16, 0):
        rest = ((rest << 16) | ((low >> shift) & (_ALL64 >> 48))) % factor
    return rest == 0
