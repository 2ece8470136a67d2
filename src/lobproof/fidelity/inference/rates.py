"""Bounds of shares among independent trials: of seeds that were rejected, of false alarms.

Mismatches of a store come in bursts, and are bounded by the spread between blocks of time:
`lobproof.fidelity.exact.report.block_rate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from lobproof.errors import UsageError, need_extra


@dataclass(frozen=True, slots=True)
class Share:
    """So many among so many, with the bounds of a confidence interval."""

    hits: int
    trials: int
    lower: float
    upper: float


def upper_if_none(trials: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate of which nothing was seen: ``1 − (1 − confidence)^(1/n)``.

    At 95 % it is just below 3/n, the rule of three; 1 without a trial.
    """
    _check(0, trials, confidence)
    return -math.expm1(math.log1p(-confidence) / trials) if trials else 1.0


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> Share:
    """The exact two-sided interval: it covers with at least its confidence, whatever the rate.

    Raises
    ------
    UsageError
        More hits than trials, or a number below 0.
    ExtraError
        The extra ``fidelity`` is not installed.

    References
    ----------
    Clopper and Pearson (1934), Biometrika 26.
    """
    _check(hits, trials, confidence)
    need_extra("fidelity")
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2.0
    lower = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    upper = float(betaincinv(hits + 1, trials - hits, 1.0 - tail)) if hits < trials else 1.0
    return Share(hits, trials, lower, upper)


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Share:
    """Wilson's two-sided interval: it covers with about its confidence, and is narrower.

    From 0 to 1 without a trial.

    References
    ----------
    Wilson (1927), Journal of the American Statistical Association 22.
    """
    _check(hits, trials, confidence)
    if not trials:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    rate, weight = hits / trials, z * z / trials
    centre = (rate + weight / 2.0) / (1.0 + weight)
    half = z / (1.0 + weight) * math.sqrt(rate * (1.0 - rate) / trials + weight / (4.0 * trials))
    lower = max(centre - half, 0.0) if hits else 0.0
    upper = min(centre + half, 1.0) if hits < trials else 1.0
    return Share(hits, trials, lower, upper)


def _check(hits: int, trials: int, confidence: float) -> None:
    if not (0 <= hits <= trials and 0.0 < confidence < 1.0):
        raise UsageError(
            f"{hits} hits among {trials} trials, confidence {confidence:g}",
            hint="give at least as many trials as hits, and a confidence between 0 and 1",
        )
