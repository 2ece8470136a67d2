"""Rows of a table of a day as NumPy columns, batch by batch, whatever names and types they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.acquire.facts.time_kernels import NULL
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS, actual_names

BATCH_ROWS = 1 << 16
BOOK_ROWS = 1 << 11
"""Rows at a time; a row of ``book`` is eighty numbers wide."""

Rows = Mapping[str, NDArray[Any]]
"""Raw column name → values. Integers and times are int64 (``NULL``: none), ``side`` is int8 (1 buy,
2 sell, 0 neither) and so is ``side_is_bid`` (1 bid, 2 ask, 0 null), other numbers are float64
(NaN: null). ``levels`` has the eighty columns of ``book`` as one (n, 80) array."""

LEVELS_NAME = "levels"
_INTEGERS = ("timestamp", "receipt_timestamp", "sequence_number", "id")


def read_rows(table: str, paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Rows]:
    """Rows of the files of ``table``, in order, of the raw ``columns`` (``levels`` among them).

    Memory is bounded by the batch. Names and types must have been checked.
    """
    wanted = [c for c in columns if c != LEVELS_NAME]
    wide = LEVELS_NAME in columns
    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = actual_names(table, file.schema_arrow.names)
            read = [names[c] for c in (*wanted, *(LEVEL_COLUMNS if wide else ()))]
            size = BOOK_ROWS if wide else BATCH_ROWS
            for batch in file.iter_batches(size, columns=read, use_threads=False):
                rows = {c: _column(c, batch.column(names[c])) for c in wanted}
                if wide:
                    rows[LEVELS_NAME] = _levels(batch, names)
                yield rows


def row_groups(paths: Sequence[Path]) -> list[int]:
    """Rows of each row group of the files."""
    sizes = []
    for path in paths:
        footer = pq.read_metadata(path)
        sizes += [footer.row_group(k).num_rows for k in range(footer.num_row_groups)]
    return sizes


def _column(raw: str, values: pa.Array) -> NDArray[Any]:
    if raw in _INTEGERS:
        return _integers(values)
    if raw == "side":
        buys, sells = (_equal(values, name) for name in ("buy", "sell"))
        return (buys + 2 * sells).astype(np.int8)
    if raw == "side_is_bid":
        bids = _booleans(values)
        asks = _booleans(pc.invert(values))
        return (bids + 2 * asks).astype(np.int8)
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _integers(values: pa.Array) -> NDArray[np.int64]:
    """Int64 of integers, times or text; ``NULL`` for none, and for text that is no number."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        number = pc.match_substring_regex(values, r"^[0-9]{1,18}$")
        values = pc.if_else(number, values, pa.scalar(None, values.type))
    whole = values.cast(pa.int64()).fill_null(NULL)
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)


def _equal(values: pa.Array, name: str) -> NDArray[np.bool_]:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return _booleans(pc.equal(values, name))


def _booleans(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def _levels(batch: pa.RecordBatch, names: Mapping[str, str]) -> NDArray[np.float64]:
    levels = np.empty((batch.num_rows, len(LEVEL_COLUMNS)), np.float64)
    for k, raw in enumerate(LEVEL_COLUMNS):
        levels[:, k] = batch.column(names[raw]).to_numpy(zero_copy_only=False)
    return levels
