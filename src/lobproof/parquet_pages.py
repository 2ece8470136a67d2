"""The headers of a Parquet file's pages: how large each becomes, whatever the footer says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pyarrow.parquet as pq

_HEADER = 1 << 12
_LONGEST_HEADER = 1 << 20
_STRUCT = 12
_NUMBERS = (4, 5, 6)
_TYPE, _INFLATED, _STORED = 1, 2, 3
"""Fields of a page's header: its type, and its bytes with and without compression."""
_DATA_PAGES = {0: 5, 3: 8}
"""Type of a data page, in either version → the field that tells of it."""
_ENCODINGS = {5: 2, 8: 4}
"""The encoding's field in there."""
DICTIONARY = -1
"""In place of an encoding."""
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
    while 0 <= start < stop:
        for room in (_HEADER, _LONGEST_HEADER):
            file.seek(start)
            data = file.read(min(room, stop - start))
            try:
                length, stored, page = _header(data)
                break
            except IndexError:
                continue
        else:
            return  # whoever reads it comes no further either
        yield page
        start += length + stored


def _header(data: bytes) -> tuple[int, int, Page]:
    """Length of a page's header (Thrift's compact protocol), bytes behind it, and the page.

    IndexError where it does not end within ``data``.
    """
    numbers = {_TYPE: 0, _INFLATED: 0, _STORED: 0}
    told = dict.fromkeys(_ENCODINGS, (0, 0))
    at = field = 0
    while data[at]:
        field, kind, at = _field(data, at, field)
        if field in numbers and kind in _NUMBERS:
            numbers[field], at = _count(data, at)
        elif field in told and kind == _STRUCT:
            told[field], at = _data_page(data, at, _ENCODINGS[field])
        else:
            at = _skip(data, at, kind, 0)
    # a header may tell of both versions: its type says which holds
    values, encoding = told.get(_DATA_PAGES.get(numbers[_TYPE], 0), (0, DICTIONARY))
    return at + 1, numbers[_STORED], Page(numbers[_INFLATED], values, encoding)


def _data_page(data: bytes, at: int, encoded: int) -> tuple[tuple[int, int], int]:
    """Values and encoding (field ``encoded``) of a data page, and where its struct ends."""
    values = encoding = inner = 0
    while data[at]:
        inner, kind, at = _field(data, at, inner)
        if inner == 1 and kind in _NUMBERS:
            values, at = _count(data, at)
        elif inner == encoded and kind in _NUMBERS:
            encoding, at = _count(data, at)
        else:
            at = _skip(data, at, kind, 1)
    return (values, encoding), at + 1


def _count(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return max((number >> 1) ^ -(number & 1), 0), at


def _field(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    delta, kind = data[at] >> 4, data[at] & 15
    if delta:
        return before + delta, kind, at + 1
    number, at = _varint(data, at + 1)
    return (number >> 1) ^ -(number & 1), kind, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
        if shift > 70:
            raise IndexError


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of a kind ends."""
    if depth > 8:
        raise IndexError
    if kind in (1, 2):
        return at
    if kind == 3:
        return at + 1
    if kind in _NUMBERS:
        return _varint(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return at + length
    if kind == _STRUCT:
        field = 0
        while data[at]:
            field, kind, at = _field(data, at, field)
            at = _skip(data, at, kind, depth + 1)
        return at + 1
    raise IndexError  # a page's header has no lists and no maps
