"""A Parquet footer's bytes (Thrift's compact protocol): whether Arrow can be asked about all of it.

The headers of pages, too, of which a footer says nothing.

Arrow makes hundreds of bytes of what a footer lists in three, so what it lists is counted first.
And Arrow's C++ refuses a contradictory footer by an exception, which its Python does not catch
where it asks about a column: the process would end. Every other check is of something that raises
so there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import allocating, kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, Records, integers, record

Bytes = NDArray[np.uint8]

FINE, BROKEN, COLUMN_COUNT, NO_METADATA, TYPE, CODEC, STATISTICS, LEVELS, ENCRYPTED = range(9)
"""What is wrong with a footer."""
SCHEMA, GROUPS, CHUNKS, PAIRS, OTHERS = range(5)
"""What a footer lists: elements of the schema, row groups, their columns, keys with values, and all
else."""
EXCESS = 16
"""Added to what a footer lists too much of, which makes a problem of it."""
LEAF = record(*integers("physical", "width", "repetition", "definition"))
"""A column of the schema: physical type, bytes of a value (-1 any), highest levels."""
BYTE_ARRAY = 6
PAGE = record(*integers("inflated", "values", "encoding"))
"""Bytes of a page, inflated, its values and their encoding; a dictionary's are not counted."""

_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _MAP, _STRUCT = 2, 3, 6, 7, 8, 10, 11, 12
_BODY = 16  # of a struct, as a kind of its own
_DEEP = 64
_LONG = 15  # a list's length stands behind its head
_ROW_GROUPS = 4  # of a file
_COLUMNS = 1  # of a row group
_META, _CRYPTO, _ENCRYPTED = 3, 8, 9  # of a column's chunk
_TYPE, _CODEC, _STATISTICS, _SIZES, _GEOMETRY = 1, 4, 12, 16, 17  # of its metadata
_CODECS = 8
_BOUNDS = (1, 2, 5, 6)  # of its statistics: the least and the greatest value, twice
_UNENCODED, _REPETITIONS, _DEFINITIONS = 1, 2, 3  # of its size statistics
DICTIONARY = -1
"""In place of a page's encoding."""
_INFLATED, _STORED = 2, 3  # of a page's header, behind its type
_ONE, _TWO = 0, 3  # types of data pages, in either version
_PAGE_ONE, _PAGE_TWO = 5, 8  # the header's fields that tell of them
_FILE, _GROUP, _CHUNK, _CHUNK_META, _SIZE, _ANY = range(6)  # structs
_NAMED = np.array(
    [
        (_FILE, 2, _STRUCT, SCHEMA, _ANY),
        (_FILE, _ROW_GROUPS, _STRUCT, GROUPS, _GROUP),
        (_FILE, 5, _STRUCT, PAIRS, _ANY),
        (_FILE, 7, _STRUCT, OTHERS, _ANY),
        (_GROUP, _COLUMNS, _STRUCT, CHUNKS, _CHUNK),
        (_GROUP, 4, _STRUCT, OTHERS, _ANY),
        (_CHUNK_META, 2, _INTEGERS - 1, OTHERS, _ANY),
        (_CHUNK_META, 3, _BINARY, OTHERS, _ANY),
        (_CHUNK_META, 8, _STRUCT, PAIRS, _ANY),
        (_CHUNK_META, 13, _STRUCT, OTHERS, _ANY),
        (_SIZE, _REPETITIONS, _INTEGERS, OTHERS, _ANY),
        (_SIZE, _DEFINITIONS, _INTEGERS, OTHERS, _ANY),
    ],
    np.int64,
)
"""Lists that Arrow keeps: struct and field, the kind of their elements (it reads that kind,
whatever is told), what they count as, and which struct their elements are."""


@kernel
def _varint(buf: Bytes, pos: int) -> tuple[int, int]:
    """An unsigned number and the position behind it; -1 for none. More than 62 bits are cut off."""
    value = 0
    shift = 0
    while pos < buf.size and shift < 70:
        byte = int(buf[pos])
        pos += 1
        if shift < 62:
            value |= ((byte & 127) << shift) & ((1 << 62) - 1)
        shift += 7
        if byte < 128:
            return value, pos
    return 0, -1


