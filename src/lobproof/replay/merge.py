"""Two streams into one order: by ``ts_order``, the book first on a tie, then source order.

The book comes first on a tie because, as measured on recordings (TABLES), a depth message with
E = T almost never reflects that trade: the next one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lobproof.replay.clock_kernels import CLOCK, CLOCK_STATE, order_times
from lobproof.schema import EventBatch, Int64

TOLERANCE_NS = 60_000_000_000
"""An exchange time further than this from the corrected receive time is not believed."""


class StreamClock:
    """Running clock of one stream: sets ``ts_order`` and flags times that cannot be used.

    Parameters
    ----------
    offset_ns
        Recorder's clock minus the exchange's, as measured over the input.
    receive_days
        Days since 1970 that are ordered by the corrected receive time: too many times are missing.
    """

    def __init__(self, offset_ns: int, *, receive_days: Sequence[int] = ()) -> None:
        self._state = np.zeros(CLOCK_STATE, np.int64)
        self._offset = offset_ns
        self._receive_days = np.array(receive_days, np.int64)

    def stamp(self, batch: EventBatch) -> EventBatch:
        """Set ``batch.ts_order`` and ``BAD_TS`` in place; returns the batch."""
        order_times(
            self._state,
            batch.kind,
            batch.ts_event,
            batch.ts_recv,
            batch.sequence,
            batch.flags,
            self._offset,
            TOLERANCE_NS,
            self._receive_days,
            batch.ts_order,
        )
        return batch

    def stamp_by_receive(self, batch: EventBatch) -> EventBatch:
        """Set ``ts_order`` of a stream in which no row has a time: by the corrected receive time.

        In place, and flagged by :meth:`stamp` before; returns the batch.
        """
        known = np.where(batch.ts_recv > 0, batch.ts_recv - self._offset, 0)
        times = np.maximum.accumulate(known)
        times[times == 0] = times[times > 0][0] if times[-1] > 0 else 0
        batch.ts_order[:] = times
        return batch

    def started(self) -> bool:
        """Whether a row with a time has been seen."""
        return bool(self._state[CLOCK] > 0)

    def save(self) -> dict[str, Int64]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        return {"state": self._state.copy()}

    def load(self, saved: dict[str, Int64]) -> None:
        """Continue from what :meth:`save` returned."""
        self._state[:] = saved["state"]


def stamped(batches: Iterator[EventBatch], clock: StreamClock) -> Iterator[EventBatch]:
    """Batches with ``ts_order`` set; leading rows without a time wait for the first with one.

    Where none comes they take the corrected receive time.
    """
    waiting: list[EventBatch] = []
    for batch in batches:
        if len(batch) == 0:
            continue
        if clock.started():
            yield clock.stamp(batch)
            continue
        waiting.append(batch)
        joined = EventBatch.concat(waiting).copy()
        probe = clock.stamp(joined)
        if clock.started():
            waiting = []
            yield probe
    if waiting:
        yield clock.stamp_by_receive(clock.stamp(EventBatch.concat(waiting).copy()))


def merge(book: Iterator[EventBatch], trades: Iterator[EventBatch]) -> Iterator[EventBatch]:
    """Merge two stamped streams; holds one batch of each at a time."""
    left = next(book, None)
    right = next(trades, None)
    while left is not None and right is not None:
        # a later book batch may still hold this time, and goes before trades of it
        left_ready = int(np.searchsorted(left.ts_order, right.ts_order[-1], side="right"))
        right_ready = int(np.searchsorted(right.ts_order, left.ts_order[-1], side="left"))
        yield _interleave(left.slice(0, left_ready), right.slice(0, right_ready))
        left = left.slice(left_ready, len(left))
        right = right.slice(right_ready, len(right))
        if len(left) == 0:
            left = next(book, None)
        if len(right) == 0:
            right = next(trades, None)
    rest, more = (left, book) if left is not None else (right, trades)
    if rest is not None:
        yield rest
        yield from more


def _interleave(left: EventBatch, right: EventBatch) -> EventBatch:
    if len(right) == 0:
        return left
    if len(left) == 0:
        return right
    joined = EventBatch.concat([left, right])
    before = np.searchsorted(left.ts_order, right.ts_order, side="right")
    index = np.empty(len(joined), np.intp)
    slots = before + np.arange(len(right))
    taken = np.zeros(len(joined), np.bool_)
    taken[slots] = True
    index[taken] = len(left) + np.arange(len(right))
    index[~taken] = np.arange(len(left))
    return joined.take(index)
