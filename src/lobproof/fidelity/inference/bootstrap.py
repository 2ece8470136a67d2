"""Bounds of a figure of one stream, where nothing is paired: its blocks are drawn anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lobproof.errors import UsageError
from lobproof.fidelity.inference.dependence import too_few
from lobproof.fidelity.inference.functionals import Functional

REPLICATES = 999


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A figure with its one-sided bounds."""

    estimate: float
    lower: float
    upper: float
    blocks: int
    replicates: int
    doubt: str
    """Why the bounds prove nothing; empty otherwise."""


def block_bootstrap(
    blocks: ArrayLike,
    functional: Functional,
    *,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    seed: int = 0,
    doubt: str = "",
) -> Bootstrap:
    """One-sided percentile bounds of a figure, from blocks that are drawn with replacement.

    Parameters
    ----------
    blocks
        [B, p]: additive statistics of each block.
    functional
        float64[M, p] → float64[M, 1]: see `functionals`.
    confidence
        Of the lower bound, and of the upper one.
    replicates
        How often B blocks are drawn.
    seed
        The same seed gives the same bounds.
    doubt
        `BlockRule.doubt` of the metric.

    Returns
    -------
    Bootstrap
        Bounds are NaN if the figure is not defined for every draw.

    Notes
    -----
    O(replicates·B·p), as one matrix product. Of heavy tails the bounds are too narrow: the largest
    value of all times is in no block.

    References
    ----------
    Carlstein (1986), Annals of Statistics 14: blocks that do not overlap; Lahiri (2003).
    """
    sums = np.asarray(blocks, np.float64)
    if sums.ndim != 2:
        raise UsageError(f"no blocks: {sums.shape}", hint="give a row of sums a block")
    count = len(sums)
    if count < 2:
        return Bootstrap(*(math.nan,) * 3, count, replicates, doubt or too_few(count))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1.0 / count), replicates).astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is said
        figures = functional(np.vstack([sums.sum(axis=0), drawn @ sums]))[:, 0]
    if not np.isfinite(figures).all():
        undefined = doubt or "it is not defined, of the stream or of a draw of its blocks"
        return Bootstrap(float(figures[0]), math.nan, math.nan, count, replicates, undefined)
    lower, upper = np.quantile(figures[1:], [1.0 - confidence, confidence])
    return Bootstrap(
        float(figures[0]), float(lower), float(upper), count, replicates, doubt or too_few(count)
    )
