"""What returns are like: histograms, moments, gains beside losses, tails.

What takes ``sums`` takes any number of leading axes. The estimates that need all values at once
(L-kurtosis, Hill) take them as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.bin_kernels import BINS
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.count_kernels import count_signed, count_unsigned
from lobproof.fidelity.metrics.grid import Steps
from lobproof.schema import Int64

HORIZONS_S = (0.1, 1.0, 10.0, 60.0)
"""Returns are taken over each of these."""
TAIL_SHARES = (0.005, 0.01, 0.02)
"""Shares of the largest values that Hill's estimate is made of."""
POWERS = 4


def histogram(steps: Steps, values: Int64, *, signed: bool = True) -> NDArray[np.int32]:
    """How many known values fall into each frozen bin, by block (blocks, bins)."""
    counts = np.zeros((steps.blocks, BINS), np.int32)
    count = count_signed if signed else count_unsigned
    count(values, steps.known, steps.block, counts)
    return counts


def power_sums(steps: Steps, values: Int64 | Float64) -> Float64:
    """Number of known values and sums of their first four powers (blocks, 5).

    Of returns in 1e-8 the sums of the first two are exact below 2^53: a return of 1 % has a square
    of 1e12.
    """
    of = values.astype(np.float64)
    return np.stack([steps.added(of**power) for power in range(POWERS + 1)], axis=-1)


def variance(sums: Float64) -> Float64:
    """Variance m_2, by n; NaN of no value."""
    return _central(sums)[1]


def kurtosis(sums: Float64) -> Float64:
    """``m_4 / m_2^2``: 3 of a normal law, more of fat tails; NaN where nothing varies."""
    _, second, _, fourth = _central(sums)
    return _ratio(fourth, second * second)


def skewness(sums: Float64) -> Float64:
    """``m_3 / m_2^(3/2)``; NaN where nothing varies."""
    _, second, third, _ = _central(sums)
    return _ratio(third, np.maximum(second, 0.0) ** 1.5)


def _central(sums: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Mean and central moments 2 to 4, by n."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, second, third, fourth = (sums[..., k] / sums[..., 0] for k in range(1, 5))
    square = mean * mean
    return (
        mean,
        second - square,
        third - 3 * mean * second + 2 * mean * square,
        fourth - 4 * mean * third + 6 * square * second - 3 * square * square,
    )


def side_sums(steps: Steps, values: Int64 | Float64) -> Float64:
    """Of values above 0 and of those below: number and sum of squares of each (blocks, 4)."""
    of = values.astype(np.float64)
    parts = []
    for side in (of > 0, of < 0):
        parts += [steps.added(np.ones(len(of)), side), steps.added(of * of, side)]
    return np.stack(parts, axis=-1)


def gain_loss(sums: Float64) -> Float64:
    """Log ratio of the semivariances of gains and of losses; NaN where one has none.

    Barndorff-Nielsen, Kinnebrock and Shephard (2010): ``log(sum r^2 1{r>0} / sum r^2 1{r<0})``, 0
    where gains are as rough as losses.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.log(sums[..., 1] / sums[..., 3])
    return np.where(np.isfinite(found), found, np.nan)


def l_kurtosis(values: Int64) -> float:
    """L-kurtosis ``lambda_4 / lambda_2`` (Hosking 1990): 0.1226 of a normal law.

    Of unbiased probability-weighted moments. It exists whenever the mean does, where kurtosis needs
    four moments. Cost: a sort. NaN of fewer than four values, or of equal ones.
    """
    n = len(values)
    if n < 4:
        return math.nan
    x = np.sort(values).astype(np.float64)
    below = np.arange(n, dtype=np.float64)
    weight = np.ones(n)
    weighted = [math.fsum(x) / n]
    for k in range(3):
        weight = weight * (below - k) / (n - 1 - k)
        weighted.append(math.fsum(weight * x) / n)
    b0, b1, b2, b3 = weighted
    second = 2 * b1 - b0
    return (20 * b3 - 30 * b2 + 12 * b1 - b0) / second if second > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Tail:
    """Hill's estimate of a power tail.

    ``survival``: exponent of ``P(X > x)``, the one that lies in [2, 5] of returns; NaN where there
    is none. ``density``: that plus 1. ``used``: how many of the largest values were taken.
    ``threshold``: the next one. ``ties``: how many of those used equal it. ``error``: standard
    error of ``survival`` if values were independent.
    """

    survival: float
    used: int
    threshold: float
    ties: int

    @property
    def density(self) -> float:
        """Exponent of the density."""
        return self.survival + 1

    @property
    def error(self) -> float:
        """``survival / sqrt(used)``: too small where large values come together."""
        return self.survival / math.sqrt(self.used) if self.used else math.nan


def hill(values: Int64 | Float64, share: float) -> Tail:
    """The exponent of the tail of magnitudes (Hill 1975), of the largest ``share`` of them.

    ``1 / alpha = mean of log(x_(i) / x_(k+1))``, i = 1 to k, k = ceil(share n). Prices on ticks
    make ties: values that equal the threshold count with a logarithm of 0, as the formula has it,
    and `Tail.ties` says how many; where they are many of those used, alpha is too large by their
    share. Cost: a partial sort. Sources: Hill (1975); Clauset, Shalizi and Newman (2009).
    """
    x = np.abs(values.astype(np.float64))
    k = math.ceil(share * len(x))
    if k < 1 or k >= len(x):
        return Tail(math.nan, 0, math.nan, 0)
    largest = np.sort(np.partition(x, len(x) - k - 1)[-k - 1 :])
    threshold = float(largest[0])
    ties = int(np.count_nonzero(largest[1:] == threshold))
    if threshold <= 0:
        return Tail(math.nan, k, threshold, ties)
    logs = math.fsum(np.log(largest[1:] / threshold))
    return Tail(k / logs if logs > 0 else math.nan, k, threshold, ties)


def _ratio(over: Float64, under: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, over / under, np.nan)
