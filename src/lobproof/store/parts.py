"""Parquet parts: the settings, the metadata and the encoding of one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof import documents
from lobproof.documents import Count
from lobproof.files import below, check_place, new_file, sync_file
from lobproof.fixedpoint import to_decimal128
from lobproof.paths import drop_writer
from lobproof.schema.tables import FORMAT_VERSION, Table
from lobproof.store.grids import Grid
from lobproof.store.hashing import Column, file_hash, header, join_leaves, leaf, table_hash
from lobproof.store.layout import Partition

METADATA_KEY = b"lobproof"


@dataclass(frozen=True, slots=True)
class Part:
    """A finished file of a table."""

    path: str  # relative to the table's folder
    rows: int
    size: int  # bytes
    hash: str  # SHA-256 over header and leaves, hexadecimal
    bytes_hash: str  # xxh3_128 of the file, hexadecimal
    leaves: bytes
    minimum: dict[str, int]  # of the columns that carry statistics
    maximum: dict[str, int]

    def entry(self) -> list[str | int]:
        """The part as the seal lists it."""
        return [self.path, self.rows, self.size, self.hash, self.bytes_hash]


class _Document(msgspec.Struct):
    """What is read of what lobproof wrote into a part's metadata; there is more."""

    dt: str
    part: Count
    leaves: str


@dataclass(frozen=True, slots=True)
class PartTarget:
    """Where the parts of one table of one partition go."""

    root: Path
    table: Table
    partition: Partition
    grid: Grid

    @property
    def folder(self) -> Path:
        """The partition's folder."""
        return below(self.root, f"{self.table.name}/{self.partition.folder}")

    @property
    def head(self) -> bytes:
        """Start of the table's hash."""
        return header(self.table, self.partition.exchange, self.partition.symbol, self.grid)


def to_arrow(column: Column, field: pa.Field, grid: Grid) -> pa.Array:
    """A column in memory as it is stored; numbers share memory with ``column``."""
    if pa.types.is_decimal(field.type):
        return to_decimal128(np.asarray(column, np.int64), grid.exponent(field.name))
    return pa.array(column, field.type)


def open_writer(path: Path, table: Table) -> pq.ParquetWriter:
    """A Parquet writer with the table's settings."""
    try:
        return pq.ParquetWriter(
            path,
            table.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(table.dictionary),
            column_encoding=dict.fromkeys(table.delta_packed, "DELTA_BINARY_PACKED"),
            write_statistics=list(table.statistics),
            store_decimal_as_integer=False,
        )
    except OSError:
        path.unlink(missing_ok=True)
        raise


class PartWriter:
    """Writes one file, row group by row group, under a temporary name until it is whole.

    Not thread-safe: one thread at a time.
    """

    def __init__(self, target: PartTarget, number: int) -> None:
        self._target = target
        self._number = number
        self._temporary = new_file(target.folder / f"part-{number:05d}")
        self._writer = open_writer(self._temporary, target.table)
        self._groups: list[list[bytes]] = []
        self._minimum: dict[str, int] = {}
        self._maximum: dict[str, int] = {}
        self.rows = 0

    def write(self, columns: Sequence[Column]) -> None:
        """Append one row group: its columns in the schema's order, at least one row."""
        table = self._target.table
        group = []
        arrays = []
        for field, column in zip(table.schema, columns, strict=True):
            group.append(leaf(column))
            arrays.append(to_arrow(column, field, self._target.grid))
            if field.name in table.statistics:
                numbers = np.asarray(column, np.int64)
                low, high = int(numbers.min()), int(numbers.max())
                self._minimum[field.name] = min(low, self._minimum.get(field.name, low))
                self._maximum[field.name] = max(high, self._maximum.get(field.name, high))
        rows = len(columns[0])
        self._writer.write_table(
            pa.Table.from_arrays(arrays, schema=table.schema), row_group_size=rows
        )
        self._groups.append(group)
        self.rows += rows

    def finish(self) -> tuple[Part, Path | None]:
        """Close, sync and rename the file.

        Returns
        -------
        tuple[Part, Path | None]
            The part, and its file if it is a new one: a file of that name and content that was
            there before stays as it is.
        """
        target = self._target
        leaves = join_leaves(self._groups)
        digest = table_hash(target.head, [(self.rows, leaves)])
        document = {
            "format_version": FORMAT_VERSION,
            "table": target.table.name,
            "exchange": target.partition.exchange,
            "symbol": target.partition.symbol,
            "dt": target.partition.dt,
            "price_exponent": target.grid.price,
            "size_exponent": target.grid.size,
            "part": self._number,
            "leaves": base64.b64encode(leaves).decode("ascii"),
        }
        self._writer.add_key_value_metadata({METADATA_KEY: json.dumps(document).encode()})
        self._writer.close()
        final = target.folder / f"part-{self._number:05d}-{digest[:16]}.parquet"
        size = self._temporary.stat().st_size
        bytes_hash = file_hash(self._temporary)
        check_place(final)
        new = not final.exists()
        if not new and _same_bytes(final, self._temporary):
            self._temporary.unlink()
        else:
            sync_file(self._temporary)
            self._temporary.replace(final)
        part = Part(
            path=f"{target.partition.folder}/{final.name}",
            rows=self.rows,
            size=size,
            hash=digest,
            bytes_hash=bytes_hash,
            leaves=leaves,
            minimum=self._minimum,
            maximum=self._maximum,
        )
        return part, final if new else None

    def abort(self) -> None:
        """Drop the file."""
        drop_writer(self._writer)
        self._temporary.unlink(missing_ok=True)


def stored_document(metadata: pq.FileMetaData) -> tuple[dict[str, Any], bytes]:
    """What lobproof wrote into a part's metadata, and the leaves in it.

    Raises
    ------
    ValueError
        If that is missing or damaged.
    """
    try:
        document = documents.parse((metadata.metadata or {})[METADATA_KEY], _Document)
    except KeyError as error:
        raise ValueError(f"no leaves in the file's metadata: {error}") from error
    return document, base64.b64decode(document["leaves"], validate=True)


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True
