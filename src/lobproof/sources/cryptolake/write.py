"""Crypto Lake's files as the simulator and ``derive-lake`` write them: schemas, stamps, folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.paths import drop_writer
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import COLUMNS, LakeKey

GROUP_ROWS = 10_000
"""Rows of a row group, as in the vendor's files."""
DAY_NS = 86_400_000_000_000
_OPEN_DAYS = 2
_TYPES = {
    "side": pa.string(),
    "id": pa.int64(),
    "timestamp": pa.int64(),
    "receipt_timestamp": pa.int64(),
    "sequence_number": pa.int64(),
    "side_is_bid": pa.bool_(),
}
SCHEMAS: Mapping[str, pa.Schema] = {
    table: pa.schema([(name, _TYPES.get(name, pa.float64())) for name in names])
    for table, names in COLUMNS.items()
}
"""Raw column names and types of each table, as in the files."""


def float_seconds(times: Int64) -> Int64:
    """Times (ns) as the vendor once stamped them: whole µs in float seconds, times 1e9, cut off.

    A time that is missing (0) stays 0. Rounding to the nearest µs gives the whole µs back.
    """
    return (times // 1000 / 1e6 * 1e9).astype(np.int64)


class TableWriter:
    """Writes one table of a symbol: ``{table}/exchange=…/symbol=…/dt=…/1.snappy.parquet``.

    Parameters
    ----------
    root
        Folder of the tables.
    table, exchange, symbol
        As in the vendor's paths.
    metadata
        What each file says of itself; ``provenance`` is ``synthetic`` or ``derived``.

    Attributes
    ----------
    rows
        Date → rows so far.
    files
        Every file begun, in order.
    """

    def __init__(
        self, root: Path, table: str, exchange: str, symbol: str, metadata: Mapping[str, str]
    ) -> None:
        self.rows: dict[str, int] = {}
        self.files: list[Path] = []
        self._root = root
        self._key = (table, exchange, symbol)
        self._schema = SCHEMAS[table].with_metadata(dict(metadata))
        self._open: dict[int, _File] = {}
        self._begun: dict[int, int] = {}

    def append(self, times: Int64, columns: Sequence[NDArray[np.generic] | pa.Array]) -> None:
        """Add rows in order; a row goes to the UTC day of its time (ns)."""
        days = times // DAY_NS
        edges = [*(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column) for column in columns
        ]
        start = 0
        for stop in edges:
            if start < stop:
                part = [array.slice(start, stop - start) for array in arrays]
                file = self._day(int(days[start]))
                file.append(pa.Table.from_arrays(part, schema=self._schema))
                self.rows[file.date] = self.rows.get(file.date, 0) + stop - start
            start = stop

    def close(self) -> None:
        """Finish the open files."""
        for day in list(self._open):
            self._open[day].close()
            del self._open[day]

    def abort(self) -> None:
        """Let go of the open files, whatever is in them."""
        for file in self._open.values():
            file.abort()

    def _day(self, day: int) -> _File:
        """The day's open file; few are open, and a day that comes again later gets another one."""
        file = self._open.pop(day, None)
        if file is None:
            if len(self._open) == _OPEN_DAYS:
                self._open.pop(next(iter(self._open))).close()
            number = self._begun[day] = self._begun.get(day, 0) + 1
            date = str(np.datetime64(day, "D"))
            key = LakeKey(*self._key, date, f"{number}.snappy.parquet")
            path = self._root / key.path
            path.parent.mkdir(parents=True, exist_ok=True)
            self.files.append(path)
            file = _File(path, date, self._schema)
        self._open[day] = file
        return file


class _File:
    """One file: row groups of exactly GROUP_ROWS rows, but for the last."""

    def __init__(self, path: Path, date: str, schema: pa.Schema) -> None:
        self.date = date
        self._rest: list[pa.Table] = []
        self._waiting = 0
        self._writer = pq.ParquetWriter(path, schema, compression="snappy")

    def append(self, rows: pa.Table) -> None:
        self._rest.append(rows)
        self._waiting += len(rows)
        whole = self._waiting // GROUP_ROWS * GROUP_ROWS
        if whole:
            self._write(whole)

    def close(self) -> None:
        self._write(self._waiting)
        self._writer.close()

    def abort(self) -> None:
        drop_writer(self._writer)

    def _write(self, count: int) -> None:
        if not count:
            return
        table = pa.concat_tables(self._rest)
        self._writer.write_table(table.slice(0, count), row_group_size=GROUP_ROWS)
        self._rest = [table.slice(count)]
        self._waiting -= count
