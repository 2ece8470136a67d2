"""The headers of a Parquet file's pages: how large each becomes, whatever the footer says."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq

from lobproof.parquet_kernels import DICTIONARY, PAGE, page_headers
from lobproof.schema.records import Records, joined_rows, new_rows

_AT_ONCE = 1 << 17
"""Bytes read at once: a column of a row group of the store has as many, in some thirty pages."""
_LONGEST_HEADER = 1 << 20
_PAGES = 256
BOUNDED = (DICTIONARY, 0, 2, 3, 4, 8)
"""Plain, a dictionary's, run lengths and bits: with others a text takes more than its bytes."""


def pages(file: BinaryIO, column: pq.ColumnChunkMetaData) -> Records:
    """The pages (``PAGE``) of a row group's column, up to the first header that is none."""
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < start:
        start = column.dictionary_page_offset
    stop = start + column.total_compressed_size
    room = new_rows(PAGE, _PAGES)
    found = [room[:0]]
    while 0 <= start < stop:
        for most in (_AT_ONCE, _LONGEST_HEADER):
            data = os.pread(file.fileno(), min(most, stop - start), start)
            count, length = page_headers(np.frombuffer(data, np.uint8), room)
            if count:
                break
        else:
            break  # whoever reads it comes no further either
        found.append(room[:count].copy())
        start += length
    return joined_rows(found)
