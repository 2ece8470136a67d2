"""How long observations remember, and how long the blocks therefore have to be.

A mean over dependent observations varies as one over ``n/τ`` independent ones would, with ``τ = 1
+ 2Σρ_k``. Blocks of at least ``20·τ`` are nearly independent of each other, and their spread tells
how much the whole varies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError

TAUS_PER_BLOCK = 20
MIN_BLOCKS = 40


def correlation_time(series: ArrayLike) -> float:
    """Integrated autocorrelation time ``τ = 1 + 2Σρ_k`` of a series, in observations.

    The sum ends where Geyer's initial monotone positive sequence does: the sums of pairs
    ``Γ_k = ρ_2k + ρ_2k+1`` are taken while they are positive, each no larger than the one before.

    Parameters
    ----------
    series
        float64[n], equally spaced in time (or in events), finite.

    Returns
    -------
    float
        1 for independent observations, less where they alternate; NaN for a series that is
        constant or shorter than two: it tells nothing of its memory.

    Raises
    ------
    UsageError
        It is no finite series.

    Notes
    -----
    O(n log n) time by FFT, some 50 bytes per observation.

    References
    ----------
    Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7.
    """
    values = _series(series)
    count = len(values)
    if count < 2 or values.min() == values.max():
        return math.nan
    centred = values - values.mean()
    size = 1 << (2 * count - 1).bit_length()  # so long that no end meets the other
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    covariance = np.fft.irfft(spectrum, size)[: count // 2 * 2]
    pairs = covariance.reshape(-1, 2).sum(axis=1) / covariance[0]
    ends = np.flatnonzero(pairs <= 0.0)
    kept = np.minimum.accumulate(pairs[: ends[0]] if len(ends) else pairs)
    return float(2.0 * kept.sum() - 1.0)


@dataclass(frozen=True, slots=True)
class Memory:
    """Correlation times of a metric, in observations; NaN where an indicator is constant."""

    below_median: float
    """Of 1{x ≤ median}."""
    far_from_mean: float
    """Of 1{|x − mean| > sd}."""

    @property
    def tau(self) -> float:
        """The largest; NaN where neither tells anything."""
        known = [tau for tau in (self.below_median, self.far_from_mean) if not math.isnan(tau)]
        return max(known, default=math.nan)


def memory(series: ArrayLike) -> Memory:
    """Correlation times of the two indicators of a metric: one of its centre, one of its spread.

    Parameters
    ----------
    series
        float64[n], as for `correlation_time`.

    Notes
    -----
    Two `correlation_time`.
    """
    values = _series(series)
    if not len(values):
        return Memory(math.nan, math.nan)
    far = np.abs(values - values.mean()) > values.std()
    return Memory(correlation_time(values <= np.median(values)), correlation_time(far))


@dataclass(frozen=True, slots=True)
class BlockRule:
    """How long blocks have to be, and whether a span has enough of them."""

    tau: float
    length: float
    """Of a block, at least, in the unit of time that was given; NaN if unknown."""
    blocks: int
    """So many blocks of this length the span has."""
    attainable: bool
    """Whether these are at least 40."""

    def doubt(self, length: float, blocks: int) -> str:
        """Why blocks as they were made are not enough for a verdict; empty if they are.

        Parameters
        ----------
        length
            Of each block, in the unit of the rule.
        blocks
            How many there are.
        """
        if math.isnan(self.length):
            return "the series is constant: how long it remembers is unknown"
        if not self.attainable:
            return f"{self.blocks} blocks of 20 correlation times, {MIN_BLOCKS} are needed"
        if length < self.length:
            return f"blocks of {length:g} are shorter than 20 correlation times, {self.length:g}"
        return too_few(blocks)


def too_few(blocks: int) -> str:
    """Why so many blocks are not enough for a verdict; empty if they are."""
    return f"{blocks} blocks, {MIN_BLOCKS} are needed" if blocks < MIN_BLOCKS else ""


def block_rule(tau: float, dt: float, span: float) -> BlockRule:
    """The shortest blocks that are long enough: ``20·max(τ, 1)·dt``, and at least 40 of them.

    Parameters
    ----------
    tau
        Correlation time in observations; the largest of all metrics that share the blocks.
    dt
        Time between observations, in any unit; for events the mean time between them.
    span
        Time observed, in the same unit.
    """
    if not (dt > 0.0 and span >= 0.0):
        raise UsageError(
            f"no blocks for observations every {dt:g} over {span:g}",
            hint="give dt above 0 and span not below it, in one unit of time",
        )
    length = TAUS_PER_BLOCK * max(tau, 1.0) * dt if not math.isnan(tau) else math.nan
    blocks = int(span / length) if length < math.inf else 0
    return BlockRule(tau, length, blocks, blocks >= MIN_BLOCKS)


def _series(series: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(series, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise UsageError(
            f"no finite series: an array of shape {values.shape}",
            hint="give one dimension, without NaN and infinities",
        )
    return values
