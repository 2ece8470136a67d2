"""Parquet files of somebody else's: what they would take is looked at before they are read.

A few thousand bytes can hold gigabytes: a dictionary of one long text that all rows name, a row
group of millions of rows, a page that inflates, a footer that lists a million columns. So a footer
has to be of a size that can be, and to list no more than can be, before Arrow makes anything of it;
the sizes that it declares have to fit the rows, and where a page could be larger than declared,
because the codec allows it, the pages' own headers are held against it too. Those of texts are
always looked at: with some encodings a text repeats what the one before it began with, without end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lobproof.errors import InputError
from lobproof.parquet_kernels import (
    BROKEN,
    CHUNKS,
    CODEC,
    COLUMN_COUNT,
    ENCRYPTED,
    EXCESS,
    FINE,
    GROUPS,
    LEAF,
    LEVELS,
    NO_METADATA,
    OTHERS,
    PAIRS,
    SCHEMA,
    STATISTICS,
    TYPE,
    Bytes,
    footer_excess,
    footer_problem,
)
from lobproof.parquet_pages import BOUNDED, pages
from lobproof.schema.records import new_rows

MAX_FOOTER = 32 << 20
"""Bytes of a footer. One of 10,000 row groups of six columns has 7 MB, and takes 50 in memory."""
_LISTED = {
    SCHEMA: (1_024, "columns in the schema"),
    GROUPS: (1 << 16, "row groups"),
    CHUNKS: (1 << 18, "columns in all row groups together"),
    PAIRS: (1 << 16, "keys with values"),
    OTHERS: (1 << 22, "encodings, statistics and the like"),
}
"""What a footer may list. Arrow makes about a thousand bytes of a column of a row group, up to 250
of the others: 340 MB at most. `book` has 43 columns, the largest file known 66,000 in all."""
_MOST = np.array([_LISTED[kind][0] for kind in sorted(_LISTED)], np.int64)
MAX_GROUP = 768 << 20
"""Bytes of a row group, all columns, as declared and as in memory: 16 million rows of six columns,
1.2 million of `book`. The vendor's have 10,000 rows."""
MAX_TEXT = 256
"""Bytes of a text, or of a text column a row."""
_NUMBER = 32
"""Bytes that a number may take a row, encoded: eight, a place in a dictionary, its levels."""
_SLACK = 1 << 16
"""Bytes that any column of a row group may have beside."""
_IN_MEMORY = 8
_INFLATES = {"UNCOMPRESSED": 1, "SNAPPY": 22, "LZ4": 256, "LZ4_RAW": 256}
"""How many times larger a page can become; others know no bound."""
TAIL = 8
"""Bytes behind the footer: its length, and the magic number."""
_MAGIC = b"PAR1"
_PHYSICAL = (
    "BOOLEAN",
    "INT32",
    "INT64",
    "INT96",
    "FLOAT",
    "DOUBLE",
    "BYTE_ARRAY",
    "FIXED_LEN_BYTE_ARRAY",
)
"""By their number in a footer."""
_WIDTHS = (1, 4, 8, 12, 4, 8, -1, None)
"""Bytes of a least or greatest value of such a type; -1 any, None as the schema says."""
_PROBLEMS = {
    BROKEN: "the footer does not hold together",
    COLUMN_COUNT: "not the columns of the schema",
    NO_METADATA: "nothing is told of it",
    TYPE: "another type than in the schema",
    CODEC: "a compression that nobody knows",
    STATISTICS: "statistics of another type",
    LEVELS: "size statistics of another type",
    ENCRYPTED: "encrypted",
}
_AGAIN = (
    "this is not how the vendor writes: download the file again, or write it anew with 100,000 "
    "rows a row group, its texts plain or in a dictionary"
)


