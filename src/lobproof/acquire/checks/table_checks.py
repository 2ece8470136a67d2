"""The rows of a table, judged batch by batch: what all tables share, and what is each one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.acquire.checks.coverage import Clock
from lobproof.acquire.checks.flag_kernels import BITS, CANDIDATE, NULL
from lobproof.acquire.checks.grid import Grid
from lobproof.acquire.checks.message_kernels import (
    LEVEL,
    MESSAGES,
    SLOTS,
    judge_ids,
    judge_messages,
    judge_sequences,
)
from lobproof.acquire.checks.reasons import Findings
from lobproof.acquire.checks.value_kernels import Bits, judge_books, judge_values
from lobproof.acquire.rows import booleans, integers, nulls, text_hashes
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.schema import Int64
from lobproof.schema.records import zeroed
from lobproof.sources.cryptolake.chunks import Chunk, floats, takers
from lobproof.sources.cryptolake.layout import COLUMNS, LEVEL_COLUMNS

_MOST_SUSPECTS = 1_000_000
_PRICE = Bits(BITS["bad-price"], BITS["price-off-grid"], BITS["off-tick"])
_SIZE = Bits(BITS["bad-size"], BITS["size-off-grid"], BITS["off-lot"])


class TableCheck(ABC):
    """Judges the rows of one file, chunk by chunk, in order.

    Parameters
    ----------
    dt
        The file's day.
    grid
        What prices and sizes are held against.
    findings
        What is found goes there.
    """

    columns: ClassVar[tuple[str, ...]]
    """Raw names of the columns that chunks have."""
    price_columns: ClassVar[tuple[str, ...]] = ("price",)
    size_columns: ClassVar[tuple[str, ...]]
    nullable: ClassVar[frozenset[str]] = frozenset({"timestamp", "receipt_timestamp"})
    """Columns whose nulls have a reason of their own."""

    def __init__(self, dt: str, grid: Grid, findings: Findings) -> None:
        self.grid = grid
        self.findings = findings
        self.clock = Clock(dt)

    def add(self, chunk: Chunk) -> None:
        """Judge the next rows."""
        flags = np.zeros(len(chunk), np.int64)
        lacking = nulls([c for raw, c in chunk.columns.items() if raw not in self.nullable])
        if lacking is not None:
            flags[lacking] |= NULL
        times = integers(chunk.columns["timestamp"])
        receipts = integers(chunk.columns["receipt_timestamp"])
        self.clock.add(times, receipts, flags)
        self.judge(chunk, times, receipts, flags)
        self.findings.add_flags(flags, chunk.first_row)

    @abstractmethod
    def judge(self, chunk: Chunk, times: Int64, receipts: Int64, flags: Int64) -> None:
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


class TradeCheck(TableCheck):
    """Rows of ``trades``.

    Ids that are not above all before them may be there twice: :attr:`suspects` has them, for a
    second look at the column. Ids that are text have no order: all are suspect, by their hashes.
    """

    columns = COLUMNS["trades"]
    size_columns = ("amount",)

    def __init__(self, dt: str, grid: Grid, findings: Findings) -> None:
        super().__init__(dt, grid, findings)
        self._last = self._highest = MISSING
        self._suspects: list[Int64] = []
        self._kept = 0
        self._unchecked = 0
        self._hashes: list[NDArray[np.uint64]] = []
        self._hashed_rows: list[Int64] = []

    def judge(self, chunk: Chunk, times: Int64, receipts: Int64, flags: Int64) -> None:
        """Judge sides, values and ids."""
        known = takers(chunk) > 0
        flags[~known & (flags & NULL == 0)] |= BITS["bad-side"]
        judge_values(floats(chunk, "price"), times, self.grid.prices, False, _PRICE, flags)
        judge_values(floats(chunk, "amount"), times, self.grid.sizes, False, _SIZE, flags)
        column = chunk.columns["id"]
        if pa.types.is_integer(column.type):
            ids = integers(column)
            self._last, self._highest = judge_ids(ids, self._last, self._highest, flags)
            met = flags & CANDIDATE != 0
            if met.any():
                self._suspect(ids[met])
                flags &= ~CANDIDATE
        else:
            there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
            self._hashes.append(text_hashes(column)[there])
            self._hashed_rows.append(there + chunk.first_row)

    @property
    def suspects(self) -> Int64 | None:
        """Sorted ids to count."""
        return np.unique(np.concatenate(self._suspects)) if self._suspects else None

    def finish(self) -> None:
        """Find ids that are text and there twice."""
        if not self._hashes:
            return
        rows = np.concatenate(self._hashed_rows)
        hashes = np.concatenate(self._hashes)
        order = np.argsort(hashes, kind="stable")
        same = hashes[order][1:] == hashes[order][:-1]
        if same.any():
            self.findings.add("duplicate-id", np.sort(rows[order[1:][same]]))

    def facts(self) -> dict[str, Any]:
        """How many ids were not looked for a second time."""
        return {"ids_unchecked": self._unchecked}

    def _suspect(self, ids: Int64) -> None:
        kept = ids[: _MOST_SUSPECTS - self._kept]
        self._suspects.append(kept)
        self._kept += len(kept)
        self._unchecked += len(ids) - len(kept)


class SecondLook:
    """Counts suspect ids over the whole column: every row with one, after the first, is double."""

    def __init__(self, suspects: Int64) -> None:
        self._suspects = suspects
        self._seen = np.zeros(len(suspects), np.bool_)

    def add(self, ids: Int64) -> NDArray[np.intp]:
        """Rows of the batch whose id was there before."""
        place = np.minimum(np.searchsorted(self._suspects, ids), len(self._suspects) - 1)
        rows = np.flatnonzero(self._suspects[place] == ids)
        places = place[rows]
        again = self._seen[places]
        _, firsts = np.unique(places, return_index=True)
        later = np.ones(len(rows), np.bool_)
        later[firsts] = False
        self._seen[places] = True
        return rows[again | later]


class BookCheck(TableCheck):
    """Rows of ``book``. Null levels are levels that are not there."""

    columns = COLUMNS["book"]
    price_columns = LEVEL_COLUMNS[::2]
    size_columns = LEVEL_COLUMNS[1::2]
    nullable = TableCheck.nullable | {"sequence_number", *LEVEL_COLUMNS}

    def __init__(self, dt: str, grid: Grid, findings: Findings) -> None:
        super().__init__(dt, grid, findings)
        self._state = zeroed(MESSAGES)[0]

    def judge(self, chunk: Chunk, times: Int64, receipts: Int64, flags: Int64) -> None:
        """Judge levels and sequence numbers."""
        judge_sequences(integers(chunk.columns["sequence_number"]), self._state, flags)
        levels = np.stack([floats(chunk, raw) for raw in LEVEL_COLUMNS])
        judge_books(levels, times, self.grid.prices, self.grid.sizes, flags)

    def facts(self) -> dict[str, Any]:
        """Different sequence numbers in a row."""
        return {"messages": int(self._state.messages)}


class DeltaCheck(TableCheck):
    """Rows of ``book_delta_v2``. A missing sequence number is no mere null."""

    columns = COLUMNS["book_delta_v2"]
    size_columns = ("size",)
    nullable = TableCheck.nullable | {"sequence_number"}

    def __init__(self, dt: str, grid: Grid, findings: Findings) -> None:
        super().__init__(dt, grid, findings)
        self._levels = np.zeros(SLOTS, LEVEL)
        self._state = zeroed(MESSAGES)[0]

    def judge(self, chunk: Chunk, times: Int64, receipts: Int64, flags: Int64) -> None:
        """Judge values and messages."""
        prices, sizes = floats(chunk, "price"), floats(chunk, "size")
        judge_values(prices, times, self.grid.prices, False, _PRICE, flags)
        judge_values(sizes, times, self.grid.sizes, True, _SIZE, flags)
        judge_messages(
            integers(chunk.columns["sequence_number"]),
            times,
            receipts,
            booleans(chunk.columns["side_is_bid"]),
            prices.view(np.int64),
            sizes.view(np.int64),
            self._levels,
            self._state,
            flags,
        )

    def facts(self) -> dict[str, Any]:
        """Messages, and rows of the longest one."""
        return {
            "messages": int(self._state.messages),
            "longest_message": int(self._state.longest),
        }


CHECKS: dict[str, type[TableCheck]] = {
    "trades": TradeCheck,
    "book": BookCheck,
    "book_delta_v2": DeltaCheck,
}
