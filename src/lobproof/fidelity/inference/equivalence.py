"""Gate C: are two streams of one window the same, but for less than a margin? Paired blocks.

The market's noise is common to both streams, so the spread of the *differences* between paired
blocks tells how well the difference of the whole is known. A stream passes where every difference
is within the margin with 95 % confidence (two one-sided tests each, all of which must pass: an
intersection of tests needs no correction for their number), and fails where one lies outside with
confidence. In between, or with too few blocks, nothing is decided.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.errors import UsageError, need_extra
from lobproof.fidelity.exact.report import Verdict, student_95
from lobproof.fidelity.inference.counts import cumulative, one_bin, paired_counts
from lobproof.fidelity.inference.dependence import too_few
from lobproof.fidelity.inference.functionals import Functional

MARGIN = 0.005
"""Half of the 1 % that is to be detected."""
MAX_CATEGORIES = 16
"""Total variation looks at every set of categories."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """One figure of two streams, compared.

    Where there is nothing to compute, figures are NaN, and ``doubt`` says why.
    """

    name: str
    estimate: float
    """The difference; of distributions the largest absolute one."""
    se: float
    """Its standard error, at the place where ``upper`` is reached."""
    lower: float
    """The difference is at least so large (95 %; below 0 if not even its sign is known)."""
    upper: float
    """It is at most so large (95 %)."""
    margin: float
    mde95: float
    """2·t·se, the largest over all places: a smaller difference may well go unnoticed."""
    blocks: int
    verdict: Verdict
    doubt: str = ""
    """Why the verdict is inconclusive, whatever the figures say."""


def ks_equivalence(
    counts_r: ArrayLike,
    counts_g: ArrayLike,
    *,
    name: str = "distribution",
    margin: float = MARGIN,
    doubt: str = "",
) -> Equivalence:
    """Hold two distributions against each other by their largest difference, paired by blocks.

    With ``ψ_R,b(x) = c_R,b(x) − n_R,b·F̂_R(x)``, ``d_b = ψ_R,b/n_R − ψ_G,b/n_G`` and ``se² =
    B/(B−1)·Σd_b²``: ``U = max_x(|Δ̂| + t·se)`` and ``L = max_x(|Δ̂| − t·se)`` with ``Δ̂ = F̂_R −
    F̂_G`` and the 95 % point of Student's t of B − 1. Ties do no harm: x are the edges.

    Parameters
    ----------
    counts_r, counts_g
        int64[B, K], of the same blocks and bins; the first and last bin are for what lies outside.
    name
        Of the metric.
    margin
        Largest difference of probability that is of no account.
    doubt
        Why there can be no verdict: `BlockRule.doubt` of this metric, empty if there is none.

    Returns
    -------
    Equivalence
        Inconclusive, with the reason, with less than 40 blocks, an empty stream, or all mass of
        both streams in one bin. Identical streams have U = 0 and pass, if nothing of that is so.

    Notes
    -----
    O(B·K). U is a test of its level. L is a largest of bounds that hold for one x each: where the
    noise is as large as the margin, streams of one law fail more often than 5 %. It is meant for
    streams that share their noise.

    References
    ----------
    Schuirmann (1987); Berger and Hsu (1996), Statistical Science 11: intersection-union tests.
    """
    r, g = paired_counts(counts_r, counts_g)
    doubt = doubt or _doubt(r, g)
    if not _computable(r, g):
        return _nothing(name, margin, len(r), doubt)
    delta, error = difference(r, g)
    t = student_95(len(r) - 1)
    return _judged(
        name,
        float(np.abs(delta).max()),
        delta,
        error,
        t,
        t,
        margin,
        len(r),
        doubt,
    )


def difference(
    r: NDArray[np.int64], g: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``F̂_R − F̂_G`` of `ks_equivalence` at each edge, and its standard error.

    Parameters
    ----------
    r, g
        int64[B, K], of the same blocks and bins; at least two blocks, and no stream empty.
    """
    differences = _centred(cumulative(r), r) - _centred(cumulative(g), g)
    delta = cumulative(r).sum(axis=0) / r.sum() - cumulative(g).sum(axis=0) / g.sum()
    return delta, _error(differences)


