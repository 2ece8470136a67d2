"""``Observer``: the events and states of a day, as they come, into blocks of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lobproof.fidelity.metrics.blocks import Blocks, Collected, Scale
from lobproof.fidelity.metrics.metric_kernels import (
    METRIC_STATE,
    TRADED,
    Block,
    States,
    Told,
    Unit,
    find_told,
    new_block,
    observe,
    sample,
)
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Int64, StateBatch
from lobproof.schema.records import Record, Records, zeroed

_FIRST_RING = 1 << 12


class Observer:
    """Metrics of one symbol-day, from its events and the states of its message ends.

    What is added may be cut anywhere between messages: the blocks are the same. Of events only
    trades, marks, the ends of snapshots and what has `Flag.REFUTED` count; others may be left out.

    Parameters
    ----------
    instrument
        The grid of the counts that are given.
    scale
        Tick, lot and length of a block, the same for all that is to be compared.
    start
        Blocks that begin before it, ns, are not kept: what is added of them is context.
    """

    def __init__(self, instrument: Instrument, scale: Scale, start: int = 0) -> None:
        tick, lot = scale.counts(instrument)
        self._unit = Unit(tick, lot, scale.block_ns)
        self._start = start
        self._states = zeroed(METRIC_STATE)
        self._state: Record = self._states[0]
        self._ring: Records = np.zeros(_FIRST_RING, TRADED)
        self._block: Block = new_block(scale.block_ns)
        self._kept = Collected(instrument, scale)
        self._last_ts = 0
        self._rows, self._what = np.zeros(0, np.int64), np.zeros(0, np.int8)

    def add(self, parts: Sequence[EventBatch], states: StateBatch, first_id: int) -> None:
        """Go on with whole messages, and a state for each depth message among them.

        Parameters
        ----------
        parts
            Events in order, as a replay leaves them: doubt is flagged.
        first_id
            Event id of the first row; each row behind it has the next one.
        """
        found = []
        for part in parts:
            found.append(self._told(part, first_id))
            first_id += len(part)
            if len(part):
                self._last_ts = int(part.ts_order[-1])
        self._take(found, states)

    def add_some(self, ids: Int64, events: EventBatch, states: StateBatch) -> None:
        """The same where some events were left out: ``ids`` are those of the others."""
        told = self._told(events, 0)
        self._take([told._replace(event_id=ids[told.event_id])], states)

    def finish(self, last_ts: int = 0, stop: int = 0) -> Blocks:
        """The blocks; the grid ends with the last event, and before ``stop``, ns, if given.

        ``last_ts``: when that was, where events were left out.
        """
        state = self._state
        last_ts = max(self._last_ts, last_ts)
        if stop:
            last_ts = min(last_ts, stop - 1)
        while state.begun and state.next_grid <= last_ts:
            if state.next_grid >= state.block_end:
                self._close()
            sample(state, self._block, self._ring, self._unit)
        if state.begun:
            self._close()
        return self._kept.blocks()

    def _told(self, part: EventBatch, first_id: int) -> Told:
        """The events that count, and what they are."""
        if len(self._rows) < len(part):  # kept: new memory costs more than the look through it
            self._rows, self._what = np.empty(len(part), np.int64), np.empty(len(part), np.int8)
        many = find_told(
            part.kind, part.side, part.prev_sequence, part.flags, self._rows, self._what
        )
        rows = self._rows[:many]
        columns = (part.ts_order[rows], part.price[rows], part.size[rows])
        return Told(first_id + rows, *columns, self._what[:many].copy())

    def _take(self, found: Sequence[Told], states: StateBatch) -> None:
        """Go on with events and states."""
        told = Told._make(map(np.concatenate, zip(_NOTHING, *found, strict=True)))
        self._reserve(len(told.event_id))
        given = States(
            states.event_id,
            states.ts_order,
            np.ascontiguousarray(states.levels),  # else a kernel for each way that they may lie
            states.bid_trusted,
            states.ask_trusted,
        )
        self._state.next_state = self._state.next_told = 0
        while observe(self._state, self._block, self._ring, self._unit, given, told):
            self._close()
        last = [int(times[-1]) for times in (given.ts_order, told.ts_order) if len(times)]
        self._last_ts = max([self._last_ts, *last])

    def _close(self) -> None:
        """Keep the open block, and open the next one."""
        begin = int(self._state.block_end) - self._unit.block_ns
        if begin >= self._start:
            self._kept.append(begin, self._block)
        else:
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


_NONE = np.zeros(0, np.int64)
_NOTHING = Told(_NONE, _NONE, _NONE, _NONE, np.zeros(0, np.int8))
