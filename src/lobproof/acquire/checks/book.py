"""Check of ``book``: levels, their order, both sides, sequence numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from lobproof.acquire.checks import message_kernels as mk
from lobproof.acquire.checks.base import TableCheck
from lobproof.acquire.checks.book_kernels import TicksAndLots, judge_books
from lobproof.acquire.checks.grid import Grid
from lobproof.acquire.columns import floats, integers
from lobproof.schema import LEVELS, Int64
from lobproof.sources.cryptolake.layout import COLUMNS, LEVEL_COLUMNS


class BookCheck(TableCheck):
    """Rows of ``book``. Null levels are levels that are not there."""

    columns = COLUMNS["book"]
    price_columns = LEVEL_COLUMNS[::2]
    size_columns = LEVEL_COLUMNS[1::2]
    nullable = TableCheck.nullable | {"sequence_number", *LEVEL_COLUMNS}

    def __init__(self, dt: str, grid: Grid) -> None:
        super().__init__(dt, grid)
        self._ring = np.zeros(mk.RING, np.int64)
        self._state = np.zeros(mk.STATE, np.int64)

    def judge(
        self,
        columns: dict[str, pa.Array],
        times: Int64,
        receipts: Int64,
        flags: Int64,
        first_row: int,
    ) -> None:
        """Judge levels and sequence numbers."""
        grid = self.grid
        mk.judge_sequences(integers(columns["sequence_number"]), self._ring, self._state, flags)
        judge_books(
            np.stack([floats(columns[name]) for name in LEVEL_COLUMNS]),
            LEVELS,
            times,
            grid.price_exponent,
            grid.price_finest,
            grid.size_exponent,
            grid.size_finest,
            TicksAndLots(grid.since, grid.ticks, grid.lots),
            self.finer_prices,
            self.finer_sizes,
            self.largest,
            flags,
        )

    def facts(self) -> dict[str, Any]:
        """Different sequence numbers in a row."""
        return {"messages": int(self._state[mk.MESSAGES])}
