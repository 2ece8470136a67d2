"""How far apart two samples of a number are: total variation by groups, and Wasserstein-1.

Both are biased upwards: two samples of one law differ, too. `noise` is how much, on average, were
values independent. Values of neighbouring messages are not (a spread lasts for hundreds), so the
real floor is higher: compare with what two days of real data differ by. For the same reason the
intervals that LOB-Bench gives, of a bootstrap that draws single values, are far too narrow; none
are given here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64

Float64 = NDArray[np.float64]

DECILES = np.arange(0.1, 1.0, 0.1)
_NEXT = 1e-2
"""How far behind a decile that comes twice the second group begins."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How two samples differ.

    ``l1``: total variation distance of their groups, 0 to 1. ``wasserstein``: Wasserstein-1 in
    units of the pooled standard deviation. None where a sample is empty. ``noise``: see the module.
    ``undefined``: values of both that had no meaning, and are left out.
    """

    l1: float | None
    wasserstein: float | None
    noise: float | None
    groups: int
    real: int
    generated: int
    undefined: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "l1": self.l1,
            "wasserstein": self.wasserstein,
            "l1_noise": self.noise,
            "groups": self.groups,
            "real": self.real,
            "generated": self.generated,
            "undefined": self.undefined,
        }


@dataclass(frozen=True, slots=True)
class Pooled:
    """Both samples: rising values, each once, how often each sample has them, and all, sorted."""

    value: Float64
    real: Int64
    generated: Int64
    all: Float64

    @classmethod
    def of(cls, real: Float64, generated: Float64) -> Pooled:
        """Count the values of two samples, none of them NaN."""
        real, generated = np.sort(real), np.sort(generated)
        pooled = np.sort(np.concatenate([real, generated]), kind="stable")
        value = pooled[np.diff(pooled, prepend=np.nan) != 0]
        return cls(value, _counts(real, value), _counts(generated, value), pooled)


def _counts(values: Float64, of: Float64) -> Int64:
    """How often each of ``of`` is among sorted values."""
    return np.diff(np.searchsorted(values, of, side="right"), prepend=0)


def distance(real: Float64, generated: Float64, *, discrete: bool) -> Distance:
    """Distance of two samples.

    Groups are the values themselves where they are ``discrete``. Else they are those between edges
    of equal distance, from the least to the largest value of both samples, by the rule of Freedman
    and Diaconis (width ``2 IQR / n^(1/3)``, the ``n`` of both together; one group where the IQR is
    0); the largest value is a group of its own, as published.
    """
    known, known_generated = real[~np.isnan(real)], generated[~np.isnan(generated)]
    undefined = len(real) - len(known) + len(generated) - len(known_generated)
    if not len(known) or not len(known_generated):
        return Distance(None, None, None, 0, len(known), len(known_generated), undefined)
    pooled = Pooled.of(known, known_generated)
    group = np.arange(len(pooled.value)) if discrete else freedman_diaconis(pooled)
    l1, noise, groups = total_variation(pooled, group)
    return Distance(
        l1,
        wasserstein(pooled),
        noise,
        groups,
        len(known),
        len(known_generated),
        undefined,
    )


def freedman_diaconis(pooled: Pooled) -> Int64:
    """Group of each value; the edges are never made, since heavy tails ask for billions."""
    low, high = float(pooled.all[0]), float(pooled.all[-1])
    q25, q75 = np.percentile(pooled.all, [25, 75])
    width = 2.0 * (q75 - q25) * len(pooled.all) ** (-1.0 / 3.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = int(np.ceil((high - low) / width)) if width > 0 else 1
    step = (high - low) / bins
    group = np.floor((pooled.value - low) / step)
    # rounding may put a value on the wrong side of an edge: ask the edges themselves
    group -= group * step + low > pooled.value
    group += (group + 1) * step + low <= pooled.value
    group = np.clip(group, 0, bins - 1)
    group[pooled.value >= high] = bins
    return group.astype(np.int64)


def deciles(pooled: Pooled, *, quantiles: Float64 = DECILES) -> Int64:
    """Group of each value by the quantiles of both samples together.

    Of a quantile that comes several times two are kept, the second raised by 0.01, so that whole
    numbers that are so frequent are a group of their own.
    """
    edges = np.quantile(pooled.all, quantiles)
    again = np.append(False, edges[1:] == edges[:-1])
    edges = edges[~(again & np.append(False, again[:-1]))]
    again = np.append(False, edges[1:] == edges[:-1])
    edges[again] += _NEXT
    return np.searchsorted(edges, pooled.value, side="right")


def total_variation(pooled: Pooled, group: Int64) -> tuple[float, float, int]:
    """Half the sum over groups of the difference of shares; its noise; the number of groups."""
    first = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    many, many_generated = int(pooled.real.sum()), int(pooled.generated.sum())
    real = np.add.reduceat(pooled.real, first)
    generated = np.add.reduceat(pooled.generated, first)
    l1 = float(np.abs(real / many - generated / many_generated).sum() / 2)
    share = (real + generated) / (many + many_generated)
    variance = share * (1 - share) * (1 / many + 1 / many_generated)
    return l1, float(np.sqrt(2 / np.pi * variance).sum() / 2), len(first)


def wasserstein(pooled: Pooled) -> float:
    """Area between the distribution functions, over the standard deviation of all values.

    Samples of one same value are 0 apart.
    """
    if len(pooled.value) == 1:
        return 0.0
    real = np.cumsum(pooled.real[:-1]) / pooled.real.sum()
    generated = np.cumsum(pooled.generated[:-1]) / pooled.generated.sum()
    area = np.abs(real - generated) @ np.diff(pooled.value)
    return float(area / np.std(pooled.all, ddof=1))


def conditional(
    real: tuple[Float64, Float64],
    generated: tuple[Float64, Float64],
    *,
    discrete: bool,
    edges: Float64 | None,
    condition_discrete: bool,
) -> Distance:
    """Distance of a number given another: the mean over groups of the condition, by their size.

    ``real`` and ``generated`` are values and conditions. The condition is grouped by its values
    (``condition_discrete``), by given ``edges``, or by deciles; in each group the values are
    grouped anew, by value or by deciles. As published, a group that only one sample has counts 1 in
    ``l1`` and 0 in ``wasserstein``: a generator that is never where the market is looks close by
    the latter.
    """
    sizes = [len(real[0]), len(generated[0])]
    real, generated = _known(real), _known(generated)
    undefined = sum(sizes) - len(real[0]) - len(generated[0])
    if not len(real[0]) or not len(generated[0]):
        return Distance(None, None, None, 0, len(real[0]), len(generated[0]), undefined)
    pooled = Pooled.of(real[1], generated[1])
    if condition_discrete:
        number = np.arange(len(pooled.value))
    elif edges is not None:
        number = np.searchsorted(edges, pooled.value, side="right")
    else:
        number = deciles(pooled)
    parts = [
        _split(values, number[np.searchsorted(pooled.value, condition)], int(number[-1]) + 1)
        for values, condition in (real, generated)
    ]
    l1 = apart = noise = 0.0
    groups = 0
    total = len(real[0]) + len(generated[0])
    for ours, theirs in zip(*parts, strict=True):
        weight = (len(ours) + len(theirs)) / total
        if not len(ours) and not len(theirs):
            continue
        groups += 1
        if not len(ours) or not len(theirs):
            l1 += weight
            continue
        inner = Pooled.of(ours, theirs)
        group = np.arange(len(inner.value)) if discrete else deciles(inner)
        one, floor, _ = total_variation(inner, group)
        l1 += weight * one
        noise += weight * floor
        apart += weight * wasserstein(inner)
    return Distance(l1, apart, noise, groups, len(real[0]), len(generated[0]), undefined)


def _known(pair: tuple[Float64, Float64]) -> tuple[Float64, Float64]:
    """Values and conditions where both are known."""
    known = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
    return pair[0][known], pair[1][known]


def _split(values: Float64, group: Int64, groups: int) -> list[Float64]:
    """The values of each group."""
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=groups))
    return np.split(values[order], ends[:-1])
