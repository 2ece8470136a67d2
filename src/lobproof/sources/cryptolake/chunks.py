"""Rows of a table's files as chunks of Arrow columns: from any row on, or spans over the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.errors import InputError
from lobproof.parquet import open_parquet, texts
from lobproof.schema import Int8, Int64
from lobproof.sources.cryptolake.decode_kernels import text_ids
from lobproof.sources.cryptolake.layout import actual_names, type_problem

AGAIN = "download the file again"
TAKERS = ("buy", "sell")
CHUNK_ROWS = 1 << 15
"""Rows at a time: more do not fit into a core's caches."""
BOOK_CHUNK_ROWS = 1 << 12
"""The same for ``book``, whose rows are eighty numbers wide."""

V = TypeVar("V", bound=np.generic)
Span = tuple[int, int]
"""First row, and the first one no more, of all rows of a table's files."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one file: raw column name → values; ``first_row`` counts from the file's."""

    table: str
    path: Path
    first_row: int
    columns: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def slice(self, start: int, stop: int) -> Chunk:
        """Rows ``start:stop`` of it."""
        columns = {raw: column.slice(start, stop - start) for raw, column in self.columns.items()}
        return Chunk(self.table, self.path, self.first_row + start, columns)

    def where(self, row: int) -> str:
        """A row of the chunk in words: its file, and the row as the file counts, from 0."""
        return f"{self.path}, row {self.first_row + row}"


class LakeFile:
    """An open Parquet file of a table, its columns checked.

    Raises
    ------
    InputError
        When the file cannot be read, or a column is missing or of another type.
    """

    def __init__(self, table: str, path: Path) -> None:
        self.table = table
        self.path = path
        self._file = _opened(path)
        self.footer: pq.FileMetaData = self._file.metadata
        schema = self.footer.schema.to_arrow_schema()
        try:
            self._names = actual_names(table, schema.names)
        except InputError as error:
            raise InputError(f"{path}: {error.message}", hint=error.hint) from error
        for raw, name in self._names.items():
            problem = type_problem(raw, schema.field(name).type)
            if problem:
                raise InputError(f"{path}: {problem}", hint="this is not the vendor's table")
        self.rows = int(self.footer.num_rows)
        groups = range(self.footer.num_row_groups)
        self.starts: Int64 = np.cumsum([0, *(self.footer.row_group(g).num_rows for g in groups)])
        """First row of each row group, and the sum of rows."""

    def again(self) -> LakeFile:
        """The file opened anew. Its footer is taken over: one of 10,000 row groups takes 50 MB.

        Raises
        ------
        InputError
            When it cannot be opened.
        """
        other = copy(self)
        other._file = _opened(self.path, self.footer)
        return other

    def maybe(self, raw: str, among: Callable[[int, int], bool]) -> list[Span]:
        """Rows of the row groups whose numbers of a column may be ``among`` those asked for.

        ``among`` is asked about the least and the greatest of them; null is a 0. Row groups that
        have no such statistics are among them.
        """
        name = self._names[raw]
        column = next(
            at
            for at in range(self.footer.num_columns)
            if self.footer.schema.column(at).path == name
        )
        runs: list[Span] = []
        for group, first in enumerate(self.starts[:-1].tolist()):
            told = self.footer.row_group(group).column(column).statistics
            if told is not None and told.has_min_max and told.has_null_count:
                ends = [told.min_raw, told.max_raw, *([0] if told.null_count else [])]
                if all(isinstance(end, int) for end in ends) and not among(min(ends), max(ends)):
                    continue
            stop = int(self.starts[group + 1])
            if runs and runs[-1][1] == first:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((first, stop))
        return runs

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def chunks(
        self, columns: Sequence[str], chunk_rows: int, first: int = 0, stop: int | None = None
    ) -> Iterator[Chunk]:
        """The columns (raw names) of rows ``first`` to ``stop`` (by default the last).

        Row groups before ``first`` are not read. A chunk has up to ``chunk_rows`` rows, of one row
        group or of more.

        Raises
        ------
        InputError
            When rows cannot be read, or are not as many as the footer says.
        """
        stop = self.rows if stop is None else stop
        if first >= stop:
            return
        begin = int(np.searchsorted(self.starts, first, side="right")) - 1
        end = int(np.searchsorted(self.starts, stop, side="left"))
        wanted = [self._names[raw] for raw in columns]
        row = int(self.starts[begin])
        try:
            for batch in self._file.iter_batches(
                chunk_rows, row_groups=range(begin, end), columns=wanted, use_threads=False
            ):
                skipped = min(max(first - row, 0), len(batch))
                kept = min(stop - row, len(batch)) - skipped
                if kept > 0:
                    part = texts(batch).slice(skipped, kept)
                    values = {raw: part.column(self._names[raw]) for raw in columns}
                    yield Chunk(self.table, self.path, row + skipped, values)
                row += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"{self.path} cannot be read from row {row:,} on: {_line(error)}",
                hint=AGAIN,
            ) from error
        if row != self.starts[end]:
            raise InputError(
                f"{self.path} ends at row {row:,}, and not at the "
                f"{self.starts[end]:,} of its footer",
                hint=AGAIN,
            )


