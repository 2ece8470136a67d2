"""Check of ``book_delta_v2``: prices, sizes, messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from lobproof.acquire.checks import message_kernels as mk
from lobproof.acquire.checks.base import TableCheck
from lobproof.acquire.checks.grid import Grid
from lobproof.acquire.columns import booleans, floats, integers
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import COLUMNS


class DeltaCheck(TableCheck):
    """Rows of ``book_delta_v2``. A missing sequence number is no mere null."""

    columns = COLUMNS["book_delta_v2"]
    size_columns = ("size",)
    nullable = TableCheck.nullable | {"sequence_number"}

    def __init__(self, dt: str, grid: Grid) -> None:
        super().__init__(dt, grid)
        self._ring = np.zeros(mk.RING, np.int64)
        self._slots = np.zeros((mk.SLOTS, 4), np.int64)
        self._state = np.zeros(mk.STATE, np.int64)

    def judge(
        self,
        columns: dict[str, pa.Array],
        times: Int64,
        receipts: Int64,
        flags: Int64,
        first_row: int,
    ) -> None:
        """Judge values and messages."""
        prices, sizes = floats(columns["price"]), floats(columns["size"])
        self.judge_prices(prices, times, flags)
        self.judge_sizes(sizes, times, flags, zero_allowed=True)
        mk.judge_messages(
            integers(columns["sequence_number"]),
            times,
            receipts,
            booleans(columns["side_is_bid"]),
            prices.view(np.int64),
            sizes.view(np.int64),
            self._ring,
            self._slots,
            self._state,
            flags,
        )

    def facts(self) -> dict[str, Any]:
        """Messages, and rows of the longest one."""
        return {
            "messages": int(self._state[mk.MESSAGES]),
            "longest_message": int(self._state[mk.LONGEST]),
        }