@kernel
def _field(buf: Bytes, pos: int, before: int) -> tuple[int, int, int]:
    """Id and kind of a struct's next field, kind 0 at its end; the position behind, -1 for none."""
    if pos < 0 or pos >= buf.size:
        return 0, 0, -1
    head = int(buf[pos])
    pos += 1
    if head == 0:
        return 0, 0, pos
    if head & 15 == 0:
        return 0, 0, -1
    if head >> 4:
        return before + (head >> 4), head & 15, pos
    number, pos = _varint(buf, pos)
    number = (number >> 1) ^ -(number & 1)
    return number, head & 15, pos if abs(number) < 1 << 15 else -1  # Arrow would cut it off


@kernel
def _list(buf: Bytes, pos: int) -> tuple[int, int, int]:
    """Length and kind of a list, and the position of its first element; -1 for none."""
    if pos < 0 or pos >= buf.size:
        return 0, 0, -1
    size = int(buf[pos]) >> 4
    kind = int(buf[pos]) & 15
    pos += 1
    if size == _LONG:
        size, pos = _varint(buf, pos)
    if pos < 0 or size > buf.size - pos:  # no element takes less than a byte
        return 0, 0, -1
    return size, kind, pos


@kernel
def _skip(buf: Bytes, pos: int, kind: int, stack: Int64) -> int:
    """The position behind a field's value of that kind; -1 where it does not end."""
    if kind <= _BOOLEANS:
        return pos  # a field's boolean is in its head
    depth = 0
    stack[0, 0], stack[0, 1] = kind, 1
    while depth >= 0:
        if pos < 0 or pos > buf.size:
            return -1
        of = stack[depth, 0]
        if of == _BODY:
            _, of, pos = _field(buf, pos, 0)
            if pos < 0:
                return -1
            if of == 0:
                depth -= 1
                continue
            if of <= _BOOLEANS:
                continue
        else:
            if stack[depth, 1] == 0:
                depth -= 1
                continue
            stack[depth, 1] -= 1
        if depth == _DEEP - 1:
            return -1
        if of == _STRUCT:
            depth += 1
            stack[depth, 0], stack[depth, 1] = _BODY, 1
        elif of == _LISTS or of == _LISTS - 1:
            size, inner, pos = _list(buf, pos)
            depth += 1
            stack[depth, 0], stack[depth, 1] = inner, size
        else:
            pos = _scalar(buf, pos, of)
    return pos


@kernel
def _scalar(buf: Bytes, pos: int, kind: int) -> int:
    """The position behind a value that holds no others; -1 for none of a known kind."""
    if 0 < kind <= _BYTE:
        return pos + 1
    if kind == _DOUBLE:
        return pos + 8
    if _BYTE < kind <= _INTEGERS:
        return _varint(buf, pos)[1]
    if kind == _BINARY:
        size, pos = _varint(buf, pos)
        return pos + size if pos >= 0 and size <= buf.size - pos else -1
    return -1


@allocating
def footer_excess(buf: Bytes, most: Int64) -> int:
    """What a footer lists more of than ``most`` has at its place, as a problem; FINE for nothing.

    It is what Arrow would make room for, so every list has to be of the kind that Arrow reads.
    """
    counts = np.zeros(len(most), np.int64)
    stack = np.zeros((_DEEP, 4), np.int64)  # kind, elements left, struct, the field before
    stack[0, 0], stack[0, 2] = _BODY, _FILE
    depth = pos = 0
    while depth >= 0:
        kind, struct, field = stack[depth, 0], stack[depth, 2], 0
        if kind == _BODY:
            field, kind, pos = _field(buf, pos, stack[depth, 3])
            if pos < 0:
                return BROKEN
            stack[depth, 3] = field
            if kind == 0:
                depth -= 1
            if kind <= _BOOLEANS:
                continue
        elif stack[depth, 1] == 0:
            depth -= 1
            continue
        else:
            stack[depth, 1] -= 1
        if depth == _DEEP - 1:
            return BROKEN
        if kind == _STRUCT:
            if struct == _CHUNK_META and field == _GEOMETRY:
                return STATISTICS
            depth += 1
            stack[depth, 0], stack[depth, 3] = _BODY, 0
            stack[depth, 2] = struct if field == 0 else _inside(struct, field)
        elif kind == _LISTS or kind == _LISTS - 1:
            size, of, pos = _list(buf, pos)
            counted, inside = OTHERS, _ANY
            for k in range(len(_NAMED)):
                if _NAMED[k, 0] == struct and _NAMED[k, 1] == field and kind == _LISTS - 1:
                    if size > 0 and of != _NAMED[k, 2]:
                        return BROKEN
                    counted, inside = _NAMED[k, 3], _NAMED[k, 4]
            if pos < 0:
                return BROKEN
            counts[counted] += size
            if counts[counted] > most[counted]:
                return EXCESS + counted
            depth += 1
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = of, size, inside
        else:
            pos = _scalar(buf, pos, kind)
            if pos < 0 or pos > buf.size:
                return BROKEN
    return FINE


