"""``TableCheck``: what the checks of the three tables share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.acquire.checks.columns import nulls
from lobproof.acquire.checks.coverage import Clock
from lobproof.acquire.checks.findings import Findings
from lobproof.acquire.checks.flag_kernels import BITS, NULL
from lobproof.acquire.checks.grid import Grid
from lobproof.acquire.checks.value_kernels import judge_values
from lobproof.acquire.columns import integers
from lobproof.fixedpoint.float_kernels import FINEST
from lobproof.schema import Int64


class TableCheck(ABC):
    """Judges the rows of one file, batch by batch, in order.

    Parameters
    ----------
    dt
        The file's day.
    grid
        What prices and sizes are held against.
    """

    columns: ClassVar[tuple[str, ...]]
    """Raw names of the columns that batches have, in that order."""
    price_columns: ClassVar[tuple[str, ...]] = ("price",)
    size_columns: ClassVar[tuple[str, ...]]
    nullable: ClassVar[frozenset[str]] = frozenset({"timestamp", "receipt_timestamp"})
    """Columns whose nulls have a reason of their own."""

    def __init__(self, dt: str, grid: Grid) -> None:
        self.grid = grid
        self.findings = Findings()
        self.clock = Clock(dt)
        self.finer_prices = np.zeros(FINEST + 1, np.int64)
        self.finer_sizes = np.zeros(FINEST + 1, np.int64)
        self.largest = np.zeros(2, np.float64)

    def add(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Judge the next rows, of which the first is row ``first_row`` of the file."""
        columns = dict(zip(self.columns, batch.columns, strict=True))
        flags = np.zeros(len(batch), np.int64)
        lacking = nulls([c for name, c in columns.items() if name not in self.nullable])
        if lacking is not None:
            flags[lacking] |= NULL
        times = integers(columns["timestamp"])
        receipts = integers(columns["receipt_timestamp"])
        self.clock.add(times, receipts, flags)
        self.judge(columns, times, receipts, flags, first_row)
        self.findings.add_flags(flags, first_row)

    @abstractmethod
    def judge(
        self,
        columns: dict[str, pa.Array],
        times: Int64,
        receipts: Int64,
        flags: Int64,
        first_row: int,
    ) -> None:
        """Judge what is the table's own."""

    @property
    def suspects(self) -> Int64 | None:
        """Sorted trade ids that a second look must count; None where there are none."""
        return None

    def finish(self) -> None:
        """Judge what only the whole file can tell."""
        return

    def facts(self) -> dict[str, Any]:
        """Figures of the table's own, for an audit."""
        return {}

    def judge_prices(self, values: NDArray[np.float64], times: Int64, flags: Int64) -> None:
        """Flag prices."""
        largest = judge_values(
            values,
            times,
            self.grid.price_exponent,
            self.grid.price_finest,
            self.grid.since,
            self.grid.ticks,
            False,
            BITS["bad-price"],
            BITS["price-off-grid"],
            BITS["off-tick"],
            flags,
            self.finer_prices,
        )
        self.largest[0] = max(self.largest[0], largest)

    def judge_sizes(
        self, values: NDArray[np.float64], times: Int64, flags: Int64, *, zero_allowed: bool
    ) -> None:
        """Flag sizes."""
        largest = judge_values(
            values,
            times,
            self.grid.size_exponent,
            self.grid.size_finest,
            self.grid.since,
            self.grid.lots,
            zero_allowed,
            BITS["bad-size"],
            BITS["size-off-grid"],
            BITS["off-lot"],
            flags,
            self.finer_sizes,
        )
        self.largest[1] = max(self.largest[1], largest)
