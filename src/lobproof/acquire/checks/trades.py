"""Check of ``trades``: sides, prices, sizes, ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.acquire.checks.base import TableCheck
from lobproof.acquire.checks.columns import text_hashes
from lobproof.acquire.checks.flag_kernels import BITS, CANDIDATE, NULL
from lobproof.acquire.checks.grid import Grid
from lobproof.acquire.checks.message_kernels import judge_ids
from lobproof.acquire.columns import MISSING, floats, integers, sides
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import COLUMNS

MOST_SUSPECTS = 1_000_000


class TradeCheck(TableCheck):
    """Rows of ``trades``.

    Ids that are not above all before them may be there twice: :attr:`suspects` has them, for a
    second look at the column. Ids that are text have no order: all are suspect, by their hashes.
    """

    columns = COLUMNS["trades"]
    size_columns = ("amount",)

    def __init__(self, dt: str, grid: Grid) -> None:
        super().__init__(dt, grid)
        self._last = self._highest = MISSING
        self._suspects: list[Int64] = []
        self._kept = 0
        self._unchecked = 0
        self._hashes: list[NDArray[np.uint64]] = []
        self._hashed_rows: list[Int64] = []

    def judge(
        self,
        columns: dict[str, pa.Array],
        times: Int64,
        receipts: Int64,
        flags: Int64,
        first_row: int,
    ) -> None:
        """Judge sides, values and ids."""
        known = sides(columns["side"]) > 0
        flags[~known & (flags & NULL == 0)] |= BITS["bad-side"]
        self.judge_prices(floats(columns["price"]), times, flags)
        self.judge_sizes(floats(columns["amount"]), times, flags, zero_allowed=False)
        column = columns["id"]
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
            self._hashed_rows.append(there + first_row)

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
        kept = ids[: MOST_SUSPECTS - self._kept]
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