def read_footer(path: Path, *, text: int = MAX_TEXT, named: str = "") -> pq.FileMetaData:
    """The footer of a file; its row groups are looked at.

    ``text``: the bytes that a text column may have a row. ``named``: what errors call the file, by
    default by its path.

    Raises
    ------
    InputError
        If it is too large, lists too much, or a row group is not what can be.
    OSError, pa.ArrowException
        If it is no Parquet.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - TAIL, 0))
        tail = file.read(TAIL)
        length = footer_size(tail)
        if length is not None and length <= MAX_FOOTER + TAIL:
            file.seek(max(end - length, 0))
            tail = file.read(length)
        footer = parse_footer(tail, named or str(path))
        for group in range(footer.num_row_groups):
            problem = _problem(footer, group, file, text)
            if problem:
                raise InputError(f"{named or path}: row group {group} {problem}", hint=_AGAIN)
    rows = sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    if rows != footer.num_rows:
        told = f"{footer.num_rows:,} rows, where its row groups have {rows:,}"
        raise InputError(f"{named or path}: {told}", hint=_AGAIN)
    return footer


def footer_size(tail: bytes) -> int | None:
    """Bytes of the footer that ends in ``tail`` (at least eight bytes), those eight included."""
    if len(tail) < TAIL or tail[-4:] != _MAGIC:
        return None
    return int.from_bytes(tail[-8:-4], "little") + TAIL


def parse_footer(data: bytes, name: str) -> pq.FileMetaData:
    """The footer that these bytes are, the eight behind it included.

    Raises
    ------
    InputError
        If it is too large, lists too much, or contradicts itself.
    pa.ArrowException
        If it is none.
    """
    size = footer_size(data)
    if not data:
        raise pa.ArrowInvalid("it is empty")
    if size is None:
        raise pa.ArrowInvalid("it does not end as one: it is cut off, or of another kind")
    if size > MAX_FOOTER + TAIL:
        told = f"a footer of {size - TAIL:,} bytes, more than {MAX_FOOTER:,}"
        raise InputError(f"{name}: {told}", hint=_AGAIN)
    if size != len(data):
        raise pa.ArrowInvalid(f"its footer would have {size:,} bytes, more than the file")
    body = np.frombuffer(data, np.uint8)[:-TAIL]
    problem = footer_excess(body, _MOST)
    if problem != FINE:
        told = _PROBLEMS.get(problem, "")
        if problem >= EXCESS:
            most, what = _LISTED[problem - EXCESS]
            told = f"a footer that lists more than {most:,} {what}"
        raise InputError(f"{name}: {told}", hint=_AGAIN)
    try:
        # the reader asks for the magic number at the start of a file too
        footer = pq.read_metadata(pa.BufferReader(_MAGIC + data))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: a column has a name that is no UTF-8", hint=_AGAIN) from error
    _check_footer(footer, body, name)
    return footer


def _check_footer(footer: pq.FileMetaData, body: Bytes, name: str) -> None:
    """InputError for what Arrow would end the process over when it is asked about it."""
    leaves = new_rows(LEAF, footer.num_columns)
    for place in range(footer.num_columns):
        column = footer.schema.column(place)
        kind = _PHYSICAL.index(column.physical_type)
        width = column.length if _WIDTHS[kind] is None else _WIDTHS[kind]
        highest = column.max_repetition_level, column.max_definition_level
        leaves[place] = (kind, width, *highest)
    problem, group, column = footer_problem(body, leaves)
    if problem != FINE:
        where = "" if group < 0 else f"row group {group}: "
        where += "" if column < 0 else f"column {column}: "
        raise InputError(f"{name}: {where}{_PROBLEMS[problem]}", hint=_AGAIN)


def open_parquet(
    path: Path, footer: pq.FileMetaData | None = None, *, named: str = ""
) -> pq.ParquetFile:
    """A file to be read in batches; page checksums are verified where there are any.

    Texts come as dictionaries, for `texts` to look at. ``footer``: from `read_footer`, if known.
    ``named``: as there.

    Raises
    ------
    InputError
        As `read_footer`.
    OSError, pa.ArrowException
        If it is no Parquet.
    """
    footer = read_footer(path, named=named) if footer is None else footer
    schema = footer.schema.to_arrow_schema()
    return pq.ParquetFile(
        path,
        metadata=footer,
        read_dictionary=[field.name for field in schema if _is_text(field.type)],
        pre_buffer=False,
        buffer_size=1 << 16,  # else a large row group is held whole
        page_checksum_verification=True,
    )


def texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with plain texts of UTF-8, none of them too long.

    Raises
    ------
    pa.ArrowInvalid
        If one is no UTF-8, or too long.
    """
    if not any(map(pa.types.is_dictionary, batch.schema.types)):
        return batch
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
            column.dictionary.validate(full=True)
            longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
            if longest > MAX_TEXT:
                raise pa.ArrowInvalid(
                    f"column {name[:MAX_TEXT]!r} has a text of {longest:,} bytes, more than "
                    f"{MAX_TEXT}"
                )
            column = column.cast(kind.value_type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _problem(footer: pq.FileMetaData, group: int, file: BinaryIO, text: int) -> str:
    """What is wrong with a row group; empty where nothing is."""
    told = footer.row_group(group)
    rows, names = int(told.num_rows), range(told.num_columns)
    if rows < 0:
        return f"has {rows:,} rows"
    if rows * _IN_MEMORY * len(names) > MAX_GROUP:
        return f"has {rows:,} rows of {len(names)} columns, which would take too much memory"
    declared, inflated, doubted, worded = 0, 0, [], []
    for place in names:
        column = told.column(place)
        size, stored = int(column.total_uncompressed_size), int(column.total_compressed_size)
        is_text = column.physical_type == "BYTE_ARRAY"
        if not 0 <= size <= rows * (text if is_text else _NUMBER) + _SLACK or stored < 0:
            return f"has {size:,} bytes in column {_name(column)}, too many for {rows:,} rows"
        declared += size
        times = _INFLATES.get(column.compression)
        inflated += stored * (times or 0)
        if times is None:
            doubted.append(place)
        if is_text:
            worded.append(place)
    if declared > MAX_GROUP:
        return f"has {declared:,} bytes, more than {MAX_GROUP:,}"
    doubted = [*names] if inflated > MAX_GROUP else doubted
    for place in sorted({*doubted, *worded}):
        column = told.column(place)
        found = pages(file, column)
        if place in worded and not np.isin(found["encoding"], BOUNDED).all():
            return f"has texts in column {_name(column)} in an encoding that has no bound"
        if place in doubted and int(found["inflated"].sum()) > column.total_uncompressed_size:
            return f"has pages in column {_name(column)} that are larger than its footer says"
    return ""


def _name(column: pq.ColumnChunkMetaData) -> str:
    return repr(column.path_in_schema[:MAX_TEXT])
