"""``Keyframe``: a whole book at one event, as ``keyframes`` stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64, Side


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A full book after an event.

    ``event_id`` −1 is the book that opens a partition. Levels are on the grid, best first, of
    equal length a side. Trust is ``UNTRUSTED``, ``RANGE`` or ``EVERYTHING``; ``trusted_to`` is the
    far end of the range, 0 unless ``RANGE``.
    """

    event_id: int
    ts_order: int
    sequence: int
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64
    bid_trust: int
    bid_trusted_to: int
    ask_trust: int
    ask_trusted_to: int

    def columns(self) -> list[NDArray[np.generic]]:
        """The rows of ``keyframes``: per side a header row with price and size 0, then levels."""
        zero = np.zeros(1, np.int64)
        bids, asks = len(self.bid_prices) + 1, len(self.ask_prices) + 1
        rows = bids + asks

        def sides(bid: int, ask: int, kind: type[np.generic]) -> NDArray[np.generic]:
            return np.repeat(np.array([bid, ask], kind), [bids, asks])

        return [
            np.full(rows, self.event_id, np.int64),
            np.full(rows, self.ts_order, np.int64),
            np.full(rows, self.sequence, np.int64),
            sides(Side.BID, Side.ASK, np.int8),
            np.concatenate([zero, self.bid_prices, zero, self.ask_prices]),
            np.concatenate([zero, self.bid_sizes, zero, self.ask_sizes]),
            sides(self.bid_trust, self.ask_trust, np.int8),
            sides(self.bid_trusted_to, self.ask_trusted_to, np.int64),
        ]
