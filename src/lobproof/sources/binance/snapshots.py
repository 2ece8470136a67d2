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

LIMITS = (5, 10, 20, 50, 100, 500, 1000, 5000)
"""Levels a side that a request may ask for."""


def presumed_limit(bids: int, asks: int) -> int | None:
    """The limit that a snapshot of so many levels seems to have been cut at, if any.

    A side that is listed whole and happens to have as many levels as a limit is taken for a cut
    one: that claims less, never more.
    """
    return max(bids, asks) if max(bids, asks) in LIMITS else None


@dataclass(slots=True)
class Snapshot:
    """A REST snapshot's id, receive time and levels, ``bids`` of them bids, then asks."""

    sequence: int
    recv: int
    bids: int
    price: Int64
    size: Int64

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
        limit = presumed_limit(self.bids, asks)
        if limit is None or self.bids < limit:
            batch.flags[: self.bids] |= Flag.COMPLETE
        if limit is None or asks < limit:
            batch.flags[self.bids :] |= Flag.COMPLETE
        return batch


def snapshots_in(block: Block, instrument: Instrument) -> Iterator[Snapshot]:
    """The snapshots of a block that was scanned for them.

    Raises
    ------
    GridError
        For a number that the grid cannot hold, naming file and line.
    """
    for row in np.flatnonzero(block.messages[:, KIND] == SNAPSHOT).tolist():
        price, size = message_levels(block, row, instrument)
        message = block.messages[row]
        yield Snapshot(int(message[FINAL]), int(message[RECV]), int(message[BIDS]), price, size)
