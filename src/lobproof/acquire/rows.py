"""Rows of the vendor's files to be judged: what a footer says, and columns batch by batch.

The decoder (`sources/cryptolake`) ends at the first value that cannot be. Here every value comes
through, so that checks can count it; and behind a row group that cannot be read the next one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.acquire.stamp_kernels import MISSING
from lobproof.errors import InputError
from lobproof.parquet import open_parquet, read_footer, texts
from lobproof.schema import Int8, Int64
from lobproof.sources.cryptolake.chunks import Chunk, floats, takers
from lobproof.sources.cryptolake.layout import (
    ALIASES,
    LEVEL_COLUMNS,
    TABLES,
    actual_names,
    type_problem,
)

BATCH_ROWS = 1 << 16
BOOK_ROWS = 1 << 11
"""Rows at a time where all levels of ``book`` are wanted: eighty numbers a row."""
LEVELS_NAME = "levels"
Columns = Mapping[str, NDArray[Any]]
"""Raw column name → values. Integers and times are int64 (``MISSING``: none), ``side`` is int8
(1 buy, 2 sell, 0 neither) and so is ``side_is_bid`` (1 bid, 2 ask, 0 null), other numbers are
float64 (NaN: null). ``levels`` has the eighty columns of ``book`` as one (n, 80) array."""

_INTEGERS = ("timestamp", "receipt_timestamp", "sequence_number", "id")
_RENAMED = frozenset(raw for table in TABLES for raw in ALIASES[table])


@dataclass(frozen=True, slots=True)
class Shape:
    """What a footer says.

    ``names``: raw column name → the name in the file; ``types`` the same way, empty where
    ``problems`` says what is wrong with columns; ``groups``: rows of each row group.
    """

    rows: int
    groups: tuple[int, ...]
    names: Mapping[str, str]
    types: Mapping[str, pa.DataType]
    provenance: str
    problems: tuple[InputError, ...]

    @classmethod
    def of(cls, footer: pq.FileMetaData, table: str) -> Self:
        """Columns, types and sizes of a file, held against what ``table`` has."""
        schema = footer.schema.to_arrow_schema()
        problems = []
        names: dict[str, str] = {}
        try:
            names = actual_names(table, schema.names)
        except InputError as error:
            problems.append(error)
        types = {raw: schema.field(name).type for raw, name in names.items()}
        hint = "the vendor's files have other types; `lobproof acquire validate` says more"
        problems += [
            InputError(problem, hint=hint)
            for raw, kind in types.items()
            if (problem := type_problem(raw, kind))
        ]
        return cls(
            footer.num_rows,
            tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups)),
            names,
            types if not problems else {},
            (schema.metadata or {}).get(b"provenance", b"").decode("utf-8", "replace"),
            tuple(problems),
        )

    @property
    def naming(self) -> str:
        """``raw``, ``lakeapi`` or ``mixed``: which of the vendor's naming sets."""
        used = {raw == name for raw, name in self.names.items() if raw in _RENAMED}
        return "mixed" if len(used) > 1 else "raw" if used == {True} else "lakeapi"


def read_shape(path: Path, table: str) -> Shape:
    """What the footer of a file of ``table`` says, its columns as they should be.

    Raises
    ------
    InputError
        When it is no Parquet, lacks a column or has one of another type.
    """
    try:
        shape = Shape.of(read_footer(path), table)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}",
            hint="download it anew, or let `lobproof acquire validate` look at it",
        ) from error
    for problem in shape.problems:
        raise InputError(f"{path}: {problem.message}", hint=problem.hint)
    return shape


