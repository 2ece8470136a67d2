"""Rows of a LOBSTER file: lines of decimal numbers to int64, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.fixedpoint.kernels import OK, parse_decimal
from lobproof.jit import kernel
from lobproof.schema import Int64

# statuses of a row, beside those of fixedpoint
TOO_FEW = 20
TOO_MANY = 21

_COMMA, _END, _RETURN, _SPACE = 44, 10, 13, 32


@kernel
def read_rows(
    text: NDArray[np.uint8], first_exponent: int, spare: int, out: Int64
) -> tuple[int, int, int, int, int]:
    """Fill ``out`` (rows, columns) with the lines of ``text``, each of which has an end.

    The first column is counted in ``10**-first_exponent``, the others are whole numbers. Up to
    ``spare`` further columns are passed over. Gives the number of rows, and of the first one that
    cannot be read its column, status, and where its value lies in ``text``.
    """
    columns = out.shape[1]
    at, row = 0, 0
    while at < len(text):
        for column in range(columns + spare):
            start = at
            while text[at] != _COMMA and text[at] != _END:
                at += 1
            stop = at
            while start < stop and text[start] == _SPACE:
                start += 1
            while start < stop and (text[stop - 1] == _SPACE or text[stop - 1] == _RETURN):
                stop -= 1
            if column < columns:
                exponent = first_exponent if column == 0 else 0
                value, status = parse_decimal(text, start, stop, exponent)
                if status != OK:
                    return row, column, status, start, stop
                out[row, column] = value
            if text[at] == _END:
                if column + 1 < columns:
                    return row, column + 1, TOO_FEW, start, stop
                break
            at += 1
        if text[at] != _END:
            return row, columns + spare, TOO_MANY, at, at
        at += 1
        row += 1
    return row, 0, OK, 0, 0