def _opened(path: Path, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    try:
        return open_parquet(path, footer)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path} cannot be read as a Parquet file: {_line(error)}", hint=AGAIN
        ) from error


AnyFile = Path | LakeFile
"""A file, or one that was looked at before."""


def closed_files(table: str, files: Sequence[AnyFile]) -> list[LakeFile]:
    """The files of a table, looked at and closed again; those that are so already as they are.

    Raises
    ------
    InputError
        As :class:`LakeFile`.
    """
    closed = []
    for file in files:
        closed.append(LakeFile(table, file) if isinstance(file, Path) else file)
        closed[-1].close()
    return closed


def chunks(
    table: str,
    files: Sequence[AnyFile],
    columns: Sequence[str],
    chunk_rows: int,
    start_row: int = 0,
) -> Iterator[Chunk]:
    """The columns of all files, one after the other, from ``start_row`` of all their rows on.

    Raises
    ------
    InputError
        As :class:`LakeFile` and its chunks, and when there are fewer rows than ``start_row``.
    """
    before = 0
    for one in files:
        file = LakeFile(table, one) if isinstance(one, Path) else one.again()
        try:
            yield from file.chunks(columns, chunk_rows, max(start_row - before, 0))
        finally:
            file.close()
        before += file.rows
    if before < start_row:
        raise InputError(
            f"{table} has {before:,} rows, and not the {start_row:,} that were read before",
            hint="the files are others than those; start from the beginning",
        )


def integers(chunk: Chunk, raw: str, missing: int) -> Int64:
    """An integer or timestamp column as int64, read-only; null is ``missing``.

    Raises
    ------
    InputError
        For a number beyond int64.
    """
    return _integers(chunk, chunk.columns[raw], missing)


def ids(chunk: Chunk) -> Int64:
    """Trade ids, integers or text, as int64; -1 for null.

    Text that is no number up to 18 digits (a UUID) becomes one from ``UNORDERED`` up that follows
    from its bytes alone: it tells trades apart, and no order. Empty text is null.
    """
    column = _plain(chunk.columns["id"])
    if pa.types.is_integer(column.type):
        return _integers(chunk, column, -1)
    column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    number = pc.match_substring_regex(column, r"^[0-9]{1,18}$").fill_null(True)
    if pc.all(number).as_py() is not False:
        return _integers(chunk, column, -1)
    text = column.filter(pc.invert(number)).cast(pa.large_string())
    _, offsets, data = text.buffers()
    hashed = np.empty(len(text), np.int64)
    # a filtered array is a copy: it begins at its first offset
    text_ids(np.frombuffer(offsets, np.int64), np.frombuffer(data, np.uint8), hashed)
    told = pc.if_else(number, column, pa.scalar(None, column.type))
    found = _integers(chunk, told, -1).copy()
    found[~number.to_numpy(zero_copy_only=False)] = hashed
    return sealed(found)


def floats(chunk: Chunk, raw: str) -> NDArray[np.float64]:
    """A float64 column, read-only; null is NaN."""
    values = chunk.columns[raw].to_numpy(zero_copy_only=False)
    return sealed(np.asarray(values, np.float64))


