"""Stored events back as ``EventBatch``es: integers on one grid, whole messages, bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.errors import InputError, StoreError, panicked
from lobproof.fixedpoint import from_decimal128
from lobproof.parquet import read_footer
from lobproof.schema import EventBatch, Flag
from lobproof.store.columns import Grid

_COLUMNS = [field.name for field in fields(EventBatch)]
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    InputError,
    pa.ArrowException,
    pl.exceptions.PolarsError,
)


@contextmanager
def reading(place: Path | str) -> Iterator[None]:
    """What cannot be read, or is gone, becomes a StoreError that names ``place``."""
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, _UNREADABLE) or panicked(error)):
            raise
        told = error.message if isinstance(error, InputError) else error
        raise StoreError(
            f"{place} cannot be read: {told}",
            hint="If the store was moved or deleted, open it where it is now. Otherwise "
            "reconstruct that day again.",
        ) from error


def to_batch(rows: pl.DataFrame, grid: Grid) -> EventBatch:
    """Rows of ``events`` as stored, as a batch of counts on ``grid``.

    Raises
    ------
    GridError
        If a stored decimal is not on the grid.
    """
    return EventBatch(
        ts_order=rows["ts_order"].to_numpy(),
        ts_event=rows["ts_event"].to_numpy(),
        ts_recv=rows["ts_recv"].to_numpy(),
        sequence=rows["sequence"].to_numpy(),
        prev_sequence=rows["prev_sequence"].to_numpy(),
        kind=rows["kind"].to_numpy(),
        side=rows["side"].to_numpy(),
        price=from_decimal128(rows["price"].to_arrow(), grid.price),
        size=from_decimal128(rows["size"].to_arrow(), grid.size),
        flags=rows["flags"].to_numpy(),
    )


def events_from(
    paths: Sequence[Path],
    grid: Grid,
    first_id: int = 0,
    until: int | None = None,
    stop_id: int | None = None,
    since: int | None = None,
) -> Iterator[tuple[int, EventBatch]]:
    """A day's events, a row group at a time, with the id of each batch's first event.

    Parameters
    ----------
    paths
        The day's files of ``events`` in order.
    grid
        What prices and sizes are to count.
    first_id, stop_id
        Ids from ``first_id`` (inclusive) to ``stop_id`` (exclusive).
    since, until
        Times ``since <= ts_order <= until``. Row groups outside are not read.

    Raises
    ------
    StoreError
        If a file cannot be read.
    """
    for path in paths:
        with reading(path), pq.ParquetFile(path, metadata=read_footer(path)) as file:
            # Polars reads decimals in an eighth of Arrow's time
            stored = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            start = stop = 0
            for index in range(file.num_row_groups):
                start, stop = stop, stop + file.metadata.row_group(index).num_rows
                ids = statistics(file.metadata, index, "event_id")
                times = statistics(file.metadata, index, "ts_order")
                if ids.max < first_id or (since is not None and times.max < since):
                    continue
                if (until is not None and times.min > until) or (
                    stop_id is not None and ids.min >= stop_id
                ):
                    return
                group = stored.select(_COLUMNS).slice(start, stop - start).collect()
                rows = to_batch(group, grid)
                low, high = max(first_id - ids.min, 0), len(rows)
                if since is not None:
                    low = max(low, int(np.searchsorted(rows.ts_order, since)))
                if until is not None:
                    high = int(np.searchsorted(rows.ts_order, until, "right"))
                if stop_id is not None:
                    high = min(high, stop_id - ids.min)
                if low < high:
                    yield ids.min + low, rows.slice(low, high)


def statistics(footer: pq.FileMetaData, group: int, name: str) -> pq.Statistics:
    """Least and greatest value of an integer column in a row group; ValueError without."""
    place = footer.schema.names.index(name)
    told = footer.row_group(group).column(place).statistics
    if told is None or not told.has_min_max or not isinstance(told.min_raw, int):
        raise ValueError(f"row group {group} does not say which {name} it has")
    return told


def whole_messages(groups: Iterable[tuple[int, EventBatch]]) -> Iterator[tuple[int, EventBatch]]:
    """The same rows, cut at message ends; what follows the last one comes last.

    A message that two groups share comes alone: the rest of a group is not copied.
    """
    tail, start = EventBatch.empty(), 0
    for first, group in groups:
        ends = np.flatnonzero(group.flags & Flag.LAST)
        if not len(ends):
            start = start if len(tail) else first
            tail = EventBatch.concat([tail, group])
            continue
        begin, stop = 0, int(ends[-1]) + 1
        if len(tail):
            begin = int(ends[0]) + 1
            yield start, EventBatch.concat([tail, group.slice(0, begin)])
        if begin < stop:
            yield first + begin, group.slice(begin, stop)
        tail, start = group.slice(stop, len(group)), first + stop
    if len(tail):
        yield start, tail


def replay_day(
    paths: Sequence[Path], grid: Grid, start: int | None, end: int | None, batch_rows: int
) -> Iterator[EventBatch]:
    """A day's events with ``start <= ts_order < end`` in batches of whole messages.

    A batch ends at the last message end within ``batch_rows``, or at the first one beyond where a
    single message is longer. Rows behind the last message end come last.
    """
    until = None if end is None else end - 1
    for _, rows in whole_messages(events_from(paths, grid, until=until, since=start)):
        ends = np.flatnonzero(rows.flags & Flag.LAST) + 1
        if not len(ends):
            ends = np.array([len(rows)])
        done = 0
        while done < len(rows):
            index = max(int(np.searchsorted(ends, done + batch_rows, "right")) - 1, 0)
            if ends[index] <= done:
                index += 1
            yield rows.slice(done, int(ends[index]))
            done = int(ends[index])
