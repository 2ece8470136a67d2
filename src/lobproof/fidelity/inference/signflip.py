"""Does a stream drift away from the other within a window? A flag: it fails nothing.

If R and G of a block have one law, their difference is as likely as its opposite. So the signs of
whole blocks may be flipped, all metrics together: the largest standardised difference over metrics
and x is held against what it is under random signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError
from lobproof.fidelity.inference.counts import cumulative, paired_counts

FLIPS = 999
ALPHA = 0.05
TIED = 1.0 - 1e-12
"""What is so near to the observed value is equal to it: sums round."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether streams differ in one direction over the blocks."""

    p: float
    """Of all metrics together; 1 where nothing differs."""
    statistic: float
    metric: int
    """Where it is reached: the metric, …"""
    bin: int
    """… and the bin at whose upper edge."""
    flips: int
    exact: bool
    """Whether the flips are all that there are."""
    can_flag: bool
    """Whether p can be at or below 5 % at all, with so few blocks."""

    @property
    def flagged(self) -> bool:
        """Whether p is at or below 5 %."""
        return self.p <= ALPHA


def sign_flip(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, flips: int = FLIPS, seed: int = 0
) -> Drift:
    """Joint sign-flip test over metrics that share their blocks.

    ``e_b(x) = (c_R,b − n_R,b·F̄)/n_R − (c_G,b − n_G,b·F̄)/n_G`` with F̄ of both streams together;
    ``T = max |Σ s_b·e_b(x)|/√Σe_b²`` over metrics and x, for signs s all + and for random ones;
    ``p = (1 + #{T* ≥ T})/(flips + 1)``. Where 2^B ≤ flips all signs are taken, and p is exact.

    Parameters
    ----------
    pairs
        For each metric int64[B, K] of R and of G; K may differ between metrics, B may not.
    flips
        Random ones.
    seed
        Of the random signs: the same seed gives the same p.

    Raises
    ------
    UsageError
        No metric, no block, or metrics of different blocks.

    Notes
    -----
    O(flips·B·ΣK): 999 flips of 40 metrics of 512 bins and 144 blocks are 3·10⁹ multiplications in
    matrix products, some 0.3 s. One metric's products at a time are held, flips·K·8 bytes.

    References
    ----------
    Canay, Romano and Shaikh (2017), Econometrica 85: randomisation with approximate symmetry.
    """
    metrics = [paired_counts(r, g) for r, g in pairs]
    blocks = {len(r) for r, _ in metrics}
    if len(blocks) != 1 or 0 in blocks:
        raise UsageError(
            f"{len(metrics)} metrics of {sorted(blocks)} blocks",
            hint="give at least one metric, all over the same blocks",
        )
    count = blocks.pop()
    signs, exact = _signs(count, flips, seed)
    largest = np.zeros(len(signs))
    statistic, metric, where = 0.0, 0, 0
    for k, (r, g) in enumerate(metrics):
        scaled = _scaled(r, g)
        if not scaled.shape[1]:
            continue
        sums = np.abs(signs @ scaled)
        if float(sums[0].max()) > statistic:
            statistic, metric, where = float(sums[0].max()), k, int(sums[0].argmax())
        np.maximum(largest, sums.max(axis=1), out=largest)
    # the first row is the observed one: it counts, once
    as_large = int(np.count_nonzero(largest >= statistic * TIED))
    return Drift(
        p=as_large / len(signs),
        statistic=statistic,
        metric=metric,
        bin=where,
        flips=len(signs) - 1,
        exact=exact,
        # all signs reversed are as large again
        can_flag=max(2.0 ** (1 - count), 1.0 / len(signs)) <= ALPHA,
    )


def _signs(blocks: int, flips: int, seed: int) -> tuple[NDArray[np.float64], bool]:
    """Signs [flips + 1, B], the first row all +; and whether they are all there are."""
    if 2**blocks <= flips:
        bits = np.arange(2**blocks)[:, None] >> np.arange(blocks) & 1
        return np.asarray(1.0 - 2.0 * bits, np.float64), True
    random = np.random.default_rng(seed).integers(0, 2, (flips + 1, blocks))
    random[0] = 0
    return np.asarray(1.0 - 2.0 * random, np.float64), False


def _scaled(r: NDArray[np.int64], g: NDArray[np.int64]) -> NDArray[np.float64]:
    """Differences of each block, [B, K − 1], in units of their root of the sum of squares."""
    below_r, below_g = cumulative(r), cumulative(g)
    if not (r.sum() and g.sum()):
        return np.zeros_like(below_r)
    mean = (below_r.sum(axis=0) + below_g.sum(axis=0)) / (r.sum() + g.sum())
    differences = (below_r - np.outer(r.sum(axis=1), mean)) / r.sum()
    differences -= (below_g - np.outer(g.sum(axis=1), mean)) / g.sum()
    scale = np.sqrt(np.sum(differences**2, axis=0))
    # below this it is rounding, not a difference
    return np.asarray(
        np.divide(differences, scale, out=np.zeros_like(differences), where=scale > 1e-12)
    )
