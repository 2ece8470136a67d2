"""``TimeProfile``: the two times of a table: which are valid, and how far apart, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.time_kernels import MARGIN_NS
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.assess.histogram import CentredHistogram, quantiles
from lobproof.pages.axes import TimeGrid
from lobproof.schema import Int64
from lobproof.timespan import HOUR_NS

MS = 1e6
_UNIT_NS = 1000
"""Skew is counted in microseconds."""
_QUANTILES = (0.05, 0.5, 0.95, 0.99)
_FEWEST_CELLS = 4
_NORMAL_95 = 1.959964
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
    def of(cls, histograms: Sequence[CentredHistogram]) -> Quantiles:
        """Of values in ns."""
        found = quantiles(histograms, _QUANTILES)
        return cls(*(None if one is None else round(one / MS, 4) for one in found))


@dataclass(frozen=True, slots=True)
class Drift:
    """How the skew changes: slope of its medians by cell of time, ms an hour.

    The median of the slopes between all pairs of cells (Theil and Sen), so that neither outlying
    rows nor outlying cells pull it; ``low`` to ``high``: its 95 % interval by Kendall's statistic,
    of cells that err independently.
    """

    ms_per_hour: float
    low: float
    high: float
    cells: int

    @property
    def seen(self) -> bool:
        """Whether the interval leaves no drift out."""
        return self.low > 0 or self.high < 0

    @classmethod
    def of(cls, hours: NDArray[np.float64], medians_ms: NDArray[np.float64]) -> Drift | None:
        """Of cells at different times; None of fewer than four."""
        n = len(hours)
        if n < _FEWEST_CELLS:
            return None
        one, other = np.triu_indices(n, 1)
        slopes = np.sort((medians_ms[other] - medians_ms[one]) / (hours[other] - hours[one]))
        wide = _NORMAL_95 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        low = max(round((len(slopes) - wide) / 2) - 1, 0)
        high = min(round((len(slopes) + wide) / 2), len(slopes) - 1)
        found = (float(np.median(slopes)), float(slopes[low]), float(slopes[high]))
        middle, least, most = (round(slope, 4) for slope in found)
        return cls(middle, least, most, n)


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

    ``drift``: None of too few cells; ``resolution``: of exchange times and of receive times;
    ``cell_ns``: length of a cell.
    """

    table: str
    total: Stretch
    hours: tuple[Stretch, ...]
    cells: tuple[Stretch, ...]
    drift: Drift | None
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
        self._skews = [CentredHistogram(_UNIT_NS) for _ in range(grid.columns)]
        self._latest = -1
        self._cell = 0
        self._timed = 0
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
        low, high = int(cells.min()), int(cells.max())
        for cell in range(low, high + 1):
            self._skews[cell].add(skew if low == high else skew[cells == cell])
        self._timed += len(skew)
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
            _drift(cells),
            (self._resolution(0), self._resolution(1)),
            self._grid.width,
        )

    def _stretch(self, cell: int, cells: tuple[int, ...] | list[int], start: int = -1) -> Stretch:
        where = self._grid.origin + cell * self._grid.width if start < 0 else start
        rows, null, zero, negative, outside, backward = (
            int(count) for count in self._counts[:, list(cells)].sum(axis=1)
        )
        skew = Quantiles.of([self._skews[one] for one in cells])
        return Stretch(where, rows, null, zero, negative, outside, backward, skew)

    def _resolution(self, column: int) -> str:
        """What all times but one in a thousand are whole counts of, and whether floats were."""
        few = self._timed / 1000
        if not self._timed:
            return "none"
        in_ms, in_us, exact = (off <= few for off in self._off[column].tolist())
        if not in_us:
            return "ns"
        return f"{'ms' if in_ms else 'µs'}{'' if exact else ', through float seconds'}"


def _drift(cells: Sequence[Stretch]) -> Drift | None:
    known = [(c.start_ns, c.rows, c.skew_ms.p50) for c in cells if c.skew_ms.p50 is not None]
    # a cell that hardly begins before the data ends is no cell
    least = np.median([rows for _, rows, _ in known]) / 10 if known else 0
    known = [one for one in known if one[1] >= least]
    starts = np.array([start for start, _, _ in known], np.int64)
    hours = (starts - starts[:1]) / HOUR_NS
    return Drift.of(hours, np.array([middle for _, _, middle in known], np.float64))
