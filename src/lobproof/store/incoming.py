"""Batches on their way into a store: what they must keep to, and their columns in stored order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import EventBatch, Flag, StateBatch
from lobproof.schema.tables import EVENTS

_LAST = int(Flag.LAST)  # an enum's arithmetic takes longer than an array's
_STATE_ROWS = 1024
"""States are copied so many at a time: their levels come by row and leave by column."""


def check_events(events: EventBatch, last_ts: int) -> int:
    """The last time of whole messages, at least one, from ``last_ts`` on; else a `ValueError`."""
    if not events.flags[-1] & _LAST:
        raise ValueError("a batch of events ends inside a message")
    times = events.ts_order
    if times[0] < last_ts or (times[1:] < times[:-1]).any():
        raise ValueError("ts_order of the events decreases")
    return int(times[-1])


def check_states(states: StateBatch, first: int, count: int) -> None:
    """Raise `ValueError` unless the states belong to the ``count`` events from id ``first`` on."""
    ids = states.event_id
    if len(ids):
        inside = ids[0] >= first and ids[-1] < first + count
        if not inside or (np.diff(ids) <= 0).any():
            raise ValueError("states do not belong to the events of their batch, in order")


def part_end(flags: NDArray[np.int32], start: int, room: int) -> tuple[int, bool]:
    """Where the rows from ``start`` that a part with ``room`` takes end; whether that closes it."""
    first = start + room - 1
    ends = np.flatnonzero(flags[first:] & _LAST)
    return (first + int(ends[0]) + 1, True) if len(ends) else (len(flags), False)


def event_columns(events: EventBatch, first: int) -> list[NDArray[np.generic]]:
    """Columns of ``events``; ids count from ``first``."""
    ids = np.arange(first, first + len(events), dtype=np.int64)
    return [ids, *(getattr(events, name) for name in EVENTS.schema.names[1:])]


def state_columns(states: StateBatch) -> Iterator[list[NDArray[np.generic]]]:
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
