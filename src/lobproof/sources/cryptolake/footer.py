"""What a Parquet file's footer says, from a file or from the last bytes of an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from lobproof import parquet
from lobproof.errors import InputError
from lobproof.parquet import MAX_TEXT
from lobproof.sources.cryptolake.layout import ALIASES, actual_names, natural_order

_SENT, _RECEIVED = ("timestamp", "origin_time"), ("receipt_timestamp", "received_time")
_NOWHERE = -1 << 64, -1 << 64
"""The span of a file without rows, which may lie anywhere."""


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
        return _facts(parquet.read_footer(file), table)
    except (pa.ArrowException, OSError, ValueError, InputError):
        return None


def in_order(paths: Sequence[Path]) -> list[Path]:
    """A day's files of one table as their rows follow one another.

    That is the order of the numbers in their names, unless their times tell that each file lies
    behind another's end: by the exchange's clock, else by the recorder's.
    """
    named = sorted(paths, key=lambda path: natural_order(path.name))
    if len(named) < 2:
        return named
    for names in (_SENT, _RECEIVED):
        spans = [span for path in named if (span := _times(path, names)) is not None]
        timed = sorted(range(len(spans)), key=lambda k: spans[k])
        ends = pairwise(timed)
        if len(spans) == len(named) and all(spans[k][1] <= spans[n][0] for k, n in ends):
            return [named[k] for k in timed]
    return named


def _times(path: Path, names: Sequence[str]) -> tuple[int, int] | None:
    try:
        metadata = parquet.read_footer(path)
        span = _span(metadata, names) if metadata.num_rows else _NOWHERE
    except (pa.ArrowException, OSError, ValueError, InputError):
        return None
    # a time that is none tells no place
    return span if span == _NOWHERE or (span is not None and span[0] > 0) else None


def rows_of(tail: bytes) -> int | None:
    """Rows of a file by its whole footer; None if that is none."""
    try:
        return int(parquet.parse_footer(tail, "the object").num_rows)
    except (pa.ArrowException, OSError, ValueError, InputError):
        return None


def _facts(metadata: Any, table: str) -> Footer:
    schema = metadata.schema.to_arrow_schema()
    first, last = _span(metadata, _RECEIVED) or (None, None)
    said = schema.metadata or {}
    return Footer(
        rows=metadata.num_rows,
        row_groups=metadata.num_row_groups,
        first_ts=first,
        last_ts=last,
        schema={field.name: str(field.type) for field in schema},
        naming=_naming(table, schema.names),
        provenance=said.get(b"provenance", b"").decode("utf-8", "replace"),
        book_clock=book_clock(metadata),
    )


def book_clock(metadata: Any) -> str:
    """Which clock a file says its book has; empty when it says nothing."""
    said = metadata.schema.to_arrow_schema().metadata or {}
    return str(said.get(b"book_clock", b"")[:MAX_TEXT].decode("utf-8", "replace"))


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


def _span(metadata: Any, names: Sequence[str]) -> tuple[int, int] | None:
    """The span of a column of times that has one of these names, by statistics; None without."""
    paths = [metadata.schema.column(i).path.split(".")[0] for i in range(metadata.num_columns)]
    place = next((paths.index(name) for name in names if name in paths), None)
    if place is None:
        return None
    low: list[int] = []
    high: list[int] = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        ends = _nanoseconds(statistics.min_raw), _nanoseconds(statistics.max_raw)
        if ends[0] is None or ends[1] is None:
            return None
        low.append(ends[0])
        high.append(ends[1])
    return (min(low), max(high)) if low else None


def _nanoseconds(value: object) -> int | None:
    """A statistic of an int64 or timestamp[ns] column; others are not told here."""
    return value if isinstance(value, int) else None
