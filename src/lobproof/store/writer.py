"""``DayWriter``: one symbol-day's events, states, keyframes and findings into Parquet parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, StateBatch
from lobproof.schema.tables import (
    CONTENT_TABLES,
    EVENTS,
    KEYFRAMES,
    MINUTES,
    PART_ROWS,
    QUALITY,
    STATES,
    Table,
)
from lobproof.store.commit import clean_partition
from lobproof.store.content import DayContent, TableContent, grid_of
from lobproof.store.groups import GroupWriter, memory_type
from lobproof.store.hashing import Column, table_hash
from lobproof.store.keyframe import Keyframe
from lobproof.store.layout import Partition, make_folder, sync_folder
from lobproof.store.lock import require_lock
from lobproof.store.parts import PartTarget, PartWriter

_BUFFERS = {EVENTS.name: 3, STATES.name: 2, KEYFRAMES.name: 2}
"""Row groups of a table in memory: 16 MiB each of events, 45 MiB of states."""
_STATE_ROWS = 1024
"""States are copied so many at a time: their levels come by row and leave by column."""


class DayWriter:
    """Writes one partition. The symbol's lock (`symbol_lock`) must be held from here to the commit.

    Files appear under temporary names, are synced and renamed; nothing is visible to readers
    before `lobproof.store.commit_day`. What an earlier writer left in the partition without
    committing it is deleted first. As a context manager it aborts unless it was closed.

    Parameters
    ----------
    root
        The store; it is created if it does not exist.
    instrument
        Names the partition and its decimal grid.
    dt
        The day, YYYY-MM-DD.
    states
        Whether `append` takes states.
    part_rows
        An events part closes at the first message end at or after this many rows.
    """

    def __init__(
        self,
        root: Path,
        instrument: Instrument,
        dt: str,
        *,
        states: bool = True,
        part_rows: int = PART_ROWS,
    ) -> None:
        self._root = root
        self._instrument = instrument
        self._partition = Partition(instrument.exchange, instrument.symbol, dt)
        require_lock(root, instrument.exchange, instrument.symbol)
        clean_partition(root, self._partition)
        self._take_states = states
        self._part_rows = part_rows
        self._writers = {name: GroupWriter(self._target(name), n) for name, n in _BUFFERS.items()}
        self._small: dict[str, dict[str, list[object]]] = {
            table.name: {name: [] for name in table.schema.names} for table in (QUALITY, MINUTES)
        }
        self._new_files: list[Path] = []
        self._open = True
        self._rows = 0
        self._part_start = 0
        self._part_ends: list[int] = []  # last event id of each closed part of events
        self._frame_part = 0  # closed parts that the keyframes' current part is past
        self._last_frame = -2
        self._last_state = -1
        self._first_ts = 0
        self._last_ts = 0

    def _target(self, name: str) -> PartTarget:
        table = next(table for table in CONTENT_TABLES if table.name == name)
        make_folder(self._root, f"{name}/{self._partition.folder}")
        return PartTarget(self._root, table, self._partition, grid_of(self._instrument))

    @property
    def rows(self) -> int:
        """Events so far: the id of the next one."""
        return self._rows

    def append(self, events: EventBatch, states: StateBatch) -> None:
        """Append whole messages and the states at ends of messages among them.

        Event ids are implicit: 0, 1, 2 … in the order of the calls. Each state carries the id of
        the event that it follows.

        Raises
        ------
        ValueError
            If a batch ends inside a message, time runs backwards, or a state belongs to no event
            of the batch.
        LobproofError
            If encoding an earlier row group failed (`GridError`: the grid overflows).
        """
        count = len(events)
        if count:
            self._check(events)
        self._check_states(states, count)
        if count:
            if self._rows == 0:
                self._first_ts = int(events.ts_order[0])
            self._last_ts = int(events.ts_order[-1])
        start, state = 0, 0
        while start < count:
            stop, closes = self._part_end(events.flags, start)
            self._append_events(events.slice(start, stop))
            upto = int(np.searchsorted(states.event_id, self._rows))
            self._append_states(states.slice(state, upto))
            if closes:
                self._close_part()
            start, state = stop, upto

    def keyframe(self, frame: Keyframe) -> None:
        """Append a keyframe; events up to its own must have been appended.

        Raises
        ------
        ValueError
            If keyframes are not in order of their events, or ahead of them.
        """
        if not self._last_frame < frame.event_id < max(self._rows, 1) or frame.event_id < -1:
            raise ValueError(
                f"keyframe of event {frame.event_id} after that of {self._last_frame}, "
                f"with {self._rows} events written"
            )
        self._last_frame = frame.event_id
        while (
            self._frame_part < len(self._part_ends)
            and frame.event_id > self._part_ends[self._frame_part]
        ):
            self._writers[KEYFRAMES.name].cut()
            self._frame_part += 1
        self._writers[KEYFRAMES.name].append(frame.columns())

    def quality(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append findings: equally long sequences by column name, in any order of rows."""
        self._append_small(QUALITY, columns)

    def minutes(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append minutes: equally long sequences by column name; volumes are grid counts."""
        self._append_small(MINUTES, columns)

    def close(self) -> DayContent:
        """Write what is buffered and wait for the disk; nothing is committed yet.

        Raises
        ------
        LobproofError, OSError
            If encoding or writing failed, now or earlier.
        """
        tables = {name: writer.close() for name, writer in self._writers.items()}
        tables |= {table.name: self._write_small(table) for table in (QUALITY, MINUTES)}
        for name in tables:
            sync_folder(self._root / name / self._partition.folder)
        self._open = False
        return DayContent(
            root=self._root,
            instrument=self._instrument,
            partition=self._partition,
            tables={table.name: tables[table.name] for table in CONTENT_TABLES},
            first_ts=self._first_ts,
            last_ts=self._last_ts,
        )

    def abort(self) -> None:
        """Stop, and remove the files that this writer added. Nothing happens after `close`.

        A closed day that is never committed is deleted by the partition's next writer.
        """
        if self._open:
            self._open = False
            for writer in self._writers.values():
                writer.abort()
            for path in self._new_files:
                path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort, unless the day was closed."""
        self.abort()

    def _check(self, events: EventBatch) -> None:
        if not events.flags[-1] & Flag.LAST:
            raise ValueError("a batch of events ends inside a message")
        if events.ts_order[0] < self._last_ts or (np.diff(events.ts_order) < 0).any():
            raise ValueError("ts_order of the events decreases")

    def _check_states(self, states: StateBatch, count: int) -> None:
        ids = states.event_id
        if not len(ids):
            return
        if not self._take_states:
            raise ValueError("this writer was made without states")
        inside = ids[0] >= self._rows and ids[-1] < self._rows + count
        if not inside or (np.diff(ids) <= 0).any():
            raise ValueError("states do not belong to the events of their batch, in order")

    def _part_end(self, flags: NDArray[np.int32], start: int) -> tuple[int, bool]:
        """Where the rows from ``start`` that go to this part stop, and whether that closes it."""
        first = start + max(self._part_rows - (self._rows - self._part_start) - 1, 0)
        ends = np.flatnonzero(flags[first:] & Flag.LAST)
        return (first + int(ends[0]) + 1, True) if len(ends) else (len(flags), False)

    def _append_events(self, events: EventBatch) -> None:
        ids = np.arange(self._rows, self._rows + len(events), dtype=np.int64)
        columns = [getattr(events, name) for name in EVENTS.schema.names[1:]]
        self._writers[EVENTS.name].append([ids, *columns])
        self._rows += len(events)

    def _append_states(self, states: StateBatch) -> None:
        for start in range(0, len(states), _STATE_ROWS):
            rows = states.slice(start, start + _STATE_ROWS)
            self._writers[STATES.name].append(
                [
                    rows.event_id,
                    rows.ts_order,
                    rows.ts_event,
                    rows.sequence,
                    *rows.levels.T,
                    rows.bid_trusted,
                    rows.ask_trusted,
                    rows.flags,
                ]
            )

    def _close_part(self) -> None:
        self._writers[EVENTS.name].cut()
        self._writers[STATES.name].cut()
        self._part_ends.append(self._rows - 1)
        self._part_start = self._rows

    def _append_small(self, table: Table, columns: Mapping[str, Sequence[object]]) -> None:
        lengths = {len(values) for values in columns.values()}
        if set(columns) != set(table.schema.names) or len(lengths) > 1:
            raise ValueError(
                f"{table.name} takes equally long columns named {table.schema.names}, "
                f"not { ({name: len(values) for name, values in columns.items()}) }"
            )
        for name, values in columns.items():
            self._small[table.name][name].extend(values)

    def _write_small(self, table: Table) -> TableContent:
        """Write a small table as one part, its rows sorted, so that the calls leave no trace."""
        target = self._target(table.name)
        rows = sorted(zip(*self._small[table.name].values(), strict=True))
        if not rows:
            return TableContent((), table_hash(target.head, []))
        writer = PartWriter(target, 0)
        try:
            for start in range(0, len(rows), table.group_rows):
                writer.write(_columns(table, rows[start : start + table.group_rows]))
            part, new_file = writer.finish()
        except BaseException:
            writer.abort()
            raise
        if new_file is not None:
            self._new_files.append(new_file)
        return TableContent((part,), table_hash(target.head, [(part.rows, part.leaves)]))


def _columns(table: Table, rows: Sequence[Sequence[object]]) -> list[Column]:
    """Rows as the columns of a table in memory."""
    columns: list[Column] = []
    for field, values in zip(table.schema, zip(*rows, strict=True), strict=True):
        if str(field.type) == "string":
            columns.append([str(value) for value in values])
        else:
            columns.append(np.array(values, memory_type(field.type)))
    return columns
