"""A task that checkpoints: days written with breaks, and what is to be the same without."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lobproof.schema import Flag
from lobproof.schema.tables import CONTENT_TABLES
from lobproof.store import (
    DayContent,
    DayWriter,
    Partition,
    checkpoint_path,
    read_checkpoint,
    symbol_lock,
)
from support.batches import Day

TASK = "0123456789abcdef" * 4
STATE = np.arange(1000, dtype=np.int64)
"""Stands for the caller's own state."""


class Killed(Exception):
    """Thrown where the process would have died."""


def partition_of(day: Day) -> Partition:
    return Partition(day.instrument.exchange, day.instrument.symbol, day.dt)


def path_of(root: Path, day: Day) -> Path:
    return checkpoint_path(root, partition_of(day), TASK)


def open_writer(root: Path, day: Day, part_rows: int) -> DayWriter:
    """A writer that goes on from the checkpoint if there is one, or begins anew."""
    saved = read_checkpoint(path_of(root, day))
    if saved is None:
        return DayWriter(root, day.instrument, day.dt, part_rows=part_rows)
    assert np.array_equal(saved.arrays["state"], STATE + saved.document["rows"])
    writer = DayWriter.resume(root, day.instrument, day.dt, saved, part_rows=part_rows)
    assert writer.rows == saved.document["rows"]
    return writer


def write_rest(
    writer: DayWriter,
    root: Path,
    day: Day,
    rng: random.Random,
    *,
    at_part_end: Callable[[], None] = lambda: None,
    late_frames: bool = False,
) -> DayContent:
    """Append what a day still lacks, with a checkpoint at each part's end, and close it.

    Batches are random but end where parts do. Half of the small tables' rows come with the first
    events, the others at the end. ``late_frames``: a keyframe comes as late as it may, so that
    one of a part's last event is appended after the checkpoint.
    """
    events, ids = day.events, day.states.event_id
    ends = np.flatnonzero(events.flags & Flag.LAST) + 1
    frames = [frame for frame in day.frames if frame.event_id > writer._at.last_frame]
    tables = {name: (getattr(day, name), getattr(writer, name)) for name in ("quality", "minutes")}
    if writer.rows == 0:
        for columns, append in tables.values():
            append({name: values[:2] for name, values in columns.items()})
    while writer.rows < len(events):
        start = writer.rows
        while late_frames and frames and frames[0].event_id < start:
            writer.keyframe(frames.pop(0))
        first = int(np.searchsorted(ends, start, side="right"))
        closing = int(np.searchsorted(ends, start + writer.room))
        chosen = min(first + rng.choice([0, 1, 5, 30, 1000]), closing, len(ends) - 1)
        stop = int(ends[chosen])
        low, high = np.searchsorted(ids, [start, stop])
        writer.append(events.slice(start, stop), day.states.slice(int(low), int(high)))
        assert writer.at_part_end == (chosen == closing)
        while not late_frames and frames and frames[0].event_id < stop:
            writer.keyframe(frames.pop(0))
        if writer.at_part_end:
            state = STATE + writer.rows
            writer.checkpoint(path_of(root, day), {"rows": writer.rows}, {"state": state})
            state[:] = -1  # the caller goes on at once
            at_part_end()
    for frame in frames:
        writer.keyframe(frame)
    for columns, append in tables.values():
        append({name: values[2:] for name, values in columns.items()})
    return writer.close()


def write_day(
    root: Path, day: Day, rng: random.Random, *, part_rows: int, late_frames: bool = False
) -> DayContent:
    """Write a day, or the rest of one; nothing is committed."""
    with (
        symbol_lock(root, day.instrument.exchange, day.instrument.symbol),
        open_writer(root, day, part_rows) as writer,
    ):
        return write_rest(writer, root, day, rng, late_frames=late_frames)


def stop_dead(writer: DayWriter, *, with_checkpoint: bool = True) -> None:
    """Stop a writer as a kill would, but between two pieces of work; its files stay.

    ``with_checkpoint``: the kill comes after the last checkpoint was written, not before.
    """
    writer._open = False
    if not with_checkpoint:
        writer._checkpoints._thread.shutdown(wait=False, cancel_futures=True)
    writer._checkpoints.abort()
    for group in writer._writers.values():
        group._thread.shutdown(cancel_futures=True)


def data_files(root: Path) -> dict[str, bytes]:
    """Name → bytes of all that lies in the folders of the content tables, logs apart."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for table in CONTENT_TABLES
        for path in sorted((root / table.name).rglob("*part-*"))
        if path.is_file()
    }
