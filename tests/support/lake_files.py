"""Whole days of Crypto Lake's tables, made by hand, to be spoilt by tests; and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.acquire.checks.coverage import day_start
from lobproof.sources.cryptolake.layout import ALIASES, COLUMNS
from lobproof.sources.cryptolake.write import SCHEMAS

DAY = "2026-01-05"
START = day_start(DAY)
HOUR = 3_600_000_000_000
STEP_MS = 20_000
ROWS = 86_400_000 // STEP_MS
GROUP_ROWS = 1_000
Columns = dict[str, Any]


def stamps(rows: int = ROWS, step_ms: int = STEP_MS) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Times in ns, whole milliseconds, from midnight to midnight."""
    return START + 1_000_000 * step_ms * np.arange(rows, dtype=np.int64)


def trades() -> Columns:
    """A trade every 20 s: no reason against it."""
    at = np.arange(ROWS)
    return {
        "side": [("buy", "sell")[i % 2] for i in range(ROWS)],
        "amount": (1 + at % 997) / 1e5,
        "price": (6_000_000 + at % 101) / 1e2,
        "id": 5_000_000_000 + at,
        "timestamp": stamps(),
        "receipt_timestamp": stamps() + 4_000_000,
    }


def deltas() -> Columns:
    """A message of four rows every 80 s: no reason against it."""
    at = np.arange(ROWS)
    message = at // 4
    return {
        "timestamp": stamps()[message * 4],
        "receipt_timestamp": stamps()[message * 4] + 4_000_000,
        "sequence_number": 1_000 + message * 17,
        "side_is_bid": at % 2 == 0,
        "price": (6_000_000 + at % 101) / 1e2,
        "size": (at % 997) / 1e5,
    }


def book() -> Columns:
    """A snapshot every 20 s: no reason against it."""
    at = np.arange(ROWS)
    columns: Columns = {
        "timestamp": stamps(),
        "receipt_timestamp": stamps() + 4_000_000,
        "sequence_number": 1_000 + at * 17,
    }
    for level in range(20):
        columns[f"bid_{level}_price"] = (6_000_000 + at % 101 - level) / 1e2
        columns[f"bid_{level}_size"] = (1 + (at + level) % 997) / 1e5
    for level in range(20):
        columns[f"ask_{level}_price"] = (6_000_001 + at % 101 + level) / 1e2
        columns[f"ask_{level}_size"] = (1 + (at + 3 * level) % 997) / 1e5
    return columns


MAKERS = {"trades": trades, "book": book, "book_delta_v2": deltas}


def cut(columns: Columns, first: int, stop: int) -> Columns:
    """Without the rows from ``first`` to before ``stop``."""
    kept = [i for i in range(len(columns["timestamp"])) if not first <= i < stop]
    return {name: [values[i] for i in kept] for name, values in columns.items()}


def put(columns: Columns, name: str, row: int, value: Any) -> Columns:
    """With another value, None included, in one place."""
    values = list(columns[name])
    values[row] = value
    return {**columns, name: values}


def arrow(table: str, columns: Columns, *, lakeapi: bool = False, typed: bool = False) -> pa.Table:
    """The Arrow table, under either naming set and with either type of times."""
    arrays, names = [], []
    for raw in COLUMNS[table]:
        values = pa.array(columns[raw])
        if typed and raw in ("timestamp", "receipt_timestamp"):
            values = values.cast(pa.timestamp("ns"))
        arrays.append(values)
        names.append(ALIASES[table].get(raw, raw) if lakeapi else raw)
    return pa.table(arrays, names=names).replace_schema_metadata({"provenance": "synthetic"})


def write(
    path: Path,
    table: str,
    columns: Columns,
    *,
    lakeapi: bool = False,
    typed: bool = False,
    group_rows: int = GROUP_ROWS,
    **options: Any,
) -> Path:
    """Write a Parquet file."""
    pq.write_table(
        arrow(table, columns, lakeapi=lakeapi, typed=typed),
        path,
        compression="snappy",
        row_group_size=group_rows,
        **options,
    )
    return path


def write_some(path: Path, table: str, group: int = 1_000, **columns: Any) -> Path:
    """A file of a table; what is not given is 1, stamps an hour apart by row over a day."""
    rows = len(next(iter(columns.values())))
    stamps = START + 24 * HOUR // max(rows, 1) * np.arange(rows)
    usual: dict[str, Any] = {
        "timestamp": stamps,
        "receipt_timestamp": stamps + 4_000_000,
        "sequence_number": np.arange(rows),
        "id": np.arange(rows),
        "side": ["buy"] * rows,
        "side_is_bid": [True] * rows,
    }
    schema = SCHEMAS[table]
    filled = usual | {name: np.ones(rows) for name in schema.names if name not in usual} | columns
    arrays = [pa.array(filled[field.name], field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=group)
    return path
