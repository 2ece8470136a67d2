"""``TimeProfile``: the two times of a table: which are valid, and how far apart, hour by hour."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lobproof.acquire.checks.time_kernels import MARGIN_NS
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.assess.histogram import Histogram, bins_of
from lobproof.pages.axes import TimeGrid
from lobproof.schema import Int64

HOUR_NS = 3_600_000_000_000
MS = 1e6
_QUANTILES = (0.05, 0.5, 0.95, 0.99)
_FLOAT_NS = 256
"""How far float seconds put a time of this century beside its microsecond."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of receive time minus exchange time, in ms; None without rows that have both."""

    p5: float | None
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> Quantiles:
        """Of values in ns."""
        found = (histogram.quantile(share) for share in _QUANTILES)
        return cls(*(None if one is None else round(one / MS, 4) for one in found))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a table in one hour, or in all. A row without a valid time is counted where it lies.

    ``null``, ``zero``, ``negative``: no exchange time; ``outside``: one that is more than a minute
    outside the days of the file; ``backward``: one before the latest of the rows before.
    """

    start_ns: int
    rows: int
    null: int
    zero: int
    negative: int
    outside: int
    backward: int
    skew_ms: Quantiles

    @property
    def invalid(self) -> int:
        """Rows without an exchange time that can be one."""
        return self.null + self.zero + self.negative + self.outside


@dataclass(frozen=True, slots=True)
class TableTimes:
    """The times of one table: all of it, its hours, and shorter cells for pictures.

    ``drift_ms_per_hour``: slope of a straight line through the skew, None of a stretch too short
    to have one; ``resolution``: of exchange times and of receive times;
    ``cell_ns``: length of a cell.
    """

    table: str
    total: Stretch
    hours: tuple[Stretch, ...]
    cells: tuple[Stretch, ...]
    drift_ms_per_hour: float | None
    resolution: tuple[str, str]
    cell_ns: int

    @property
    def invalid_share(self) -> float:
        """Share of rows without an exchange time that can be one."""
        return self.total.invalid / self.total.rows if self.total.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "invalid_share": self.invalid_share}


class TimeProfile:
    """Takes in the times of a table, in the order of its rows.

    Parameters
    ----------
    table
        Its name.
    days
        First and last ns of the days that its times belong to; the last is exclusive.
    grid
        Cells of time, whose width divides an hour.
    """

    def __init__(self, table: str, days: tuple[int, int], grid: TimeGrid) -> None:
        self._table = table
        self._days = days
        self._grid = grid
        self._counts = np.zeros((6, grid.columns), np.int64)
        self._skews = [Histogram() for _ in range(grid.columns)]
        self._latest = -1
        self._cell = 0
        self._sums = np.zeros(5)
        self._off = np.zeros((2, 3), np.int64)

    def add(self, sent: Int64, received: Int64) -> None:
        """The next rows' exchange and receive times, ns; ``MISSING`` where one is null."""
        if not len(sent):
            return
        null, zero = sent == MISSING, sent == 0
        negative = (sent < 0) & ~null
        known = sent > 0
        outside = known & ((sent < self._days[0] - MARGIN_NS) | (sent >= self._days[1] + MARGIN_NS))
        valid = known & ~outside
        cells = self._cells(sent, received, valid)
        reached = np.maximum.accumulate(
            np.concatenate([[self._latest], np.where(valid, sent, self._latest)])
        )
        backward = valid & (sent < reached[:-1])
        self._latest = int(reached[-1])
        for row, mask in enumerate((None, null, zero, negative, outside, backward)):
            if mask is None or mask.any():
                ours = cells if mask is None else cells[mask]
                self._counts[row] += np.bincount(ours, minlength=self._grid.columns)
        both = valid & (received > 0)
        if not both.all():
            sent, received, cells = sent[both], received[both], cells[both]
        if len(sent):
            self._add_skew(sent, received, cells)

    def _cells(self, sent: Int64, received: Int64, valid: np.ndarray[Any, Any]) -> Int64:
        """The cell of each row; one that has no valid time stands where the row before does."""
        times = np.where(valid, sent, received)
        good = valid | (received > 0)
        cells = self._grid.column(times)
        if not good.all():
            rows = np.maximum.accumulate(np.where(good, np.arange(len(good)), -1))
            cells = np.where(rows < 0, self._cell, cells[rows])
        self._cell = int(cells[-1])
        return cells

    def _add_skew(self, sent: Int64, received: Int64, cells: Int64) -> None:
        skew = received - sent
        bins = bins_of(skew)
        low, high = int(cells.min()), int(cells.max())
        for cell in range(low, high + 1):
            ours = bins if low == high else bins[cells == cell]
            self._skews[cell].add_bins(ours)
        hours = (sent - self._grid.origin) / HOUR_NS
        y = skew / MS
        self._sums += (
            len(y), hours.sum(), y.sum(), float(hours @ hours), float(hours @ y)
        )  # fmt: skip
        for column, times in enumerate((sent, received)):
            micros = (times + 500) // 1000
            beside = np.abs(times - micros * 1000)
            for row, off in enumerate((micros % 1000, beside > _FLOAT_NS, beside)):
                self._off[column, row] += int(np.count_nonzero(off))

    def result(self) -> TableTimes:
        """What was found."""
        filled = np.flatnonzero(self._counts[0])
        cells = tuple(self._stretch(cell, (cell,)) for cell in filled.tolist())
        hours: dict[int, list[int]] = {}
        for cell in filled.tolist():
            start = self._grid.origin + cell * self._grid.width
            hours.setdefault(start - start % HOUR_NS, []).append(cell)
        every = tuple(range(self._grid.columns))
        return TableTimes(
            self._table,
            self._stretch(0, every),
            tuple(self._stretch(0, of, start) for start, of in sorted(hours.items())),
            cells,
            self._drift(cells),
            (self._resolution(0), self._resolution(1)),
            self._grid.width,
        )

    def _stretch(self, cell: int, cells: tuple[int, ...] | list[int], start: int = -1) -> Stretch:
        joined = Histogram()
        for one in cells:
            joined.merge(self._skews[one])
        where = self._grid.origin + cell * self._grid.width if start < 0 else start
        rows, null, zero, negative, outside, backward = (
            int(count) for count in self._counts[:, list(cells)].sum(axis=1)
        )
        skew = Quantiles.of(joined)
        return Stretch(where, rows, null, zero, negative, outside, backward, skew)

    def _drift(self, cells: tuple[Stretch, ...]) -> float | None:
        if len(cells) < 2:
            return None
        n, x, y, xx, xy = self._sums
        spread = xx - x * x / n if n else 0.0
        return float((xy - x * y / n) / spread) if spread > 0 else None

    def _resolution(self, column: int) -> str:
        """What all times but one in a thousand are whole counts of, and whether floats were."""
        few = self._sums[0] / 1000
        if not self._sums[0]:
            return "none"
        in_ms, in_us, exact = (off <= few for off in self._off[column].tolist())
        if not in_us:
            return "ns"
        return f"{'ms' if in_ms else 'µs'}{'' if exact else ', through float seconds'}"
