"""``TickerBatch``: best bid and ask as the venue announced them: a stream to be held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lobproof.schema import Int64
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
