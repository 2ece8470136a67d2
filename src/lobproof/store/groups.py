"""Row-group buffers of one table, encoded on a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.store.content import TableContent
from lobproof.store.hashing import table_hash
from lobproof.store.parts import Part, PartTarget, PartWriter

Buffer = list[NDArray[np.generic]]


def memory_type(kind: pa.DataType) -> type[np.generic]:
    """NumPy type of a numeric column in memory; decimals are int64 grid counts."""
    if pa.types.is_decimal(kind):
        return np.int64
    numpy_type: type[np.generic] = np.dtype(kind.to_pandas_dtype()).type
    return numpy_type


class GroupWriter:
    """Fills preallocated row groups; a background thread hashes, encodes and closes parts.

    At most ``buffers`` row groups exist at a time: the caller waits when all are in flight. An
    error of the thread is raised by the next call that waits for it.
    """

    def __init__(self, target: PartTarget, buffers: int) -> None:
        self._target = target
        self._limit = buffers
        self._types = [memory_type(field.type) for field in target.table.schema]
        self._allocated = 0
        self._free: list[Buffer] = []
        self._buffer: Buffer | None = None
        self._filled = 0
        self._open = False  # the current part holds rows
        self._flying: deque[tuple[Future[None], Buffer | None]] = deque()
        self._thread = ThreadPoolExecutor(1, f"lobproof-{target.table.name}")
        # the encoding thread's own, until it is shut down
        self._part: PartWriter | None = None
        self._parts: list[Part] = []
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
                buffer[here] = column[there]
            self._filled += count
            self._open = True
            start += count
            if self._filled == room:
                self._submit()

    def cut(self) -> None:
        """Close the part, if it holds rows."""
        if self._open:
            self._submit()
            self._flying.append((self._thread.submit(self._finish), None))
            self._open = False

    def close(self) -> TableContent:
        """Close the last part and wait for the thread."""
        self.cut()
        while self._flying:
            self._land()
        self._thread.shutdown()
        head = self._target.head
        digest = table_hash(head, ((part.rows, part.leaves) for part in self._parts))
        return TableContent(tuple(self._parts), digest)

    def abort(self) -> None:
        """Stop the thread and remove the files that this writer added."""
        self._thread.shutdown(cancel_futures=True)
        if self._part is not None:
            self._part.abort()
        for path in self._new_files:
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
            self._flying.append((self._thread.submit(self._encode, rows), self._buffer))
            self._buffer, self._filled = None, 0

    def _encode(self, columns: Buffer) -> None:
        if self._part is None:
            self._part = PartWriter(self._target, len(self._parts))
        self._part.write(columns)

    def _finish(self) -> None:
        if self._part is not None:
            part, new_file = self._part.finish()
            self._parts.append(part)
            if new_file is not None:
                self._new_files.append(new_file)
            self._part = None
