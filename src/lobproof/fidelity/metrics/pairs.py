"""Autocorrelations and regressions, from sums that add up over blocks.

What takes ``sums`` takes any number of leading axes: a total, or the totals that lack a block each.
"""

from __future__ import annotations

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.grid import Steps
from lobproof.fidelity.metrics.lag_kernels import add_products
from lobproof.schema import Int64

CLOSE_LAGS = 50
LAGS = np.unique(
    np.concatenate(
        [np.arange(CLOSE_LAGS + 1), np.rint(np.geomspace(CLOSE_LAGS, 1000, 21)).astype(np.int64)]
    )
)
"""0 to 50, then twenty more to 1000, evenly in their logarithms; in steps."""
LAG_SUMS = 4
PAIR_SUMS = 6


def lag_sums(steps: Steps, values: Int64 | Float64, lags: Int64 = LAGS) -> Float64:
    """Sums for `autocorrelation` (blocks, lags, 4).

    Of the pairs of known values ``lag`` steps apart, whose later one is the block's: how many they
    are, sums of the later and of the earlier values, sums of products. Cost: a product for each
    value and lag.

    Parameters
    ----------
    values
        One for each step.
    lags
        In steps; the first is 0.
    """
    sums = np.zeros((steps.blocks, len(lags), LAG_SUMS))
    add_products(
        values.astype(np.float64),
        steps.known,
        steps.block,
        steps.first,
        lags.astype(np.int64),
        sums,
    )
    return sums


def autocorrelation(sums: Float64) -> Float64:
    """Autocorrelation at each lag but 0 (..., lags - 1), of sums (..., lags, 4) with lag 0 first.

    ``rho_k = c_k / c_0`` with ``c_k`` the mean of ``(x_t - m)(x_(t-k) - m)`` over the pairs that
    are known, and ``m`` the mean of all values. NaN where there is no pair, or nothing varies.
    """
    n, later, earlier, products = (sums[..., k] for k in range(LAG_SUMS))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (later / n)[..., :1]
        covariance = products / n - mean * (later + earlier) / n + mean * mean
        varies = covariance[..., :1]
        return np.where(varies > 0, covariance[..., 1:] / varies, np.nan)


def pair_sums(steps: Steps, x: Int64 | Float64, y: Int64 | Float64) -> Float64:
    """Sums for `slope`, `r_squared` and `correlation` (blocks, 6): n, Sx, Sy, Sxx, Sxy, Syy."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    parts = (np.ones(len(steps)), x, y, x * x, x * y, y * y)
    return np.stack([steps.added(part) for part in parts], axis=-1)


def slope(sums: Float64) -> Float64:
    """Slope of y on x by least squares, with an intercept; NaN where x does not vary."""
    xx, xy, _ = _spreads(sums)
    return _ratio(xy, xx)


def correlation(sums: Float64) -> Float64:
    """Pearson's correlation of x and y; NaN where one does not vary."""
    xx, xy, yy = _spreads(sums)
    return _ratio(xy, np.sqrt(np.maximum(xx, 0.0) * np.maximum(yy, 0.0)))


def r_squared(sums: Float64) -> Float64:
    """Share of y's variance that x explains; NaN where one does not vary."""
    return correlation(sums) ** 2


def _spreads(sums: Float64) -> tuple[Float64, Float64, Float64]:
    """n^2 times the variance of x, the covariance, and the variance of y."""
    n, x, y, xx, xy, yy = (sums[..., k] for k in range(PAIR_SUMS))
    return n * xx - x * x, n * xy - x * y, n * yy - y * y


def _ratio(over: Float64, under: Float64) -> Float64:
    """A quotient; NaN where the divisor is not above 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, over / under, np.nan)
