"""Batches of sources: best bids and asks as announced, and any batch cut to a length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
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


def behind(batches: Iterator[EventBatch], rows: int) -> Iterator[EventBatch]:
    """The batches without their first ``rows`` rows."""
    left = rows
    for batch in batches:
        if left < len(batch):
            yield batch.slice(left, len(batch)) if left else batch
        left -= min(left, len(batch))


HELD_ROWS = 1 << 20


class Together:
    """Streams out of one pass, for a reader that takes all at about the same pace.

    What the others have not taken yet is held. Where they hold more than ``held_rows``, as when
    there is no trade for hours, the stream that finds nothing goes on in a pass of its own.

    Parameters
    ----------
    parts
        The pass: the next rows of each stream, which may be none.
    alone
        Begins a pass for one stream, from its start.
    skipped
        Rows that each stream leaves out.
    """

    def __init__(
        self,
        parts: Iterator[Sequence[EventBatch]],
        alone: Sequence[Callable[[], Iterator[EventBatch]]],
        skipped: Sequence[int],
        *,
        held_rows: int = HELD_ROWS,
    ) -> None:
        self._parts = parts
        self._alone = alone
        self._left = list(skipped)  # rows to leave out of what comes
        self._held: list[deque[EventBatch]] = [deque() for _ in alone]
        self._limit = held_rows
        self._gone = [False for _ in alone]
        self._failure: Exception | None = None
        self.streams = [self._stream(which, rows) for which, rows in enumerate(skipped)]

    def _stream(self, which: int, skipped: int) -> Iterator[EventBatch]:
        held = self._held[which]
        given = skipped
        while held or self._pull():
            if held:
                given += len(held[0])
                yield held.popleft()
            elif sum(len(batch) for other in self._held for batch in other) > self._limit:
                self._gone[which] = True
                yield from behind(self._alone[which](), given)
                return

    def _pull(self) -> bool:
        """Take the next of the pass; False at its end."""
        if self._failure is not None:  # a pass that broke off has no end, for any of them
            raise self._failure
        try:
            part = next(self._parts, None)
        except Exception as failure:
            self._failure = failure
            raise
        for which, batch in enumerate(part or ()):
            start = min(self._left[which], len(batch))
            self._left[which] -= start
            if start < len(batch) and not self._gone[which]:
                self._held[which].append(batch.slice(start, len(batch)))
        return part is not None