def total_variation(
    counts_r: ArrayLike,
    counts_g: ArrayLike,
    *,
    name: str = "mix",
    margin: float = MARGIN,
    doubt: str = "",
) -> Equivalence:
    """Hold two mixes of categories without order against each other, paired by blocks.

    The total variation ``½Σ|p_R − p_G|`` is the largest difference of probability over all sets of
    categories, as K-S is over all half lines: U is the same maximum, over all sets. L takes
    Hotelling's bound, which holds for all sets at once: with K categories many sets differ by
    chance.

    Parameters
    ----------
    counts_r, counts_g
        int64[B, K] of at most 16 categories.
    name, margin, doubt
        As of `ks_equivalence`.

    Raises
    ------
    UsageError
        There are more categories.
    ExtraError
        The extra ``fidelity`` is not installed.

    Notes
    -----
    O(B·2^(K−1)): 12 categories and 144 blocks take milliseconds, 16 a tenth of a second.

    References
    ----------
    Hotelling (1931); Scheffé's simultaneous intervals.
    """
    r, g = paired_counts(counts_r, counts_g)
    if r.shape[1] > MAX_CATEGORIES:
        raise UsageError(
            f"{r.shape[1]} categories: all sets of them are too many",
            hint=f"merge categories: at most {MAX_CATEGORIES}",
        )
    doubt = doubt or _doubt(r, g)
    if not _computable(r, g):
        return _nothing(name, margin, len(r), doubt)
    inner = np.arange(1, 1 << (r.shape[1] - 1))  # the others are the complements of these
    sets = (inner >> np.arange(r.shape[1])[:, None] & 1).astype(np.float64)
    in_r, in_g = r @ sets, g @ sets
    differences = _centred(in_r, r) - _centred(in_g, g)
    delta = in_r.sum(axis=0) / r.sum() - in_g.sum(axis=0) / g.sum()
    free = int(np.count_nonzero((r + g).sum(axis=0))) - 1
    return _judged(
        name,
        float(np.abs(delta).max()),
        delta,
        _error(differences),
        student_95(len(r) - 1),
        _hotelling_95(free, len(r)),
        margin,
        len(r),
        doubt,
    )


def jackknife_equivalence(
    blocks_r: ArrayLike,
    blocks_g: ArrayLike,
    functional: Functional,
    *,
    names: Sequence[str],
    margin: float = MARGIN,
    doubt: str = "",
) -> list[Equivalence]:
    """Hold figures of two streams against each other, by a delete-one-block jackknife.

    ``θ̂ = f(Σ_b R_b) − f(Σ_b G_b)``; θ̂_(b) is the same without block b of both; and
    ``se² = (B−1)/B·Σ(θ̂_(b) − mean)²``, ``U = |θ̂| + t·se``, ``L = |θ̂| − t·se``.

    Parameters
    ----------
    blocks_r, blocks_g
        [B, p]: additive statistics of the same blocks.
    functional
        From sums, float64[M, p], to figures, float64[M, q], row by row: see `functionals`. It
        takes logarithms where a ratio is meant.
    names
        Of the q figures.
    margin
        Largest difference that is of no account.
    doubt
        As of `ks_equivalence`.

    Returns
    -------
    list of Equivalence
        One a figure. A figure that is no finite number, of the whole or without some block, is
        inconclusive, unless both streams have the same throughout and a finite one of the whole.

    Notes
    -----
    One call of the functional for each stream, on B + 1 rows.

    References
    ----------
    Künsch (1989), Annals of Statistics 17: jackknife of blocks; Efron and Stein (1981).
    """
    r, g = np.asarray(blocks_r, np.float64), np.asarray(blocks_g, np.float64)
    if r.ndim != 2 or r.shape != g.shape:
        raise UsageError(
            f"blocks or statistics differ: {r.shape} and {g.shape}",
            hint="give both streams' sums over the same blocks, a row a block",
        )
    if len(r) < 2:
        return [_nothing(name, margin, len(r), doubt or too_few(len(r))) for name in names]
    with np.errstate(all="ignore"):  # what is not finite is said below
        found = functional(whole_and_parts(r)), functional(whole_and_parts(g))
    return jackknifed(*found, names=names, margin=margin, doubt=doubt)


def jackknifed(
    figures_r: ArrayLike,
    figures_g: ArrayLike,
    *,
    names: Sequence[str],
    margin: float = MARGIN,
    doubt: str = "",
) -> list[Equivalence]:
    """`jackknife_equivalence` of figures that are worked out already.

    Parameters
    ----------
    figures_r, figures_g
        float64[B + 1, q]: of the whole first, then without each block.
    """
    differences, blocks = _differences(figures_r, figures_g, len(names))
    t = student_95(blocks - 1)
    found = []
    for name, column in zip(names, differences.T, strict=True):
        if not np.isfinite(column).all():
            undefined = doubt or "it is not defined, of a stream or of one without a block"
            found.append(_nothing(name, margin, blocks, undefined))
            continue
        why = doubt or too_few(blocks)
        se = jackknife_error(column[1:, None])
        found.append(_judged(name, float(column[0]), column[:1], se, t, t, margin, blocks, why))
    return found


def jackknifed_largest(
    figures_r: ArrayLike,
    figures_g: ArrayLike,
    *,
    name: str,
    margin: float = MARGIN,
    doubt: str = "",
) -> Equivalence:
    """Hold many figures of one kind against each other by their largest difference, as lags are.

    ``U = max_k(|θ̂_k| + t·se_k)`` and ``L = max_k(|θ̂_k| − t·se_k)``. Figures that neither stream
    has, in whole or without some block, are left out; one that a single stream lacks leaves the
    verdict open, as having none does.

    Parameters
    ----------
    figures_r, figures_g
        As of `jackknifed`.
    """
    r, g = np.asarray(figures_r, np.float64), np.asarray(figures_g, np.float64)
    both = np.isfinite(r).all(axis=0), np.isfinite(g).all(axis=0)
    known = both[0] & both[1]
    differences, blocks = _differences(r[:, known], g[:, known], int(known.sum()))
    why = doubt or too_few(blocks)
    if not known.any():
        return _nothing(name, margin, blocks, doubt or "it is not defined, of either stream")
    alone = (both[0] != both[1]) | (np.isfinite(r[0]) != np.isfinite(g[0]))
    if alone.any():
        why = why or f"{int(alone.sum())} of its figures only one stream has"
    t = student_95(blocks - 1)
    delta = differences[0]
    return _judged(
        name,
        float(np.abs(delta).max()),
        delta,
        jackknife_error(differences[1:]),
        t,
        t,
        margin,
        blocks,
        why,
    )


