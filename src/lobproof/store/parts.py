"""How a table of a day becomes Parquet parts: one file, files of row groups, files of few rows."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof import documents
from lobproof.documents import Count
from lobproof.files import below, check_place, new_file, sync_file
from lobproof.instruments import Instrument
from lobproof.paths import drop_writer
from lobproof.schema.tables import FORMAT_VERSION, Table
from lobproof.stages import timed
from lobproof.store.columns import Column, Grid, in_memory, memory_type, to_arrow
from lobproof.store.hashing import content_hash, file_hash, header, join_leaves, leaf, table_hash
from lobproof.store.layout import Partition

METADATA_KEY = b"lobproof"

Buffer = list[NDArray[np.generic]]
Result = TypeVar("Result")


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
        return header(self.table, self.partition, self.grid)


@dataclass(frozen=True, slots=True)
class TableContent:
    """The finished parts of one table of one partition."""

    parts: tuple[Part, ...]
    hash: str

    @classmethod
    def of(cls, target: PartTarget, parts: Iterable[Part]) -> Self:
        """All parts that a table has, in order."""
        parts = tuple(parts)
        return cls(parts, table_hash(target.head, [(part.rows, part.leaves) for part in parts]))

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class DayContent:
    """Files, counts and hashes of one symbol-day; the files lie in place but no commit lists them.

    ``tables`` maps each of the five content tables to its parts. ``first_ts`` and ``last_ts`` are
    the first and last ``ts_order``, 0 in a day without events.
    """

    root: Path
    instrument: Instrument
    partition: Partition
    tables: Mapping[str, TableContent]
    first_ts: int
    last_ts: int

    @property
    def hashes(self) -> dict[str, str]:
        """Content hash of each table by its name."""
        return {name: table.hash for name, table in self.tables.items()}

    @property
    def content_hash(self) -> str:
        """The hash over the five tables' hashes."""
        return content_hash(self.hashes)

    def rows(self, table: str) -> int:
        """Rows of a table."""
        return self.tables[table].rows


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


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True


