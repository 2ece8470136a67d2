"""The headers of a Parquet file's pages: how large each becomes, whatever the footer says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from lobproof.parquet_kernels import DICTIONARY, new_stack, page_header

_HEADER = 1 << 12
_LONGEST_HEADER = 1 << 20
BOUNDED = frozenset((DICTIONARY, 0, 2, 3, 4, 8))
"""Plain, a dictionary's, run lengths and bits: with others a text takes more than its bytes."""


class Page(NamedTuple):
    """Bytes of a page, inflated, its values and their encoding; a dictionary's are not counted."""

    inflated: int
    values: int
    encoding: int


def pages(file: BinaryIO, column: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """The pages of a row group's column, up to the first header that is none."""
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < start:
        start = column.dictionary_page_offset
    stop = start + column.total_compressed_size
    stack = new_stack()
    while 0 <= start < stop:
        for room in (_HEADER, _LONGEST_HEADER):
            data = os.pread(file.fileno(), min(room, stop - start), start)
            length, stored, inflated, values, encoding = page_header(
                np.frombuffer(data, np.uint8), stack
            )
            if length > 0:
                break
        else:
            return  # whoever reads it comes no further either
        yield Page(inflated, values, encoding)
        start += length + stored
