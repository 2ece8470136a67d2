"""``Histogram``: signed whole numbers counted in logarithmic bins; their quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64

STEPS = 1024
"""Bins to a power of two."""


class Histogram:
    """Counts values, whatever their number, in memory that follows from their range alone.

    A bin is less than one part in a thousand of its value wide; within it a quantile is
    interpolated.
    """

    def __init__(self) -> None:
        self._first = 0
        self._counts = np.zeros(0, np.int64)
        self.largest: int | None = None

    def add(self, values: Int64) -> None:
        """Count more values."""
        if len(values):
            self.largest = max(int(values.max()), self.largest or 0)
            self.add_bins(bins_of(values))

    def add_bins(self, bins: Int64) -> None:
        """Count values by their bins (`bins_of`); the largest one is not kept."""
        if not len(bins):
            return
        low, high = int(bins.min()), int(bins.max())
        self._widen(low, high)
        counted = np.bincount(bins - low, minlength=high - low + 1)
        at = low - self._first
        self._counts[at : at + len(counted)] += counted

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted."""
        if not len(other._counts):
            return
        self._widen(other._first, other._first + len(other._counts) - 1)
        at = other._first - self._first
        self._counts[at : at + len(other._counts)] += other._counts

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self._counts.sum())

    def quantile(self, share: float) -> float | None:
        """The value that so large a share of all is at or below; None of nothing."""
        total = self.total
        if not total:
            return None
        passed = np.cumsum(self._counts)
        wanted = max(share * total, 1e-9)
        at = int(np.searchsorted(passed, wanted))
        low, high = edges(np.array([self._first + at], np.int64))
        within = (wanted - (passed[at] - self._counts[at])) / self._counts[at]
        return float(low[0] + (high[0] - low[0]) * within)

    def coarse(self, to_power: int) -> dict[int, int]:
        """Counts by ``floor(log2(value) * to_power)``; values of 0 and less are left out."""
        used = np.flatnonzero(self._counts)
        bins = used + self._first
        used, bins = used[bins > 0], bins[bins > 0]
        low, high = edges(bins)
        keys = np.floor(np.log2((low + high) / 2) * to_power).astype(np.int64)
        found: dict[int, int] = {}
        for key, count in zip(keys.tolist(), self._counts[used].tolist(), strict=True):
            found[key] = found.get(key, 0) + count
        return found

    def _widen(self, low: int, high: int) -> None:
        if not len(self._counts):
            self._first, self._counts = low, np.zeros(high - low + 1, np.int64)
            return
        before = max(self._first - low, 0)
        after = max(high - (self._first + len(self._counts) - 1), 0)
        if before or after:
            self._counts = np.pad(self._counts, (before, after))
            self._first -= before


def bins_of(values: Int64) -> Int64:
    """The bin of each value: 0 of 0, and symmetric around it."""
    mantissa, exponent = np.frexp(np.abs(values.astype(np.float64)))
    where = exponent.astype(np.int64) * STEPS + ((mantissa - 0.5) * 2 * STEPS).astype(np.int64)
    bins: Int64 = np.where(values == 0, 0, np.sign(values) * where)
    return bins


def edges(bins: Int64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper edge of bins."""
    size = np.abs(bins)
    power, step = np.divmod(size, STEPS)
    near = np.ldexp(0.5 + step / (2 * STEPS), power)
    far = np.ldexp(0.5 + (step + 1) / (2 * STEPS), power)
    low = np.where(bins > 0, near, np.where(bins < 0, -far, 0.0))
    high = np.where(bins > 0, far, np.where(bins < 0, -near, 0.0))
    return low, high
