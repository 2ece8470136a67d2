"""``TradePlaces``, ``in_time``: the trades of a source that has them in any order, by time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import numpy as np

from lobproof.replay.clock_kernels import NO_OFFSET
from lobproof.replay.merge import TOLERANCE_NS
from lobproof.replay.trade_order_kernels import BACK, PLACE_STATE, place_trades
from lobproof.schema import EventBatch, Flag, Int8, Int64

BLOCK_ROWS = 1 << 18
"""Trades that are sorted at a time."""


class TradePlaces:
    """The times of trades, in the source's order.

    Parameters
    ----------
    offset_ns, receive_days
        As for :class:`~lobproof.replay.merge.StreamClock`.
    """

    def __init__(self, offset_ns: int | None, receive_days: Sequence[int]) -> None:
        self._state = np.zeros(PLACE_STATE, np.int64)
        self._offset = NO_OFFSET if offset_ns is None else offset_ns
        self._receive_days = np.array(receive_days, np.int64)

    def add(self, ts_event: Int64, ts_recv: Int64, sequence: Int64) -> tuple[Int64, Int8]:
        """Times (ns) of the next trades, and which of them came late."""
        times, late = np.empty(len(sequence), np.int64), np.empty(len(sequence), np.int8)
        place_trades(
            self._state,
            ts_event,
            ts_recv,
            sequence,
            self._offset,
            TOLERANCE_NS,
            self._receive_days,
            times,
            late,
        )
        return times, late

    @property
    def shuffled(self) -> bool:
        """Whether a trade went back in time, and its id does not say that it is right so."""
        return bool(self._state[BACK])


def in_time(
    trades: Callable[[int], Generator[EventBatch]],
    places: TradePlaces,
    batch_rows: int,
    start: int = 0,
) -> Generator[EventBatch]:
    """Trades by their time, those of one time as the source has them; late ones are flagged.

    Their order is held, 9 bytes a trade (20 while it is found), and ``BLOCK_ROWS`` of them, a block
    that is read from where it begins in the source to where it ends.

    Parameters
    ----------
    trades
        Opens the source behind a number of trades, one row each.
    places
        New ones.
    batch_rows
        Trades given at a time; no effect on their order.
    start
        Trades to leave out, of the order given here.
    """
    order, late = _order(trades, places)
    for first in range(0, len(order), BLOCK_ROWS):
        rows = order[first : first + BLOCK_ROWS]
        if start >= first + len(rows):
            continue
        block = _block(trades, rows, late)
        for at in range(max(start - first, 0), len(rows), batch_rows):
            yield block.slice(at, min(at + batch_rows, len(rows)))


def _order(
    trades: Callable[[int], Generator[EventBatch]], places: TradePlaces
) -> tuple[Int64, Int8]:
    """The source's rows by time, and which rows came late."""
    times, late = [], []
    for batch in trades(0):
        found = places.add(batch.ts_event, batch.ts_recv, batch.sequence)
        times.append(found[0])
        late.append(found[1])
    joined = np.concatenate(times)
    del times  # or they are held twice while they are sorted
    return np.argsort(joined, kind="stable"), np.concatenate(late)


def _block(trades: Callable[[int], Generator[EventBatch]], rows: Int64, late: Int8) -> EventBatch:
    """These rows of the source, in this order."""
    by_place = np.argsort(rows)
    wanted = rows[by_place]
    at, stop = int(wanted[0]), int(wanted[-1])
    found = []
    with closing(trades(at)) as batches:
        for batch in batches:
            low, high = np.searchsorted(wanted, (at, at + len(batch)))
            found.append(batch.take(wanted[low:high] - at))
            at += len(batch)
            if at > stop:
                break
    block = EventBatch.concat(found)
    block.flags[late[wanted] != 0] |= int(Flag.OUT_OF_ORDER)
    places = np.empty(len(rows), np.int64)
    places[by_place] = np.arange(len(rows))
    return block.take(places)