def _differences(
    figures_r: ArrayLike, figures_g: ArrayLike, many: int
) -> tuple[NDArray[np.float64], int]:
    """Differences of figures, of the whole and without each block; and how many blocks.

    A figure that is the same throughout differs nowhere, not even where neither stream has it: a
    series that leaves one value in a single block has no spread without that block.
    """
    r, g = np.asarray(figures_r, np.float64), np.asarray(figures_g, np.float64)
    if r.ndim != 2 or r.shape != g.shape or r.shape[1] != many or len(r) < 3:
        raise UsageError(
            f"{many} names for figures of shapes {r.shape} and {g.shape}",
            hint="give a name for each figure, and a row for the whole and for each of two blocks",
        )
    with np.errstate(invalid="ignore"):
        differences = r - g
    same = np.isfinite(r[0]) & ((r == g) | (np.isnan(r) & np.isnan(g))).all(axis=0)
    return np.where(same, 0.0, differences), len(r) - 1


def jackknife_error(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """``se² = (B−1)/B·Σ(θ̂_(b) − mean)²`` of each column."""
    blocks = len(parts)
    spread = np.sum((parts - parts.mean(axis=0)) ** 2, axis=0)
    return np.asarray(np.sqrt((blocks - 1) / blocks * spread), np.float64)


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Fail if any fails; pass if there is any and all pass; else inconclusive.

    What is not applicable decides nothing, and with nothing else there is no pass.
    """
    found = set(verdicts) - {Verdict.NOT_APPLICABLE}
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return (
        Verdict.PASS if found and found <= {Verdict.PASS, Verdict.EXACT} else Verdict.INCONCLUSIVE
    )


def _doubt(r: NDArray[np.int64], g: NDArray[np.int64]) -> str:
    if not (r.sum() and g.sum()):
        return "a stream is empty"
    if one_bin(r, g):
        return "all values lie in one bin: the histogram tells nothing"
    return too_few(len(r))


def _computable(r: NDArray[np.int64], g: NDArray[np.int64]) -> bool:
    return len(r) > 1 and bool(r.sum() and g.sum()) and not one_bin(r, g)


def _centred(hits: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """ψ_b/n: what each block adds to the deviation from the mean probability of each set."""
    n = counts.sum()
    expected = np.outer(counts.sum(axis=1), hits.sum(axis=0) / n)
    return np.asarray((hits - expected) / n, np.float64)


def _error(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    blocks = len(differences)
    return np.asarray(np.sqrt(blocks / (blocks - 1) * np.sum(differences**2, axis=0)), np.float64)


def whole_and_parts(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over all blocks, and below it the sums without one each (B + 1, ...)."""
    total = blocks.sum(axis=0)
    return np.concatenate([total[None], total - blocks])


def _judged(
    name: str,
    estimate: float,
    delta: NDArray[np.float64],
    se: NDArray[np.float64],
    t_upper: float,
    t_lower: float,
    margin: float,
    blocks: int,
    doubt: str,
) -> Equivalence:
    uppers = np.abs(delta) + t_upper * se
    at = int(uppers.argmax())
    upper, lower = float(uppers[at]), float((np.abs(delta) - t_lower * se).max())
    verdict = Verdict.INCONCLUSIVE
    if not doubt:
        verdict = Verdict.PASS if upper < margin else verdict
        verdict = Verdict.FAIL if lower > margin else verdict
    return Equivalence(
        name,
        estimate=estimate,
        se=float(se[at]),
        lower=lower,
        upper=upper,
        margin=margin,
        mde95=float(2.0 * t_upper * se.max()),
        blocks=blocks,
        verdict=verdict,
        doubt=doubt,
    )


def _nothing(name: str, margin: float, blocks: int, doubt: str) -> Equivalence:
    unknown = (math.nan,) * 4
    return Equivalence(name, *unknown, margin, math.nan, blocks, Verdict.INCONCLUSIVE, doubt)


def _hotelling_95(dimensions: int, blocks: int) -> float:
    """How many standard errors hold for all directions at once; too many with too few blocks."""
    if blocks <= dimensions:
        return sys.float_info.max
    need_extra("fidelity")
    from scipy.special import fdtri

    point = float(fdtri(dimensions, blocks - dimensions, 0.95))
    return math.sqrt(dimensions * (blocks - 1) / (blocks - dimensions) * point)