@kernel
def _inside(struct: int, field: int) -> int:
    """Which struct a struct's field is."""
    if struct == _CHUNK and field == _META:
        return _CHUNK_META
    return _SIZE if struct == _CHUNK_META and field == _SIZES else _ANY


@kernel
def _statistics(buf: Bytes, pos: int, leaf: Record, stack: Int64) -> tuple[int, int]:
    """What is wrong with a column's statistics, and the position behind them."""
    number = 0
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, pos
        if kind == 0:
            return FINE, pos
        bound = kind == _BINARY and number in _BOUNDS and leaf.width >= 0
        if bound and _varint(buf, pos)[0] != leaf.width:
            return STATISTICS, pos
        pos = _skip(buf, pos, kind, stack)


@kernel
def _sizes(buf: Bytes, pos: int, leaf: Record, stack: Int64) -> tuple[int, int]:
    """What is wrong with a column's size statistics, and the position behind them."""
    number = 0
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, pos
        if kind == 0:
            return FINE, pos
        if number == _UNENCODED and leaf.physical != BYTE_ARRAY:
            return LEVELS, pos
        if number in (_REPETITIONS, _DEFINITIONS):
            size = _list(buf, pos)[0]
            highest = leaf.repetition if number == _REPETITIONS else leaf.definition
            if kind < _LISTS - 1 or kind > _LISTS or size not in (0, highest + 1):
                return LEVELS, pos
        pos = _skip(buf, pos, kind, stack)


@kernel
def _metadata(buf: Bytes, pos: int, leaf: Record, stack: Int64) -> tuple[int, int]:
    """What is wrong with a column chunk's metadata, and the position behind it."""
    number = 0
    typed = False
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, pos
        if kind == 0:
            return (FINE if typed else TYPE), pos
        problem = FINE
        if number == _TYPE:
            value, pos = _varint(buf, pos)
            if kind != _INTEGERS - 1 or value != 2 * leaf.physical:
                return TYPE, pos
            typed = True
        elif number == _CODEC:
            value, pos = _varint(buf, pos)
            if kind != _INTEGERS - 1 or value % 2 == 1 or value >= 2 * _CODECS:
                return CODEC, pos
        elif number == _STATISTICS and kind == _STRUCT:
            problem, pos = _statistics(buf, pos, leaf, stack)
        elif number == _SIZES and kind == _STRUCT:
            problem, pos = _sizes(buf, pos, leaf, stack)
        elif number == _GEOMETRY:
            return STATISTICS, pos
        else:
            pos = _skip(buf, pos, kind, stack)
        if problem != FINE:
            return problem, pos


@kernel
def _chunk(buf: Bytes, pos: int, leaf: Record, stack: Int64) -> tuple[int, int]:
    """What is wrong with a column's chunk, and the position behind it."""
    number = 0
    told = False
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, pos
        if kind == 0:
            return (FINE if told else NO_METADATA), pos
        if number in (_CRYPTO, _ENCRYPTED):
            return ENCRYPTED, pos
        if number == _META and kind == _STRUCT:
            told = True
            problem, pos = _metadata(buf, pos, leaf, stack)
            if problem != FINE:
                return problem, pos
        else:
            pos = _skip(buf, pos, kind, stack)


@kernel
def _group(buf: Bytes, pos: int, leaves: Records, stack: Int64) -> tuple[int, int, int]:
    """What is wrong with a row group, the column, and the position behind it."""
    number = 0
    told = False
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, -1, pos
        if kind == 0:
            return (FINE if told else COLUMN_COUNT), -1, pos
        if number == _COLUMNS and kind == _LISTS - 1:
            told = True
            size, of, pos = _list(buf, pos)
            if pos < 0 or size != len(leaves) or of != _STRUCT:
                return COLUMN_COUNT, -1, pos
            for column in range(size):
                problem, pos = _chunk(buf, pos, leaves[column], stack)
                if problem != FINE:
                    return problem, column, pos
        else:
            pos = _skip(buf, pos, kind, stack)


