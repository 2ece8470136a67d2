"""What a Parquet file's footer says, from a file or from the last bytes of an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.errors import InputError
from lobproof.sources.cryptolake.layout import ALIASES, actual_names

_MAGIC = b"PAR1"
TAIL = 8
"""Bytes behind the footer: its length, and the magic number."""


@dataclass(frozen=True, slots=True)
class Footer:
    """Facts of one file.

    ``first_ts`` and ``last_ts`` are nanoseconds since the epoch: the span of the receive times by
    the row groups' statistics, None without. ``schema`` maps column names to types. ``naming`` is
    ``raw`` or ``lakeapi``, empty where the columns are neither set. ``provenance`` and
    ``book_clock`` are what the file's own metadata says, empty when it says nothing.
    """

    rows: int
    row_groups: int
    first_ts: int | None
    last_ts: int | None
    schema: dict[str, str]
    naming: str
    provenance: str
    book_clock: str


def read_footer(file: Path, table: str) -> Footer | None:
    """The facts of a file of ``table``; None if it is no Parquet."""
    try:
        # a footer of 11,000 row groups takes megabytes: it is dropped with this frame
        with pa.OSFile(str(file), "rb") as source:
            return _facts(pq.read_metadata(source), table)
    except (pa.ArrowException, OSError, ValueError):
        return None


def footer_size(tail: bytes) -> int | None:
    """Bytes of the footer that ends in ``tail`` (at least eight bytes), those eight included."""
    if len(tail) < TAIL or tail[-4:] != _MAGIC:
        return None
    return int.from_bytes(tail[-8:-4], "little") + TAIL


def rows_of(tail: bytes) -> int | None:
    """Rows of a file by its whole footer; None if that is none."""
    try:
        # the reader asks for the magic number at the start of a file too
        return int(pq.read_metadata(pa.BufferReader(_MAGIC + tail)).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return None


def _facts(metadata: Any, table: str) -> Footer:
    schema = metadata.schema.to_arrow_schema()
    first, last = _span(metadata, schema.names)
    said = schema.metadata or {}
    return Footer(
        rows=metadata.num_rows,
        row_groups=metadata.num_row_groups,
        first_ts=first,
        last_ts=last,
        schema={field.name: str(field.type) for field in schema},
        naming=_naming(table, schema.names),
        provenance=said.get(b"provenance", b"").decode("utf-8", "replace"),
        book_clock=said.get(b"book_clock", b"").decode("utf-8", "replace"),
    )


def _naming(table: str, names: list[str]) -> str:
    if table not in ALIASES:
        return ""
    try:
        actual = actual_names(table, names)
    except InputError:
        return ""
    renamed = ALIASES[table]
    if all(actual[raw] == raw for raw in renamed):
        return "raw"
    return "lakeapi" if all(actual[raw] == alias for raw, alias in renamed.items()) else "mixed"


def _span(metadata: Any, names: list[str]) -> tuple[int | None, int | None]:
    column = next((n for n in ("receipt_timestamp", "received_time") if n in names), None)
    if column is None:
        return None, None
    place = next(
        i
        for i in range(metadata.num_columns)
        if metadata.schema.column(i).path.split(".")[0] == column
    )
    low: list[int] = []
    high: list[int] = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            return None, None
        ends = _nanoseconds(statistics.min_raw), _nanoseconds(statistics.max_raw)
        if ends[0] is None or ends[1] is None:
            return None, None
        low.append(ends[0])
        high.append(ends[1])
    return (min(low), max(high)) if low else (None, None)


def _nanoseconds(value: object) -> int | None:
    """A statistic of an int64 or timestamp[ns] column; others are not told here."""
    return value if isinstance(value, int) else None
