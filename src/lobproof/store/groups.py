"""Row-group buffers of one table, encoded on a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.store.content import TableContent
from lobproof.store.hashing import table_hash
from lobproof.store.parts import Part, PartTarget, PartWriter

Buffer = list[NDArray[np.generic]]
Result = TypeVar("Result")


def memory_type(kind: pa.DataType) -> type[np.generic]:
    """NumPy type of a numeric column in memory; decimals are int64 grid counts."""
    if pa.types.is_decimal(kind):
        return np.int64
    numpy_type: type[np.generic] = np.dtype(kind.to_pandas_dtype()).type
    return numpy_type


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
            closed = self._thread.submit(self._unbroken, self._finish)
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
        head = self._target.head
        parts = tuple(future.result() for future in self._closed)
        return TableContent(parts, table_hash(head, ((part.rows, part.leaves) for part in parts)))

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
            encoded = self._thread.submit(self._unbroken, lambda: self._encode(rows))
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
