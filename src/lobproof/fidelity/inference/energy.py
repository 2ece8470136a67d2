"""Energy distance: how far two laws of several dimensions are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import UsageError

_CHUNK = 256
"""Points whose distances to all others are in memory together."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy distance of two samples.

    ``distance``: ``2E|X - Y| - E|X - X'| - E|Y - Y'|``, 0 for equal laws only. ``coefficient``:
    that over ``2E|X - Y|``, from 0 to 1. NaN where a sample is empty. ``n_r``, ``n_g``: points of
    each.
    """

    distance: float
    coefficient: float
    n_r: int
    n_g: int


def energy_distance(r: NDArray[np.float64], g: NDArray[np.float64]) -> Energy:
    """The energy distance of points (n, d) and (m, d), by means over all pairs.

    A point and itself count as a pair, so that equal samples have 0, and others never less.
    O((n + m)²·d). Source: Székely and Rizzo (2013), Energy statistics.

    Raises
    ------
    UsageError
        If points are of different dimensions, or not finite.
    """
    if r.ndim != 2 or g.ndim != 2 or r.shape[1] != g.shape[1]:
        raise UsageError(
            f"points of shapes {r.shape} and {g.shape} have no distance",
            hint="give both as rows of the same columns",
        )
    if not (np.isfinite(r).all() and np.isfinite(g).all()):
        raise UsageError("a point is not finite", hint="leave out what is not known")
    if not len(r) or not len(g):
        return Energy(np.nan, np.nan, len(r), len(g))
    between = 2.0 * _mean_distance(r, g)
    distance = max(between - _mean_distance(r, r) - _mean_distance(g, g), 0.0)
    return Energy(distance, distance / between if between > 0.0 else 0.0, len(r), len(g))


def _mean_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean Euclidean distance over all pairs."""
    total = 0.0
    for first in range(0, len(a), _CHUNK):
        apart = a[first : first + _CHUNK, None, :] - b[None, :, :]
        total += float(np.sqrt(np.einsum("ijk,ijk->ij", apart, apart)).sum())
    return total / (len(a) * len(b))
