"""A Parquet file to be judged: what its footer says, and its rows, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.acquire.columns import BATCH_ROWS, group_rows
from lobproof.errors import InputError
from lobproof.parquet import open_parquet, texts
from lobproof.sources.cryptolake.layout import ALIASES, actual_names, type_problem

_RENAMED = frozenset(raw for aliases in ALIASES.values() for raw in aliases)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the footer says.

    ``names``: raw column name → the name in the file; ``problems``: what is wrong with columns.
    """

    rows: int
    row_groups: int
    names: Mapping[str, str]
    types: Mapping[str, str]
    provenance: str
    problems: tuple[str, ...]

    @property
    def naming(self) -> str:
        """``raw``, ``lakeapi`` or ``mixed``: which of the vendor's naming sets."""
        used = {raw == name for raw, name in self.names.items() if raw in _RENAMED}
        return "mixed" if len(used) > 1 else "raw" if used == {True} else "lakeapi"


def open_file(path: Path) -> pq.ParquetFile:
    """The Parquet file at ``path``; page checksums are verified where there are any.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        return open_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path.name} is no Parquet file that can be read: {_line(error)}",
            hint="download it again",
        ) from error


def shape_of(file: pq.ParquetFile, table: str) -> Shape:
    """Columns, types and sizes of an open file, held against what ``table`` has."""
    footer = file.metadata
    schema = footer.schema.to_arrow_schema()
    problems = []
    names: dict[str, str] = {}
    try:
        names = actual_names(table, schema.names)
    except InputError as error:
        problems.append(error.message)
    problems += [
        problem
        for raw, name in names.items()
        if (problem := type_problem(raw, schema.field(name).type))
    ]
    provenance = (schema.metadata or {}).get(b"provenance", b"").decode("utf-8", "replace")
    return Shape(
        footer.num_rows,
        footer.num_row_groups,
        names,
        {raw: str(schema.field(name).type) for raw, name in names.items()} if not problems else {},
        provenance,
        tuple(problems),
    )


def group_starts(file: pq.ParquetFile) -> list[int]:
    """First row of each row group, and the sum of rows."""
    return [0, *np.cumsum(group_rows(file.metadata)).tolist()]


def batches(
    file: pq.ParquetFile, shape: Shape, columns: Sequence[str], group: int
) -> Iterator[pa.RecordBatch]:
    """Batches of a row group with the columns (raw names) in that order.

    Raises
    ------
    InputError
        When the row group cannot be read; the batches before were given out.
    """
    wanted = [shape.names[raw] for raw in columns]
    told, rows = file.metadata.row_group(group).num_rows, 0
    try:
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=[group], columns=wanted, use_threads=False
        ):
            rows += len(batch)
            yield texts(batch.select(wanted))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"row group {group} cannot be read: {_line(error)}", hint="download the file again"
        ) from error
    if rows != told:
        raise InputError(
            f"row group {group} holds {rows:,} rows, and not the {told:,} of the footer",
            hint="download the file again",
        )


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


def _line(error: BaseException) -> str:
    """An error's text on one line, without folders."""
    text = " ".join(str(error).split())
    return text.split(" Detail: ")[0]
