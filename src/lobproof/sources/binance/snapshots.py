"""REST depth snapshots: how much of a side they list, and their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Int64, Kind, Side
from lobproof.sources.binance.message_kernels import BIDS, FINAL, KIND, RECV, SNAPSHOT
from lobproof.sources.binance.rows import message_levels
from lobproof.sources.binance.scanner import Block

PARTIAL_DEPTHS = (5, 10, 20)
"""Levels a side of spot's partial depth, which without its stream's name looks like a snapshot."""


@dataclass(slots=True)
class Snapshot:
    """A REST snapshot's id, receive time and levels, ``bids`` of them bids, then asks.

    ``limit`` is how many levels a side were asked for, if that is known: only then do fewer show
    that a side was listed whole. A count proves nothing: REST takes any limit.
    """

    sequence: int
    recv: int
    bids: int
    price: Int64
    size: Int64
    limit: int | None

    def rows(self) -> EventBatch:
        """Its message; one that lists nothing is a row without a level, and replay refuses it."""
        batch = EventBatch.empty(max(len(self.price), 1))
        batch.ts_recv[:] = self.recv
        batch.sequence[:] = batch.prev_sequence[:] = self.sequence
        batch.flags[-1] = Flag.LAST
        batch.kind[:] = Kind.SNAPSHOT
        if not len(self.price):
            return batch
        batch.side[: self.bids], batch.side[self.bids :] = Side.BID, Side.ASK
        batch.price[:], batch.size[:] = self.price, self.size
        asks = len(self.price) - self.bids
        if self._whole(self.bids):
            batch.flags[: self.bids] |= Flag.COMPLETE
        if self._whole(asks):
            batch.flags[self.bids :] |= Flag.COMPLETE
        return batch

    def _whole(self, levels: int) -> bool:
        return self.limit is not None and levels < self.limit and levels not in PARTIAL_DEPTHS


def snapshots_in(block: Block, instrument: Instrument, limit: int | None) -> Iterator[Snapshot]:
    """The snapshots of a block that was scanned for them.

    Raises
    ------
    GridError
        For a number that the grid cannot hold, naming file and line.
    """
    for row in np.flatnonzero(block.messages[:, KIND] == SNAPSHOT).tolist():
        price, size = message_levels(block, row, instrument)
        message = block.messages[row]
        ids = int(message[FINAL]), int(message[RECV])
        yield Snapshot(*ids, int(message[BIDS]), price, size, limit)
