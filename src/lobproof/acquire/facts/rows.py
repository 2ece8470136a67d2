"""Rows of a table of a day as NumPy columns, batch by batch, whatever names and types they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lobproof.acquire.columns import BATCH_ROWS, booleans, floats, group_rows, integers, sides
from lobproof.errors import InputError, shown
from lobproof.parquet import open_parquet, read_footer, texts
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS, actual_names

BOOK_ROWS = 1 << 11
"""Rows at a time; a row of ``book`` is eighty numbers wide."""

Rows = Mapping[str, NDArray[Any]]
"""Raw column name → values. Integers and times are int64 (``MISSING``: none), ``side`` is int8
(1 buy, 2 sell, 0 neither) and so is ``side_is_bid`` (1 bid, 2 ask, 0 null), other numbers are
float64 (NaN: null). ``levels`` has the eighty columns of ``book`` as one (n, 80) array."""

LEVELS_NAME = "levels"
_INTEGERS = ("timestamp", "receipt_timestamp", "sequence_number", "id")


def read_rows(table: str, paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Rows]:
    """Rows of the files of ``table``, in order, of the raw ``columns`` (``levels`` among them).

    Memory is bounded by the batch. Names and types must have been checked.

    Raises
    ------
    InputError
        Where a file cannot be read.
    """
    wanted = [c for c in columns if c != LEVELS_NAME]
    wide = LEVELS_NAME in columns
    for path in paths:
        with open_parquet(path) as file:
            try:
                names = actual_names(table, file.schema_arrow.names)
            except InputError as error:
                raise InputError(f"{path}: {error.message}", hint=error.hint) from error
            read = [names[c] for c in (*wanted, *(LEVEL_COLUMNS if wide else ()))]
            size = BOOK_ROWS if wide else BATCH_ROWS
            try:
                for batch in file.iter_batches(size, columns=read, use_threads=False):
                    plain = texts(batch)
                    rows = {c: _column(c, plain.column(names[c])) for c in wanted}
                    if wide:
                        rows[LEVELS_NAME] = _levels(plain, names)
                    yield rows
            except (OSError, pa.ArrowException) as error:
                raise InputError(
                    f"{path} cannot be read: {shown(str(error))}",
                    hint="`lobproof acquire validate` looks at it",
                ) from error


def row_groups(paths: Sequence[Path]) -> list[int]:
    """Rows of each row group of the files."""
    return [rows for path in paths for rows in group_rows(read_footer(path))]


def _column(raw: str, values: pa.Array) -> NDArray[Any]:
    if raw in _INTEGERS:
        return integers(values)
    if raw == "side":
        return sides(values)
    if raw == "side_is_bid":
        bids, asks = booleans(values), booleans(pc.invert(values))
        return (bids + 2 * asks).astype(np.int8)
    return floats(values)


def _levels(batch: pa.RecordBatch, names: Mapping[str, str]) -> NDArray[np.float64]:
    levels = np.empty((batch.num_rows, len(LEVEL_COLUMNS)), np.float64)
    for k, raw in enumerate(LEVEL_COLUMNS):
        levels[:, k] = floats(batch.column(names[raw]))
    return levels