@allocating
def footer_problem(buf: Bytes, leaves: Records) -> tuple[int, int, int]:
    """What is wrong with a footer, in which row group and column (-1: in none of them).

    Parameters
    ----------
    buf
        The footer's bytes, without the eight behind it.
    leaves
        The ``LEAF`` rows of its schema.
    """
    stack = np.zeros((_DEEP, 2), np.int64)
    pos = 0
    number = 0
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return BROKEN, -1, -1
        if kind == 0:
            return FINE, -1, -1
        if number == _ROW_GROUPS and kind == _LISTS - 1:
            size, of, pos = _list(buf, pos)
            if pos < 0 or (size > 0 and of != _STRUCT):
                return BROKEN, -1, -1
            for group in range(size):
                problem, column, pos = _group(buf, pos, leaves, stack)
                if problem != FINE:
                    return problem, group, column
        else:
            pos = _skip(buf, pos, kind, stack)


@allocating
def page_headers(buf: Bytes, pages: Records) -> tuple[int, int]:
    """Pages whose headers ``buf`` holds, into ``pages``; how many, and the position behind them.

    Parameters
    ----------
    buf
        Bytes of a column's chunk, from a header on. The last page may go on behind them.
    pages
        Room for ``PAGE`` rows: it ends when there is no more, or at the first header that does not
        end within ``buf``, or is none.
    """
    stack = np.zeros((_DEEP, 2), np.int64)
    found = pos = 0
    while found < len(pages) and pos < buf.size:
        length, stored, inflated, values, encoding = page_header(buf[pos:], stack)
        if length < 0:
            break
        page = pages[found]
        page.inflated, page.values, page.encoding = inflated, values, encoding
        found += 1
        pos += length + stored
    return found, pos


def new_stack() -> Int64:
    """Room for `page_header`."""
    return np.zeros((_DEEP, 2), np.int64)


@kernel
def page_header(buf: Bytes, stack: Int64) -> tuple[int, int, int, int, int]:
    """Length of a page's header, bytes behind it, the page's bytes inflated, values and encoding.

    The length is -1 where the header does not end within ``buf``, or is none.
    """
    kind_of_page = inflated = stored = pos = number = 0
    one = two = (0, 0)
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0:
            return -1, 0, 0, 0, 0
        if kind == 0:
            break
        if _is_integer(kind) and number in (_TYPE, _INFLATED, _STORED):
            value, pos = _count(buf, pos)
            if number == _TYPE:
                kind_of_page = value
            elif number == _INFLATED:
                inflated = value
            else:
                stored = value
        elif kind == _STRUCT and number == _PAGE_ONE:
            values, encoding, pos = _data_page(buf, pos, 2, stack)
            one = (values, encoding)
        elif kind == _STRUCT and number == _PAGE_TWO:
            values, encoding, pos = _data_page(buf, pos, 4, stack)
            two = (values, encoding)
        else:
            pos = _skip(buf, pos, kind, stack)
    # a header may tell of both versions: its type says which holds
    if kind_of_page == _ONE:
        return pos, stored, inflated, one[0], one[1]
    if kind_of_page == _TWO:
        return pos, stored, inflated, two[0], two[1]
    return pos, stored, inflated, 0, DICTIONARY


@kernel
def _data_page(buf: Bytes, pos: int, encoded: int, stack: Int64) -> tuple[int, int, int]:
    """Values and encoding (field ``encoded``) of a data page, and the position behind them."""
    values = encoding = number = 0
    while True:
        number, kind, pos = _field(buf, pos, number)
        if pos < 0 or kind == 0:
            return values, encoding, pos
        if _is_integer(kind) and number in (1, encoded):
            value, pos = _count(buf, pos)
            if number == 1:
                values = value
            else:
                encoding = value
        else:
            pos = _skip(buf, pos, kind, stack)


@kernel
def _is_integer(kind: int) -> bool:
    return _BYTE < kind <= _INTEGERS


@kernel
def _count(buf: Bytes, pos: int) -> tuple[int, int]:
    """A signed number, at least zero, and the position behind it; -1 for none.

    Of 32 bits, as Arrow has it: no sum over a file's pages leaves 64.
    """
    number, pos = _varint(buf, pos)
    number &= (1 << 32) - 1
    return max((number >> 1) ^ -(number & 1), 0), pos
