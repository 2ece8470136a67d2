"""The plain two-sample K-S test, as everybody runs it. It assumes independent observations.

Market data are not independent: on streams of one law it raises false alarms in most comparisons,
and where noise is common to both it passes what is off by 1 %. It is reported always, and decides
nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError, need_extra

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class PlainKs:
    """Distance and asymptotic p of the full samples."""

    d: float
    p: float
    n_r: int
    n_g: int

    @property
    def ks_pass(self) -> bool:
        """Whether p is above 5 %."""
        return self.p > ALPHA


def ks_of_counts(counts_r: ArrayLike, counts_g: ArrayLike) -> PlainKs:
    """K-S of two histograms on the same edges.

    Parameters
    ----------
    counts_r, counts_g
        int64[K]. On a lattice with a bin for each value this is the test of the samples; else D is
        that of the binned values, at most the samples' own.

    Returns
    -------
    PlainKs
        ``p = P(D_n > D)`` of Kolmogorov's distribution with ``n = round(n_R·n_G/(n_R + n_G))``, as
        ``scipy.stats.ks_2samp(method="asymp")`` has it.

    Raises
    ------
    UsageError
        They are no counts on the same bins, or a sample is empty.
    ExtraError
        The extra ``fidelity`` is not installed.

    Notes
    -----
    O(K).

    References
    ----------
    Hodges (1958), Arkiv för Matematik 3; Simard and L'Ecuyer (2011), Journal of Statistical
    Software.
    """
    r, g = np.asarray(counts_r), np.asarray(counts_g)
    if r.shape != g.shape or r.ndim != 1 or {r.dtype.kind, g.dtype.kind} - set("iu"):
        raise UsageError(
            f"no counts on the same bins: {r.shape} and {g.shape}",
            hint="give whole numbers of one dimension, on the same edges",
        )
    return _judged(np.cumsum(r, dtype=np.int64), np.cumsum(g, dtype=np.int64))


def ks_of_samples(r: ArrayLike, g: ArrayLike) -> PlainKs:
    """K-S of two samples, float64[n_R] and float64[n_G], without NaN; ties are no matter.

    O(n log n) time and some 50 bytes per observation. Else as `ks_of_counts`.
    """
    first, second = np.sort(np.asarray(r, np.float64)), np.sort(np.asarray(g, np.float64))
    if first.ndim != 1 or second.ndim != 1 or np.isnan(first).any() or np.isnan(second).any():
        raise UsageError("no samples", hint="give two arrays of one dimension, without NaN")
    values = np.concatenate([first, second])
    return _judged(
        np.append(np.searchsorted(first, values, "right"), len(first)),
        np.append(np.searchsorted(second, values, "right"), len(second)),
    )


def _judged(below_r: NDArray[np.int64], below_g: NDArray[np.int64]) -> PlainKs:
    """From numbers at or below each x, the last of which are the samples' sizes."""
    sizes = [int(below[-1]) if len(below) else 0 for below in (below_r, below_g)]
    if not all(sizes):
        raise UsageError("a sample is empty", hint="compare what both streams have")
    need_extra("fidelity")
    from scipy.stats import kstwo

    d = float(np.abs(below_r / sizes[0] - below_g / sizes[1]).max())
    larger, smaller = float(max(sizes)), float(min(sizes))
    size = np.round(larger * smaller / (larger + smaller))
    # of two single observations: they can tell nothing
    p = float(kstwo.sf(d, size)) if size else 1.0
    return PlainKs(d, min(max(p, 0.0), 1.0), *sizes)
