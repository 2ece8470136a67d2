"""Realised volatility, its signature, and how much of it is noise; all from sums by block.

What takes ``sums`` takes any number of leading axes.
"""

from __future__ import annotations

import math

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.metric_kernels import PART

SIGNATURE_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Steps of a signature plot, seconds."""
SLOW_S = 5.0
"""The slower of the two scales; the faster is the grid."""


def signature_sums(grid: Grid) -> Float64:
    """Number, squares and fourth powers of returns over each of `SIGNATURE_S` (blocks, steps, 3).

    Steps begin at every sample, so they overlap; a step is the business of the block in which it
    ends. Squares in units of 1e-16. Cost: ten passes over the grid.
    """
    found = []
    for seconds in SIGNATURE_S:
        steps = grid.sliding(seconds)
        squares = grid.returns(steps).astype(np.float64) ** 2
        parts = (np.ones(len(steps)), squares, squares * squares)
        found.append(np.stack([steps.added(part) for part in parts], axis=-1))
    return np.stack(found, axis=1)


def signature(sums: Float64) -> Float64:
    """Realised variance per second at each step (..., steps); NaN where there is no step.

    ``sum of r^2 / (n k)`` with k the step in seconds: the average of the realised variances over
    all grids of that step. Flat where the mid is a martingale without noise; noise lifts it at
    short steps (Andersen, Bollerslev, Diebold and Labys 2000).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        rates: Float64 = sums[..., 1] / sums[..., 0] / np.array(SIGNATURE_S) / PART**2
    return rates


def two_scale(sums: Float64) -> Float64:
    """Variance per second without the noise of the mid; NaN where a scale has no step.

    Zhang, Mykland and Ait-Sahalia (2005): the realised variance of the slow scale, averaged over
    its grids, less what noise adds to it, which the fast scale tells; their finite-sample factor is
    ``1 - fast / slow`` here. May be below 0 where the mid hardly moves.
    """
    fast, slow = _means(sums)
    return (slow - fast) / (SLOW_S - SIGNATURE_S[0])


def noise_variance(sums: Float64) -> Float64:
    """Variance of the noise of the log mid: half of what is left of a fast squared return.

    ``(mean r_fast^2 - fast * two_scale) / 2``. Below 0 where the mid follows its trend.
    """
    fast, _ = _means(sums)
    return (fast - SIGNATURE_S[0] * two_scale(sums)) / 2


def _means(sums: Float64) -> tuple[Float64, Float64]:
    """Mean squared return of the fast and of the slow scale."""
    slow = SIGNATURE_S.index(SLOW_S)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[..., 1] / sums[..., 0] / PART**2
    return mean[..., 0], mean[..., slow]


def log_realised(sums: Float64, seconds: float = 1.0) -> Float64:
    """Log of the realised volatility per square root of a second (...); NaN where nothing moved."""
    variance = signature(sums)[..., SIGNATURE_S.index(seconds)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, 0.5 * np.log(variance), math.nan)


def flatness(sums: Float64) -> Float64:
    """``E r^4 / (E r^2)^2`` at each step (..., steps); NaN where nothing moved.

    3 of a normal law. Falls with the step where bursts are short.
    """
    n, squares, fourths = (sums[..., k] for k in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(squares > 0, n * fourths / (squares * squares), np.nan)


def intermittency(sums: Float64) -> Float64:
    """How bursts of all lengths mix (...): 0 where returns of all steps are of one shape.

    With ``E |r_k|^q ~ k^zeta(q)``, ``(2 zeta(2) - zeta(4)) / 4``: a quarter of the slope, with the
    other sign, of log flatness along log k, by least squares over steps of 1 to 60 s. In a
    log-normal multifractal that is its intermittency coefficient (Bacry, Delour and Muzy 2001).
    NaN where a step has no flatness.
    """
    first = SIGNATURE_S.index(1.0)
    x = np.log(SIGNATURE_S[first:])
    with np.errstate(invalid="ignore"):
        y = np.log(flatness(sums)[..., first:])
    x = x - x.mean()
    slopes: Float64 = (y * x).sum(axis=-1) / (x * x).sum()
    return -slopes / 4