def takers(chunk: Chunk) -> Int8:
    """The taker's side of each trade: 1 buy, 2 sell, 0 for null and other text."""
    column = _plain(chunk.columns["side"])
    found = pc.index_in(column, pa.array(TAKERS, column.type)).fill_null(-1)
    return sealed((found.to_numpy(zero_copy_only=False) + 1).astype(np.int8))


def bitmap(chunk: Chunk, raw: str) -> tuple[NDArray[np.uint8], int]:
    """The bits of a bool column, read-only, and the bit of row 0; null is either."""
    column = chunk.columns[raw]
    return np.frombuffer(column.buffers()[1], np.uint8), column.offset


def _plain(column: pa.Array) -> pa.Array:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _integers(chunk: Chunk, column: pa.Array, missing: int) -> Int64:
    if not pa.types.is_int64(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{chunk.where(0)} or a later one: {_line(error)}", hint="ids must fit into int64"
            ) from error
    if column.null_count:
        column = column.fill_null(missing)
    return sealed(np.asarray(column.to_numpy(zero_copy_only=False), np.int64))


def sealed(values: NDArray[V]) -> NDArray[V]:
    """The column, read-only as Arrow's own memory is: kernels are compiled once, for that."""
    values.flags.writeable = False
    return values


def _line(error: BaseException) -> str:
    """An error's text on one line, without folders."""
    return " ".join(str(error).split()).split(" Detail: ")[0]


SPANS = 64
SPAN_ROWS = 1 << 12


def spread(
    rows: int, spans: int = SPANS, length: int = SPAN_ROWS, *, ends: bool = False
) -> list[Span]:
    """``spans`` spans of ``length`` rows, evenly over ``rows``; all rows where they are no more.

    With ``ends`` the first and the last row are among them.
    """
    if rows <= spans * length:
        return [(0, rows)] if rows else []
    if ends:
        starts = [(rows - length) * k // (spans - 1) for k in range(spans)]
        return [(start, start + length) for start in starts]
    middles = (rows * (2 * k + 1) // (2 * spans) for k in range(spans))
    return [(middle - length // 2, middle - length // 2 + length) for middle in middles]


def maybe_rows(
    files: Sequence[LakeFile], raw: str, among: Callable[[int, int], bool]
) -> list[Span]:
    """The spans of :meth:`LakeFile.maybe` in all files of a table."""
    spans: list[Span] = []
    ahead = 0
    for file in files:
        spans += [(ahead + first, ahead + stop) for first, stop in file.maybe(raw, among)]
        ahead += file.rows
    return spans


def read_spans(
    files: Sequence[LakeFile],
    spans: Sequence[Span],
    columns: Sequence[str],
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[tuple[int, Chunk]]:
    """What the spans hold of ``columns`` (raw names), in order, each chunk with its first row.

    That row counts from the first file's; no chunk is of two spans. No row group is read twice.

    Parameters
    ----------
    files
        All files of a table, closed ones.
    spans
        In order, none over another.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    ahead = 0
    for closed in files:
        inside = [
            (max(first - ahead, 0), min(stop - ahead, closed.rows))
            for first, stop in spans
            if first < ahead + closed.rows and stop > ahead
        ]
        file = closed.again()
        try:
            for run in _runs(file, inside):
                for chunk in file.chunks(columns, chunk_rows, run[0][0], run[-1][1]):
                    for first, stop in run:
                        begin = max(first - chunk.first_row, 0)
                        end = min(stop - chunk.first_row, len(chunk))
                        if begin < end:
                            yield ahead + chunk.first_row + begin, chunk.slice(begin, end)
        finally:
            file.close()
        ahead += closed.rows


def _runs(file: LakeFile, spans: Sequence[Span]) -> list[list[Span]]:
    """Spans that share row groups, together."""
    runs: list[list[Span]] = []
    for first, stop in spans:
        begins = np.searchsorted(file.starts, first, side="right")
        if runs and np.searchsorted(file.starts, runs[-1][-1][1] - 1, side="right") == begins:
            runs[-1].append((first, stop))
        else:
            runs.append([(first, stop)])
    return runs
