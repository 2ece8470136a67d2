"""The decimal grid: exact conversion between text, int64 counts and ``decimal128(38, 18)``.

A count stands for ``count * 10**-exponent``. Nothing here touches a float: the one way in for a
vendor's floats is `float_kernels`. Which grid a symbol has is a question for `instruments`.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.errors import GridError
from lobproof.fixedpoint.kernels import (
    MALFORMED,
    MAX_COUNT,
    OFF_GRID,
    OK,
    OVERFLOW,
    narrow,
    parse_decimal,
    significant_decimals,
    widen,
)
from lobproof.schema.codes import PRICE_SCALE

__all__ = [
    "MALFORMED",
    "MAX_COUNT",
    "MAX_EXPONENT",
    "OFF_GRID",
    "OK",
    "OVERFLOW",
    "check_exponent",
    "count_to_text",
    "decimal_to_count",
    "decimals_in",
    "from_decimal128",
    "grid_error",
    "parse_decimal",
    "significant_decimals",
    "to_decimal128",
    "words_of",
]

MAX_EXPONENT = PRICE_SCALE
"""The finest grid: 10**-18, the scale of the stored decimals."""

_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_SHOWN = 60

_REASONS = {
    MALFORMED: (
        "is not a decimal number",
        "the text must be plain digits with at most one point and a sign; look at the input there",
    ),
    OFF_GRID: (
        "is finer than the grid of {step}",
        "give the instrument a larger exponent, so that its grid holds every digit of the input",
    ),
    OVERFLOW: (
        "is too large for int64 counts of {step}",
        "give the instrument a smaller exponent, if the digits after the point allow it",
    ),
}


def check_exponent(exponent: int) -> int:
    """``exponent`` if it is 0 … 18, else :class:`GridError`."""
    if not 0 <= exponent <= MAX_EXPONENT:
        raise GridError(
            f"a grid exponent of {exponent} is outside 0 … {MAX_EXPONENT}",
            hint=f"stored decimals have {MAX_EXPONENT} digits after the point; use 0 … "
            f"{MAX_EXPONENT}",
        )
    return exponent


def grid_error(status: int, text: str, exponent: int, row: int | None = None) -> GridError:
    """The error for a failed ``status``, naming the row (when given) and the value as text."""
    reason, hint = _REASONS[status]
    shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
    where = "" if row is None else f"row {row}: "
    return GridError(f"{where}{shown} {reason.format(step=f'10^-{exponent}')}", hint=hint)


def decimal_to_count(text: str, exponent: int) -> int:
    """Count of ``10**-exponent`` of any JSON number's text, ``1e-8`` included.

    The slow way beside :func:`parse_decimal`, with the same value for every text both accept.

    Raises
    ------
    GridError
        When ``text`` is no number, is finer than the grid, or beyond ``2**63 - 1`` counts.
    """
    negative, digits, scale = _split(text)
    shift = scale + check_exponent(exponent)
    if not digits:
        return 0
    if shift < 0:
        raise grid_error(OFF_GRID, text, exponent)
    if len(digits) + shift > 19:
        raise grid_error(OVERFLOW, text, exponent)
    count = int(digits + "0" * shift)
    if count > MAX_COUNT:
        raise grid_error(OVERFLOW, text, exponent)
    return -count if negative else count


def decimals_in(text: str) -> int:
    """Digits after the point that any JSON number's text needs; ``1.2e-8`` needs 9.

    Raises
    ------
    GridError
        When ``text`` is no number.
    """
    _, digits, scale = _split(text)
    return max(0, -scale) if digits else 0


def count_to_text(count: int, exponent: int) -> str:
    """``count * 10**-exponent``, exact, without zeros that end a fraction."""
    digits = str(abs(count)).rjust(exponent + 1, "0")
    sign = "-" if count < 0 else ""
    whole = len(digits) - exponent
    return f"{sign}{digits[:whole]}.{digits[whole:].rstrip('0')}".removesuffix(".")


def to_decimal128(
    values: NDArray[np.int64],
    exponent: int,
    scale: int = PRICE_SCALE,
    *,
    out: NDArray[np.uint64] | None = None,
) -> pa.Decimal128Array:
    """Counts of ``10**-exponent`` as ``decimal128(38, scale)``, without a copy of the result.

    Parameters
    ----------
    values
        int64 (n,); any value fits.
    exponent
        Of the counts, 0 … ``scale``.
    scale
        Of the result, at most 18.
    out
        uint64, C-contiguous, (at least n, 2): memory to fill and to hand to Arrow. The array that
        is returned lives in it, so it must not be written to again while that is in use.
    """
    power = _power(exponent, scale)
    if out is None:
        out = np.empty((len(values), 2), np.uint64)
    elif (
        out.dtype != np.uint64
        or out.shape[1:] != (2,)
        or len(out) < len(values)
        or not out.flags.c_contiguous
    ):
        raise ValueError(f"out must be C-contiguous uint64 of at least ({len(values)}, 2)")
    out = out[: len(values)]
    widen(np.ascontiguousarray(values, np.int64).view(np.uint64), power, out)
    kind = pa.decimal128(38, scale)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(out)])


def from_decimal128(
    array: pa.Array | pa.ChunkedArray, exponent: int, scale: int = PRICE_SCALE
) -> NDArray[np.int64]:
    """Exact counts of ``10**-exponent`` of a ``decimal128`` column of that ``scale``.

    Slices and chunks are read where they lie.

    Raises
    ------
    GridError
        For a column of another type, and for the first row that is null, off the grid, or beyond
        int64.
    """
    power = _power(exponent, scale)
    if not pa.types.is_decimal128(array.type) or array.type.scale != scale:
        raise GridError(
            f"a column of type {array.type} where decimal128 of scale {scale} belongs",
            hint="prices and sizes are stored as exact decimals; this column is something else",
        )
    out = np.empty(len(array), np.int64)
    done = 0
    for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
        if chunk.null_count:
            row = done + int(np.argmax(chunk.is_null().to_numpy(zero_copy_only=False)))
            raise GridError(
                f"row {row}: null where a decimal belongs",
                hint="prices and sizes are never null in a store; look at what wrote this column",
            )
        if not len(chunk):
            continue
        bad = narrow(words_of(chunk), power, out[done : done + len(chunk)].view(np.uint64))
        if bad >= 0:
            value = chunk[bad].as_py()
            finer = value.as_tuple().digits[-power:] if power else ()
            status = OFF_GRID if any(finer) else OVERFLOW
            raise grid_error(status, str(value), exponent, done + bad)
        done += len(chunk)
    return out


def words_of(chunk: pa.Decimal128Array) -> NDArray[np.uint64]:
    """uint64 (n, 2): the low and high halves of each of the decimals, read where they lie."""
    end = chunk.offset + len(chunk)
    words = np.frombuffer(chunk.buffers()[1], np.uint64, count=2 * end)
    return words.reshape(-1, 2)[chunk.offset :]


def _power(exponent: int, scale: int) -> int:
    check_exponent(scale)
    if check_exponent(exponent) > scale:
        raise GridError(
            f"counts of 10^-{exponent} do not fit into decimals of scale {scale}",
            hint="the scale must be at least the grid's exponent",
        )
    return scale - exponent


def _split(text: str) -> tuple[bool, str, int]:
    """Sign, significant digits without zeros at either end, and the power of ten they count."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise grid_error(MALFORMED, text, 0)
    sign, whole, fraction, power = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    scale = len(digits) - len(stripped) - len(fraction)
    if power:
        # a power beyond nine digits decides by its sign alone; int() refuses thousands of digits
        size = power.lstrip("+-").lstrip("0")
        shift = int(size or "0") if len(size) <= 9 else 10**9
        scale += -shift if power.startswith("-") else shift
    return sign == "-", stripped, scale
