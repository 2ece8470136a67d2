"""``Observer``: the events and states of a day, as they come, into blocks of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lobproof.fidelity.metrics.blocks import Blocks, Collected, Scale
from lobproof.fidelity.metrics.metric_kernels import (
    BOOK_IN_DOUBT,
    METRIC_STATE,
    TRADED,
    TRADES_MISSING,
    Block,
    States,
    Trades,
    Unit,
    new_block,
    observe,
    sample,
)
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Int64, Kind, StateBatch, speaks_of_the_feed
from lobproof.schema.records import Record, Records, zeroed

_FIRST_RING = 1 << 12
_HOLE = int(Flag.TRADES | Flag.GAP)
_DOUBT = int(Flag.DOUBTFUL)


class Observer:
    """Metrics of one symbol-day, from its events and the states of its message ends.

    What is added may be cut anywhere between messages: the blocks are the same.

    Parameters
    ----------
    instrument
        The grid of the counts that are given.
    scale
        Tick, lot and length of a block, the same for all that is to be compared.
    """

    def __init__(self, instrument: Instrument, scale: Scale) -> None:
        tick, lot = scale.counts(instrument)
        self._unit = Unit(tick, lot, scale.block_ns)
        self._states = zeroed(METRIC_STATE)
        self._state: Record = self._states[0]
        self._ring: Records = np.zeros(_FIRST_RING, TRADED)
        self._block: Block = new_block(scale.block_ns)
        self._kept = Collected(instrument, scale)
        self._last_ts = 0

    def add(self, parts: Sequence[EventBatch], states: StateBatch, first_id: int) -> None:
        """Go on with whole messages, and a state for each depth message among them.

        Parameters
        ----------
        parts
            Events in order, as a replay leaves them: doubt is flagged.
        first_id
            Event id of the first row.
        """
        trades = _trades_of(parts, first_id)
        self._reserve(len(trades.event_id))
        given = States(
            states.event_id, states.ts_order, states.levels, states.bid_trusted, states.ask_trusted
        )
        self._state.next_state = self._state.next_trade = 0
        while observe(self._state, self._block, self._ring, self._unit, given, trades):
            self._close()
        last = [int(times[-1]) for times in (given.ts_order, trades.ts_order) if len(times)]
        self._last_ts = max([self._last_ts, *last])

    def finish(self) -> Blocks:
        """The blocks; the grid ends with the last event."""
        state = self._state
        while state.begun and state.next_grid <= self._last_ts:
            if state.next_grid >= state.block_end:
                self._close()
            sample(state, self._block, self._ring, self._unit)
        if state.begun:
            self._close()
        return self._kept.blocks()

    def _close(self) -> None:
        """Keep the open block, and open the next one."""
        self._kept.append(int(self._state.block_end) - self._unit.block_ns, self._block)
        for array in self._block:
            array[:] = 0
        self._state.block_end += self._unit.block_ns

    def _reserve(self, trades: int) -> None:
        """Make the ring large enough for so many trades more."""
        state, ring = self._state, self._ring
        waiting = np.arange(int(state.met.min()), int(state.stored))
        capacity = len(ring)
        while capacity < len(waiting) + trades:
            capacity *= 2
        if capacity > len(ring):
            self._ring = np.zeros(capacity, TRADED)
            self._ring[waiting % capacity] = ring[waiting % len(ring)]


def _trades_of(parts: Sequence[EventBatch], first_id: int) -> Trades:
    """The trades of events, and the marks that break what goes on across them."""
    found: list[tuple[Int64, EventBatch, Int64]] = []
    for part in parts:
        marks = part.kind == int(Kind.MARK)
        wanted = part.kind == int(Kind.TRADE)
        if marks.any():
            holes = marks & (part.flags & _HOLE == _HOLE)
            told = speaks_of_the_feed(part.flags, part.prev_sequence)
            doubts = marks & ~holes & told & (part.flags & _DOUBT != 0)
            wanted = wanted | holes | doubts
        at = np.flatnonzero(wanted)
        rows = part.take(at)
        taker = rows.side.copy()
        is_mark = rows.kind == int(Kind.MARK)
        hole = rows.flags & _HOLE == _HOLE
        taker[is_mark & hole] = TRADES_MISSING
        taker[is_mark & ~hole] = BOOK_IN_DOUBT
        rows.side = taker
        found.append((first_id + at, rows, at))
        first_id += len(part)
    ids = np.concatenate([np.zeros(0, np.int64), *(one[0] for one in found)])
    rows = EventBatch.concat([EventBatch.empty(), *(one[1] for one in found)])
    return Trades(ids, rows.ts_order, rows.price, rows.size, rows.side)