class TableFile:
    """An open file of a table, to be read row group by row group.

    Raises
    ------
    InputError
        When it is no Parquet. What is wrong with its columns is in ``shape.problems``: with any,
        there are no rows to be had.
    """

    def __init__(self, path: Path, table: str) -> None:
        self.path = path
        self.table = table
        try:
            self._file = open_parquet(path, named="the file")
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"it cannot be read as a Parquet file: {_line(error)}",
                hint="download it again",
            ) from error
        self.shape = Shape.of(self._file.metadata, table)
        self.starts = [0, *np.cumsum(self.shape.groups).tolist()]
        """First row of each row group, and the sum of rows."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def group(self, group: int, columns: Sequence[str], rows: int = 0) -> Iterator[Chunk]:
        """A row group's columns (raw names), ``rows`` (by default ``BATCH_ROWS``) at a time.

        Raises
        ------
        InputError
            When the row group cannot be read; the chunks before were given out.
        """
        names = self.shape.names
        wanted = [names[raw] for raw in columns]
        row, stop = self.starts[group : group + 2]
        try:
            for batch in self._file.iter_batches(
                rows or BATCH_ROWS, row_groups=[group], columns=wanted, use_threads=False
            ):
                plain = texts(batch)
                values = {raw: plain.column(names[raw]) for raw in columns}
                yield Chunk(self.table, self.path, row, values)
                row += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"row group {group} cannot be read: {_line(error)}", hint="download the file again"
            ) from error
        if row != stop:
            held, told = row - self.starts[group], stop - self.starts[group]
            raise InputError(
                f"row group {group} holds {held:,} rows, and not the {told:,} of the footer",
                hint="download the file again",
            )


def read_columns(table: str, paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Columns]:
    """Rows of the files of ``table``, in order, of the raw ``columns`` (``levels`` among them).

    Memory is bounded by the batch.

    Raises
    ------
    InputError
        Where a file cannot be read, or has other columns.
    """
    wanted = [raw for raw in columns if raw != LEVELS_NAME]
    wide = LEVELS_NAME in columns
    for path in paths:
        try:
            with TableFile(path, table) as file:
                for problem in file.shape.problems:
                    raise problem
                for group in range(len(file.shape.groups)):
                    for chunk in file.group(
                        group,
                        (*wanted, *(LEVEL_COLUMNS if wide else ())),
                        BOOK_ROWS if wide else BATCH_ROWS,
                    ):
                        rows = {raw: _column(chunk, raw) for raw in wanted}
                        if wide:
                            rows[LEVELS_NAME] = np.column_stack(
                                [floats(chunk, raw) for raw in LEVEL_COLUMNS]
                            )
                        yield rows
        except InputError as error:
            raise InputError(f"{path}: {error.message}", hint=error.hint) from error


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


def booleans(column: pa.Array) -> NDArray[np.uint8]:
    """A bool column as 0 and 1; null is 0."""
    if column.null_count:
        column = column.fill_null(False)
    return np.asarray(column.to_numpy(zero_copy_only=False)).view(np.uint8)


def nulls(columns: Sequence[pa.Array]) -> NDArray[np.bool_] | None:
    """Rows with a null in any of the columns; None where there is none."""
    found: NDArray[np.bool_] | None = None
    for column in columns:
        if column.null_count:
            here = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
            found = here if found is None else found | here
    return found


def text_hashes(column: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each text; the same text has the same hash in every batch."""
    series: Any = pl.from_arrow(column)
    return np.asarray(series.hash(seed=0).to_numpy(), np.uint64)


def _column(chunk: Chunk, raw: str) -> NDArray[Any]:
    values = chunk.columns[raw]
    if raw in _INTEGERS:
        return integers(values)
    if raw == "side":
        return takers(chunk)
    if raw == "side_is_bid":
        return _sides(values)
    return floats(chunk, raw)


def _sides(values: pa.Array) -> Int8:
    """1 for true, 2 for false, 0 for null."""
    sides = (2 - booleans(values)).astype(np.int8)
    lacking = nulls([values])
    if lacking is not None:
        sides[lacking] = 0
    return sides


def _line(error: BaseException) -> str:
    """An error's text on one line, without folders."""
    text = " ".join(str(error).split())
    return text.split(" Detail: ")[0]
