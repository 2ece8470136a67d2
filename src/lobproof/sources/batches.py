"""Batches of sources: best bids and asks as announced, and any batch cut to a length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lobproof.errors import UsageError
from lobproof.schema import EventBatch, Flag, Int64, VendorBatch
from lobproof.schema.batch import Columns


@dataclass(slots=True)
class TickerBatch(Columns):
    """One row per announcement, keyed by update id; counts on the instrument's grid, times in ns.

    ``ts_event`` is 0 where the venue gives none. An empty side has price 0 and size 0.
    """

    sequence: Int64
    ts_event: Int64
    ts_recv: Int64
    bid: Int64
    bid_size: Int64
    ask: Int64
    ask_size: Int64

    @classmethod
    def empty(cls, rows: int = 0) -> TickerBatch:
        """A batch of ``rows`` zeroed rows."""
        return cls(*(np.zeros(rows, np.int64) for _ in range(7)))


B = TypeVar("B", EventBatch, VendorBatch, TickerBatch)


def message_ends(batch: EventBatch) -> Int64:
    """Rows behind each message's last."""
    return np.flatnonzero(batch.flags & int(Flag.LAST)) + 1


def row_ends(batch: TickerBatch | VendorBatch | EventBatch) -> Int64:
    """Rows behind each row: where a row is whole by itself."""
    return np.arange(1, len(batch) + 1)


def cut(batches: Iterator[B], rows: int, ends_of: Callable[[B], Int64]) -> Iterator[B]:
    """The same rows in batches that close at the first end at or after ``rows`` rows.

    Raises
    ------
    UsageError
        For less than one row a batch.
    """
    if rows < 1:
        raise UsageError(f"batches of {rows} rows", hint="batch_rows must be at least 1")
    return _cut(batches, rows, ends_of)


def _cut(batches: Iterator[B], rows: int, ends_of: Callable[[B], Int64]) -> Iterator[B]:
    held: list[B] = []
    count = 0
    for batch in batches:
        if not len(batch):
            continue
        held.append(batch)
        count += len(batch)
        if count < rows:
            continue
        joined = type(batch).concat(held)
        ends = ends_of(joined)
        start = 0
        while (at := int(np.searchsorted(ends, start + rows))) < len(ends):
            stop = int(ends[at])
            yield joined.slice(start, stop)
            start = stop
        held = [joined.slice(start, count)] if start < count else []
        count -= start
    if held:
        yield type(held[0]).concat(held)