class GroupWriter:
    """Fills preallocated row groups; a background thread hashes, encodes and closes parts.

    At most ``buffers`` row groups exist at a time: the caller waits when all are in flight. An
    error of the thread is raised by the next call that waits for it, and nothing is encoded after
    it.

    Parameters
    ----------
    target
        Where the parts go.
    buffers
        Row groups in memory.
    parts
        Parts that an earlier writer closed: the next one follows them.
    """

    def __init__(self, target: PartTarget, buffers: int, parts: Iterable[Part] = ()) -> None:
        self._target = target
        self._limit = buffers
        self._types = [memory_type(field.type) for field in target.table.schema]
        self._allocated = 0
        self._free: list[Buffer] = []
        self._buffer: Buffer | None = None
        self._filled = 0
        self._open = False  # the current part holds rows
        self._flying: deque[tuple[Future[None] | Future[Part], Buffer | None]] = deque()
        self._closed = [_finished(part) for part in parts]
        self._stage = f"write {target.table.name}"
        self._thread = ThreadPoolExecutor(1, f"lobproof-{target.table.name}")
        # the encoding thread's own, until it is shut down
        self._part: PartWriter | None = None
        self._number = len(self._closed)
        self._broken: BaseException | None = None
        self._new_files: list[Path] = []

    def append(self, columns: Sequence[NDArray[np.generic]]) -> None:
        """Append rows: one array of equal length per column, in the schema's order."""
        rows, start = len(columns[0]), 0
        room = self._target.table.group_rows
        while start < rows:
            if self._buffer is None:
                self._buffer = self._take()
            count = min(rows - start, room - self._filled)
            here, there = slice(self._filled, self._filled + count), slice(start, start + count)
            for buffer, column in zip(self._buffer, columns, strict=True):
                buffer[here] = column if count == rows else column[there]
            self._filled += count
            self._open = True
            start += count
            if self._filled == room:
                self._submit()

    def cut(self) -> None:
        """Close the part, if it holds rows."""
        if self._open:
            self._submit()
            finish = partial(timed, self._stage, self._finish)
            closed = self._thread.submit(self._unbroken, finish)
            self._flying.append((closed, None))
            self._closed.append(closed)
            self._open = False

    def closed(self) -> tuple[Future[Part], ...]:
        """The closed parts; a future is done when its file is on the disk under its own name."""
        return tuple(self._closed)

    def close(self) -> TableContent:
        """Close the last part and wait for the thread."""
        self.cut()
        while self._flying:
            self._land()
        self._thread.shutdown()
        return TableContent.of(self._target, (future.result() for future in self._closed))

    def abort(self, keep: Collection[Path] = ()) -> None:
        """Stop the thread and remove the files that this writer added, but those to ``keep``."""
        self._thread.shutdown(cancel_futures=True)
        if self._part is not None:
            self._part.abort()
        for path in self._new_files:
            if path not in keep:
                path.unlink(missing_ok=True)

    def _take(self) -> Buffer:
        while not self._free:
            if self._allocated < self._limit:
                self._allocated += 1
                return [np.empty(self._target.table.group_rows, kind) for kind in self._types]
            self._land()
        return self._free.pop()

    def _land(self) -> None:
        future, buffer = self._flying.popleft()
        if buffer is not None:
            self._free.append(buffer)
        future.result()

    def _submit(self) -> None:
        if self._filled and self._buffer is not None:
            rows = [column[: self._filled] for column in self._buffer]
            encode = partial(timed, self._stage, lambda: self._encode(rows), lambda _: len(rows[0]))
            encoded = self._thread.submit(self._unbroken, encode)
            self._flying.append((encoded, self._buffer))
            self._buffer, self._filled = None, 0

    def _unbroken(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` unless some failed before: a part that lacks rows must not be closed."""
        if self._broken is not None:
            raise self._broken
        try:
            return work()
        except BaseException as error:
            self._broken = error
            raise

    def _encode(self, columns: Buffer) -> None:
        self._part = self._part or PartWriter(self._target, self._number)
        self._part.write(columns)

    def _finish(self) -> Part:
        assert self._part is not None  # only a part that holds rows is cut
        part, new_file = self._part.finish()
        self._part = None
        self._number += 1
        if new_file is not None:
            self._new_files.append(new_file)
        return part


def _finished(part: Part) -> Future[Part]:
    future: Future[Part] = Future()
    future.set_result(part)
    return future


class SmallRows:
    """The rows so far of a table of few: they are written sorted, as one part, when a day ends."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns: dict[str, list[object]] = {name: [] for name in table.schema.names}

    def append(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append rows: equally long sequences by column name.

        Raises
        ------
        ValueError
            If a column is missing or unknown, or the lengths differ.
        """
        lengths = {len(values) for values in columns.values()}
        if set(columns) != set(self._columns) or len(lengths) > 1:
            raise ValueError(
                f"{self._table.name} takes equally long columns named {list(self._columns)}, "
                f"not { ({name: len(values) for name, values in columns.items()}) }"
            )
        for name, values in columns.items():
            self._columns[name].extend(values)

    def columns(self) -> dict[str, list[object]]:
        """A copy of the rows, by column."""
        return {name: list(values) for name, values in self._columns.items()}

    def write(self, target: PartTarget) -> tuple[TableContent, Path | None]:
        """Write the rows, sorted, so that the calls leave no trace; the file too if it is new."""
        table = self._table
        rows = sorted(zip(*self._columns.values(), strict=True))
        if not rows:
            return TableContent.of(target, []), None
        writer = PartWriter(target, 0)
        try:
            for start in range(0, len(rows), table.group_rows):
                group = zip(*rows[start : start + table.group_rows], strict=True)
                writer.write([in_memory(*pair) for pair in zip(table.schema, group, strict=True)])
            part, new_file = writer.finish()
        except BaseException:
            writer.abort()
            raise
        return TableContent.of(target, [part]), new_file


class _Document(msgspec.Struct):
    """What is read of what lobproof wrote into a part's metadata; there is more."""

    dt: str
    part: Count
    leaves: str


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
