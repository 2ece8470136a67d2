"""``DayWriter``: one symbol-day's events, states, keyframes and findings into Parquet parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lobproof.files import make_folder, sync_folder
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
)
from lobproof.store.checkpoint import (
    KEY,
    SMALL,
    CheckpointThread,
    Progress,
    Restored,
    Saved,
    drop_checkpoints,
    restore,
    write_checkpoint,
)
from lobproof.store.columns import Grid
from lobproof.store.commit import clean_partition
from lobproof.store.keyframe import Keyframe
from lobproof.store.layout import Partition
from lobproof.store.lock import require_lock
from lobproof.store.parts import DayContent, GroupWriter, Part, PartTarget, SmallRows

_BUFFERS = {EVENTS.name: 3, STATES.name: 2, KEYFRAMES.name: 2}
"""Row groups of a table in memory: 16 MiB each of events, 45 MiB of states."""
_LAST = int(Flag.LAST)  # an enum's arithmetic takes longer than an array's
_STATE_ROWS = 1024
"""States are copied so many at a time: their levels come by row and leave by column."""


class DayWriter:
    """Writes one partition. The symbol's lock (`symbol_lock`) must be held from here to the commit.

    Files appear under temporary names, are synced and renamed; nothing is visible to readers
    before `lobproof.store.commit_day`. What an earlier writer left in the partition without
    committing it is deleted first (``deleted``), its checkpoints too; `resume` goes on from one.
    As a context manager it aborts unless it was closed.

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
        self._begin(root, instrument, dt, states, part_rows, None)

    @classmethod
    def resume(
        cls,
        root: Path,
        instrument: Instrument,
        dt: str,
        saved: Saved,
        *,
        states: bool = True,
        part_rows: int = PART_ROWS,
    ) -> Self:
        """A writer that goes on where another one was saved; the other one must be gone.

        The finished day is the same as without the break: hashes, names and bytes of its files.
        What neither a commit nor ``saved`` lists is deleted. The other parameters are those of the
        constructor.

        Parameters
        ----------
        saved
            From `lobproof.store.read_checkpoint`, or from `save`.

        Raises
        ------
        CheckpointError
            If it is another day's or of another shape, or a part that it lists is missing or not
            what it was. Nothing has been deleted then.
        StoreError
            If the symbol's lock is not held.
        """
        writer = cls.__new__(cls)
        writer._begin(root, instrument, dt, states, part_rows, saved)
        return writer

    def _begin(
        self,
        root: Path,
        instrument: Instrument,
        dt: str,
        states: bool,
        part_rows: int,
        saved: Saved | None,
    ) -> None:
        self._root = root
        self._instrument = instrument
        self._partition = Partition(instrument.exchange, instrument.symbol, dt)
        require_lock(root, instrument.exchange, instrument.symbol, dt)
        self._take_states = states
        self._part_rows = part_rows
        targets = {name: self._target(name) for name in _BUFFERS}
        start = Restored()
        if saved is None:
            drop_checkpoints(root, self._partition)
        else:
            start = restore(saved, self._identity(), targets)
        self._at = start.position
        self._listed = self._files(start.parts)
        self.deleted = clean_partition(root, self._partition, self._listed)
        self._writers = {
            name: GroupWriter(targets[name], n, start.parts.get(name, ()))
            for name, n in _BUFFERS.items()
        }
        self._small = {table.name: SmallRows(table) for table in SMALL}
        for name, columns in start.small.items():
            self._small[name].append(columns)
        self._frames: list[Keyframe] = []
        for frame in start.frames:
            self._append_frame(frame)
        self._new_files: list[Path] = []
        self._checkpoints = CheckpointThread()
        self._open = True

    def _target(self, name: str) -> PartTarget:
        table = next(table for table in CONTENT_TABLES if table.name == name)
        make_folder(self._root, f"{name}/{self._partition.folder}")
        return PartTarget(self._root, table, self._partition, Grid.of(self._instrument))

    def _identity(self) -> dict[str, object]:
        return {
            **asdict(self._partition),
            "price_exponent": self._instrument.price_exponent,
            "size_exponent": self._instrument.size_exponent,
            "states": self._take_states,
            "part_rows": self._part_rows,
        }

    def _files(self, parts: Mapping[str, Sequence[Part]]) -> frozenset[Path]:
        return frozenset(
            self._root / name / part.path for name, closed in parts.items() for part in closed
        )

    @property
    def rows(self) -> int:
        """Events so far: the id of the next one."""
        return self._at.rows

    @property
    def room(self) -> int:
        """Events that the open part still takes: it closes at the first message end at or after."""
        return self._part_rows - self._at.part_rows

    @property
    def at_part_end(self) -> bool:
        """Whether the last append closed a part of events, and none has been appended since."""
        return self._at.rows > 0 and self._at.part_rows == 0

    def append(self, events: EventBatch | Sequence[EventBatch], states: StateBatch) -> None:
        """Append whole messages and the states at ends of messages among them.

        Event ids are implicit: 0, 1, 2 … in the order of the calls. Each state carries the id of
        the event that it follows. ``events``: a batch, or some that follow each other.

        Raises
        ------
        ValueError
            If a batch ends inside a message, time runs backwards, or a state belongs to no event
            of the batches.
        LobproofError
            If encoding an earlier row group failed (`GridError`: the grid overflows).
        OSError
            If the disk refused it, or an earlier checkpoint.
        """
        self._checkpoints.check()
        given = [events] if isinstance(events, EventBatch) else events
        batches = [batch for batch in given if len(batch)]
        last_ts = self._at.last_ts
        for batch in batches:
            last_ts = _check_events(batch, last_ts)
        if len(states) and not self._take_states:
            raise ValueError("this writer was made without states")
        _check_states(states, self._at.rows, sum(map(len, batches)))
        if self._at.rows == 0:
            self._at.first_ts = int(batches[0].ts_order[0]) if batches else 0
        self._at.last_ts = last_ts
        done = 0
        for batch in batches:
            start = 0
            while start < len(batch):
                stop, closes = _part_end(batch.flags, start, self.room)
                part = batch if stop - start == len(batch) else batch.slice(start, stop)
                self._writers[EVENTS.name].append(_event_columns(part, self._at.rows))
                self._at.rows += len(part)
                start = stop
                if closes:
                    done = self._append_states(states, done)
                    for table in (EVENTS, STATES):
                        self._writers[table.name].cut()
                    self._at.part_ends.append(self._at.rows - 1)
        self._append_states(states, done)

    def _append_states(self, states: StateBatch, done: int) -> int:
        """Append the states up to the last event, but for those ``done``; how many that makes."""
        upto = int(np.searchsorted(states.event_id, self._at.rows))
        for columns in _state_columns(states.slice(done, upto)):
            self._writers[STATES.name].append(columns)
        return upto

    def keyframe(self, frame: Keyframe) -> None:
        """Append a keyframe; events up to its own must have been appended.

        Raises
        ------
        ValueError
            If keyframes are not in order of their events, or ahead of them.
        """
        if self._at.put_frame(int(frame.event_id)):
            self._writers[KEYFRAMES.name].cut()
            self._frames.clear()
        self._append_frame(frame)

    def quality(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append findings: equally long sequences by column name, in any order of rows."""
        self._small[QUALITY.name].append(columns)

    def minutes(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append minutes: equally long sequences by column name; volumes are grid counts."""
        self._small[MINUTES.name].append(columns)

    def save(self) -> Saved:
        """All that `resume` needs; waits until the closed parts are on the disk.

        Only at the end of a part (`at_part_end`), or before the first event. Keyframes and rows of
        the small tables are saved as far as they were appended.

        Raises
        ------
        ValueError
            If a part is open.
        LobproofError, OSError
            If a part could not be written.
        """
        return self._durable(self._progress())

    def checkpoint(
        self,
        path: Path,
        document: Mapping[str, object],
        arrays: Mapping[str, NDArray[np.generic]],
    ) -> None:
        """Write a checkpoint of what is so far: what `save` gives, and the caller's own state.

        The state is copied before this returns; a thread writes the file as soon as all parts that
        it lists are on the disk. Of checkpoints that wait for that only the newest is written. An
        error of the thread is raised by the next `append`, `checkpoint` or `close`.

        Parameters
        ----------
        path
            From `lobproof.store.checkpoint_path`.
        document, arrays
            As `lobproof.store.write_checkpoint` takes them, without the key ``"day writer"`` and
            names below it.

        Raises
        ------
        ValueError, TypeError
            If a part is open, or the document cannot be JSON.
        LobproofError, OSError
            If an earlier checkpoint could not be written.
        """
        if any(name.split("/")[0] == KEY for name in (*document, *arrays)):
            raise ValueError(f"{KEY!r} in a checkpoint is the writer's own")
        progress = self._progress()
        document = json.loads(json.dumps(document))
        arrays = {name: array.copy() for name, array in arrays.items()}

        def write() -> None:
            saved = self._durable(progress)
            write_checkpoint(path, {**document, **saved.document}, {**arrays, **saved.arrays})
            self._listed = self._files(
                {name: [part.result() for part in parts] for name, parts in progress.parts.items()}
            )

        self._checkpoints.submit(write)

    def close(self) -> DayContent:
        """Write what is buffered and wait for the disk, checkpoints too; nothing is committed yet.

        Raises
        ------
        LobproofError, OSError
            If encoding or writing failed, now or earlier.
        """
        tables = {name: writer.close() for name, writer in self._writers.items()}
        self._checkpoints.close()
        for name, rows in self._small.items():
            tables[name], new_file = rows.write(self._target(name))
            if new_file is not None:
                self._new_files.append(new_file)
        self._sync_folders(tables)
        self._open = False
        return DayContent(
            root=self._root,
            instrument=self._instrument,
            partition=self._partition,
            tables={table.name: tables[table.name] for table in CONTENT_TABLES},
            first_ts=self._at.first_ts,
            last_ts=self._at.last_ts,
        )

    def abort(self) -> None:
        """Stop, and remove the files that this writer added, but those of the last checkpoint.

        Nothing happens after `close`. What is left without a commit – by a close, or for a
        checkpoint – is deleted by the partition's next writer, unless it resumes.
        """
        if self._open:
            self._open = False
            self._checkpoints.abort()
            for writer in self._writers.values():
                writer.abort(self._listed)
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

    def _append_frame(self, frame: Keyframe) -> None:
        # their part closes later than that of the events: a checkpoint carries them until then
        self._frames.append(frame)
        self._writers[KEYFRAMES.name].append(frame.columns())

    def _progress(self) -> Progress:
        if self._at.part_rows:
            raise ValueError(f"a day is saved at ends of parts, not {self._at.part_rows} events on")
        return Progress(
            identity=self._identity(),
            position=self._at.copy(),
            parts={name: writer.closed() for name, writer in self._writers.items()},
            frames=tuple(self._frames),
            small={name: rows.columns() for name, rows in self._small.items()},
        )

    def _durable(self, progress: Progress) -> Saved:
        saved = progress.saved()
        self._sync_folders(progress.parts)
        return saved

    def _sync_folders(self, tables: Iterable[str]) -> None:
        for name in tables:
            sync_folder(self._root / name / self._partition.folder)


def _check_events(events: EventBatch, last_ts: int) -> int:
    """The last time of whole messages, at least one, from ``last_ts`` on; else a `ValueError`."""
    if not events.flags[-1] & _LAST:
        raise ValueError("a batch of events ends inside a message")
    times = events.ts_order
    if times[0] < last_ts or (times[1:] < times[:-1]).any():
        raise ValueError("ts_order of the events decreases")
    return int(times[-1])


def _check_states(states: StateBatch, first: int, count: int) -> None:
    """Raise `ValueError` unless the states belong to the ``count`` events from id ``first`` on."""
    ids = states.event_id
    if len(ids):
        inside = ids[0] >= first and ids[-1] < first + count
        if not inside or (np.diff(ids) <= 0).any():
            raise ValueError("states do not belong to the events of their batch, in order")


def _part_end(flags: NDArray[np.int32], start: int, room: int) -> tuple[int, bool]:
    """Where the rows from ``start`` that a part with ``room`` takes end; whether that closes it."""
    first = start + room - 1
    if first >= len(flags):
        return len(flags), False
    ends = np.flatnonzero(flags[first:] & _LAST)
    return (first + int(ends[0]) + 1, True) if len(ends) else (len(flags), False)


def _event_columns(events: EventBatch, first: int) -> list[NDArray[np.generic]]:
    """Columns of ``events``; ids count from ``first``."""
    ids = np.arange(first, first + len(events), dtype=np.int64)
    return [ids, *(getattr(events, name) for name in EVENTS.schema.names[1:])]


def _state_columns(states: StateBatch) -> Iterator[list[NDArray[np.generic]]]:
    """Columns of ``states``, some rows at a time."""
    for start in range(0, len(states), _STATE_ROWS):
        rows = states.slice(start, start + _STATE_ROWS)
        yield [
            rows.event_id,
            rows.ts_order,
            rows.ts_event,
            rows.sequence,
            *rows.levels.T,
            rows.bid_trusted,
            rows.ask_trusted,
            rows.flags,
        ]
