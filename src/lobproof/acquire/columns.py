"""Arrow columns of the vendor's tables as NumPy: one way for the checks of files and for the facts.

Names and types must have been checked.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.schema import Int64

BATCH_ROWS = 1 << 16
MISSING = -(2**63)
"""Stands for null in int64 columns."""
_SIDES = {"buy": 1, "sell": 2}


def integers(column: pa.Array) -> Int64:
    """Integers, times, or text, as int64; ``MISSING`` for null, and for text that is no number."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        number = pc.match_substring_regex(column, r"^[0-9]{1,18}$")
        column = pc.if_else(number, column, pa.scalar(None, column.type))
    if not pa.types.is_int64(column.type):
        column = column.cast(pa.int64(), safe=False)
    if column.null_count:
        column = column.fill_null(MISSING)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)


def floats(column: pa.Array) -> NDArray[np.float64]:
    """A float64 column; null is NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def booleans(column: pa.Array) -> NDArray[np.uint8]:
    """A bool column as 0 and 1; null is 0."""
    if column.null_count:
        column = column.fill_null(False)
    return np.asarray(column.to_numpy(zero_copy_only=False)).view(np.uint8)


def sides(column: pa.Array) -> NDArray[np.int8]:
    """Text, or a dictionary of it: 1 ``buy``, 2 ``sell``, 0 neither, null too."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    # the last one is for nulls
    names = column.dictionary.to_pylist()
    codes = np.array([*(_SIDES.get(name, 0) for name in names), 0], np.int8)
    indices = column.indices.cast(pa.int64()).fill_null(-1)
    return np.asarray(codes[indices.to_numpy(zero_copy_only=False)], np.int8)


def group_rows(footer: pq.FileMetaData) -> list[int]:
    """Rows of each row group."""
    return [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
