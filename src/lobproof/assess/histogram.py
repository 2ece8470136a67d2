"""``Histogram``: signed whole numbers counted in logarithmic bins; their quantiles.

``CentredHistogram``: the same around a middle, so that a constant added to all values changes no
width of a bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64

STEPS = 1024
"""Bins to a power of two; values below it have a bin each."""
_LINEAR = STEPS.bit_length()
"""Exponent (as of `numpy.frexp`) of the first value that shares its bin."""
_FIRST = 255
"""Values whose median is a middle: an odd number, few enough to wait for."""


class Histogram:
    """Counts values, whatever their number, in memory that follows from their range alone.

    Values up to ``STEPS`` are counted one by one; from there on a bin is less than one part in a
    thousand of its value wide, and within it a quantile is interpolated.
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

    def quantile(self, share: float) -> float | None:
        """The value that so large a share of all is at or below; None of nothing."""
        return _quantile(*edges(self.bins), self.counts, share)

    @property
    def bins(self) -> Int64:
        """Bins that hold anything, rising."""
        return np.flatnonzero(self._counts) + self._first

    @property
    def counts(self) -> Int64:
        """How many values each of ``bins`` holds."""
        return self._counts[self._counts > 0]

    def coarse(self, to_power: int) -> dict[int, int]:
        """Counts by ``floor(log2(value) * to_power)``; values of 0 and less are left out."""
        bins, counts = self.bins, self.counts
        low, high = edges(bins[bins > 0])
        keys = np.floor(np.log2((low + high) / 2) * to_power).astype(np.int64)
        found: dict[int, int] = {}
        for key, count in zip(keys.tolist(), counts[bins > 0].tolist(), strict=True):
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


class CentredHistogram:
    """Counts values by their distance from the median of the first ones, in whole ``unit``.

    So its resolution follows from how far values are spread, not from where they lie. The first
    values are those that are added first, however they are cut into parts.
    """

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._waiting: list[Int64] = []
        self._waits = 0
        self._middle: int | None = None
        self._around = Histogram()

    def add(self, values: Int64) -> None:
        """Count more values."""
        if self._middle is not None:
            self._count(values)
            return
        self._waiting.append(values)
        self._waits += len(values)
        if self._waits >= _FIRST:
            self._settle()

    def spans(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Int64, int]:
        """Lower and upper edge of each bin from a middle on, values in it, and the middle."""
        if self._middle is None and self._waits:
            self._settle()
        low, high = edges(self._around.bins)
        return low * self._unit, high * self._unit, self._around.counts, self._middle or 0

    def _settle(self) -> None:
        values = np.concatenate(self._waiting)
        first = np.sort(values[:_FIRST])
        self._middle = int(first[len(first) // 2])
        self._waiting.clear()
        self._count(values)

    def _count(self, values: Int64) -> None:
        assert self._middle is not None
        self._around.add_bins(bins_of((values - self._middle) // self._unit))


def quantiles(parts: Sequence[CentredHistogram], shares: Sequence[float]) -> list[float | None]:
    """Quantiles of all values that several histograms counted, each around its own middle."""
    found = [part.spans() for part in parts]
    found = [one for one in found if len(one[2])]
    if not found:
        return [None] * len(shares)
    base = found[0][3]  # large offsets would cost digits of a float
    low = np.concatenate([one[0] + (one[3] - base) for one in found])
    high = np.concatenate([one[1] + (one[3] - base) for one in found])
    counts = np.concatenate([one[2] for one in found])
    order = np.lexsort((high, low))
    told = (_quantile(low[order], high[order], counts[order], share) for share in shares)
    return [None if one is None else base + one for one in told]


def _quantile(
    low: NDArray[np.float64], high: NDArray[np.float64], counts: Int64, share: float
) -> float | None:
    """The value that so large a share is at or below, of bins in order of their lower edges."""
    if not len(counts):
        return None
    passed = np.cumsum(counts)
    wanted = max(share * float(passed[-1]), 1e-9)
    at = min(int(np.searchsorted(passed, wanted)), len(counts) - 1)
    within = (wanted - (passed[at] - counts[at])) / counts[at]
    return float(low[at] + (high[at] - low[at]) * within)


def bins_of(values: Int64) -> Int64:
    """The bin of each value: the value itself below ``STEPS``, and symmetric around 0."""
    mantissa, exponent = np.frexp(np.abs(values.astype(np.float64)))
    octave = exponent.astype(np.int64) - _LINEAR
    where = STEPS + octave * STEPS + ((mantissa - 0.5) * 2 * STEPS).astype(np.int64)
    bins: Int64 = np.where(octave < 0, values, np.sign(values) * where)
    return bins


def edges(bins: Int64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper edge of bins; one of a single value has both there."""
    size = np.abs(bins)
    octave, step = np.divmod(size - STEPS, STEPS)
    start = np.ldexp(1.0, np.maximum(octave, 0) + _LINEAR - 1)
    near = np.where(octave < 0, size, start * (1 + step / STEPS))
    far = np.where(octave < 0, size, start * (1 + (step + 1) / STEPS))
    low = np.where(bins >= 0, near, -far)
    high = np.where(bins >= 0, far, -near)
    return low, high
