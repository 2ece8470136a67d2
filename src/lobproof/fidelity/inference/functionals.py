"""Figures of a stream, from sums over its blocks: what `equivalence` and `bootstrap` compare.

Each takes float64[M, p], a row of sums each, and gives float64[M, q]. What is not defined (a mean
below 0 under a logarithm, a quantile among the values off the histogram) is NaN, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError

Array = NDArray[np.float64]
Functional = Callable[[Array], Array]
"""float64[M, p] → float64[M, q]."""

PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def log_count(sums: Array) -> Array:
    """Logarithm of the number of observations; columns: n."""
    return _log(sums[:, :1])


def log_mean(shift: float = 0.0) -> Functional:
    """Logarithm of the mean; columns: n, Σ(x − shift)."""

    def figure(sums: Array) -> Array:
        return _log(shift + sums[:, 1:2] / sums[:, :1])

    return figure


def log_sd(sums: Array) -> Array:
    """Logarithm of the standard deviation; columns: n, Σ(x − c), Σ(x − c)², whatever c is.

    The nearer c is to the mean, the fewer digits are lost.
    """
    mean, square = (sums[:, k : k + 1] / sums[:, :1] for k in (1, 2))
    return 0.5 * _log(square - mean**2)


def kurtosis(sums: Array) -> Array:
    """``m₄/m₂²``, 3 for a normal distribution; columns: n, Σ(x − c)^k for k = 1 … 4."""
    a, b, c, d = (sums[:, k : k + 1] / sums[:, :1] for k in (1, 2, 3, 4))
    second = b - a**2
    fourth = d - 4.0 * a * c + 6.0 * a**2 * b - 3.0 * a**4
    return np.asarray(np.where(second > 0.0, fourth / second**2, np.nan))


def autocorrelation(lags: int) -> Functional:
    """Autocorrelations; columns: n, Σ(x − c), Σ(x − c)², then n_k and Σ(x_i − c)(x_i+k − c) by lag.

    ``ρ_k = (Σ/n_k − mean²)/variance``: the first ``lags`` of the last columns are n_k, the others
    sums of products.
    """

    def figure(sums: Array) -> Array:
        mean, square = (sums[:, k : k + 1] / sums[:, :1] for k in (1, 2))
        variance = square - mean**2
        products = sums[:, 3 + lags :] / sums[:, 3 : 3 + lags]
        return np.asarray(np.where(variance > 0.0, (products - mean**2) / variance, np.nan))

    return figure


def regression(sums: Array) -> Array:
    """Slope and R² of y on x; columns: n, Σx, Σy, Σx², Σxy, Σy²."""
    x, y, xx, xy, yy = (sums[:, k] / sums[:, 0] for k in (1, 2, 3, 4, 5))
    var_x, var_y, together = xx - x**2, yy - y**2, xy - x * y
    slope = np.where(var_x > 0.0, together / var_x, np.nan)
    share = np.where((var_x > 0.0) & (var_y > 0.0), together**2 / (var_x * var_y), np.nan)
    return np.stack([slope, share], axis=1)


def log_slope(sums: Array) -> Array:
    """Logarithm of the slope, for a margin relative to it; columns as of `regression`."""
    return _log(regression(sums)[:, :1])


def log_quantiles(edges: ArrayLike, probabilities: Sequence[float] = PROBABILITIES) -> Functional:
    """Logarithms of quantiles, evenly spread within their bin; columns: counts of the K bins.

    For variables that are not on a lattice, and positive: of one with a sign take its absolute
    value.

    Parameters
    ----------
    edges
        float64[K + 1], rising; the outer two may be infinite. A quantile in an infinite bin, or
        one at or below 0, is NaN; so are all where one bin holds everything.
    probabilities
        Which quantiles.
    """
    bounds = np.asarray(edges, np.float64)
    if bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0.0).all():
        raise UsageError("these edges do not rise", hint="give each bin a width above 0")
    low, width = bounds[:-1], np.diff(bounds)
    levels = np.asarray(probabilities, np.float64)

    def figure(sums: Array) -> Array:
        below = np.cumsum(sums, axis=1)
        found = np.full((len(sums), len(levels)), np.nan)
        rows = np.arange(len(sums))
        spread = np.count_nonzero(sums > 0.0, axis=1) > 1
        for k, level in enumerate(levels):
            target = level * below[:, -1]
            at = np.minimum((below < target[:, None]).sum(axis=1), len(low) - 1)
            inside = sums[rows, at]
            share = (target - (below[rows, at] - inside)) / inside
            found[:, k] = np.where(spread, low[at] + share * width[at], np.nan)
        return _log(found)

    return figure


def _log(values: Array) -> Array:
    """NaN where there is no finite logarithm."""
    good = (values > 0.0) & (values < np.inf)
    return np.asarray(np.where(good, np.log(np.where(good, values, 1.0)), np.nan))
