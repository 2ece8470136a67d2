"""GARCH(1,1) with Student's t, fitted to returns of the mid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.fit import least, logistic, logit
from lobproof.fidelity.metrics.garch_kernels import TERMS, add_garch
from lobproof.fidelity.metrics.grid import Bool, Grid
from lobproof.fidelity.metrics.metric_kernels import PART
from lobproof.schema import Int64

STEPS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Steps that are tried, in seconds."""
MOST_ZEROS = 0.25
"""Returns are taken over the first step with a smaller share of zeros."""
FEWEST = 500
"""Fewer returns are not fitted: the estimate would say nothing."""
EDGE = 1e-4
"""Parameters so close to a bound are at it."""
_BACKCAST, _FADING = 75, 0.94
_LEAST_FREE, _MOST_FREE = 2.05, 497.95
"""Degrees of freedom lie between the one, as in the package arch, and so many more: at 2 there is
no variance, and beyond 500 Student's t is the normal law for all that data can tell."""


@dataclass(frozen=True, slots=True)
class Garch:
    """A fitted model of returns ``r_t = mu + e_t``.

    ``v_t = omega + alpha e_(t-1)^2 + beta v_(t-1)``, and ``e_t / sqrt(v_t)`` is of Student's t with
    ``nu`` degrees of freedom, scaled to variance 1.

    ``mu``, ``omega``: in the units of what was given. ``likelihood``: its logarithm. ``returns``:
    how many. ``converged``: False where the search did not end at a maximum. ``at_edge``: alpha,
    beta or 1 - alpha - beta is 0, or nu 2.05, as near as matters: the others then mean little.
    """

    mu: float
    omega: float
    alpha: float
    beta: float
    nu: float
    likelihood: float
    returns: int
    converged: bool

    @property
    def persistence(self) -> float:
        """``alpha + beta``."""
        return self.alpha + self.beta

    @property
    def at_edge(self) -> bool:
        """Whether a parameter is at a bound."""
        above = self.nu - _LEAST_FREE
        return min(self.alpha, self.beta, 1 - self.persistence, above) < EDGE


def likelihood(
    values: Float64, before: Float64, given: tuple[float, float, float, float, float]
) -> Float64:
    """Log likelihood and its slopes (6,) at ``(mu, omega, alpha, beta, nu)``.

    Parameters
    ----------
    before
        Where a series begins anew, as it does at the first value, what stands for the variance and
        the square before it (values,); below 0 elsewhere.
    """
    from scipy.special import digamma

    mu, omega, alpha, beta, nu = given
    terms = np.zeros(TERMS)
    add_garch(values, before, mu, omega, alpha, beta, nu, terms)
    n = len(values)
    half = 0.5 * (nu + 1)
    terms[0] += n * (math.lgamma(half) - math.lgamma(0.5 * nu) - 0.5 * math.log(math.pi * (nu - 2)))
    terms[5] += 0.5 * n * (float(digamma(half)) - float(digamma(0.5 * nu)) - 1 / (nu - 2))
    return terms


def fit_garch(
    values: Int64 | Float64, begins: Bool | None = None, start: Garch | None = None
) -> Garch | None:
    """The most likely parameters; None of fewer than `FEWEST` values, or of equal ones.

    Before a series, the variance is taken for a mean of its first 75 squares with weights that fall
    by 6 % each, as the package arch does. Searched with exact slopes over log omega and the logits
    of alpha + beta, of alpha's share of it, and of nu between 2.05 and 500: all bounds hold by
    themselves. Cost: a pass over the values for each evaluation, some 100 of them. Sources:
    Bollerslev (1986, 1987).

    Parameters
    ----------
    values
        Returns, in their order, all known.
    begins
        Where one does not follow the one before: a gap. By default only at the first.
    start
        A model of much the same values: the search begins there alone.
    """
    x = values.astype(np.float64)
    n = len(x)
    if n < FEWEST or float(x.std()) == 0:
        return None
    if begins is None:
        begins = np.arange(n) == 0
    deviation = float(x.std())
    x = x / deviation
    anew = before(x - x.mean(), begins)

    def loss(at: Float64) -> tuple[float, Float64]:
        given, slopes = _natural(at)
        terms = likelihood(x, anew, given) / -n
        return float(terms[0]), slopes @ terms[1:]

    starts = [
        (
            float(x.mean()),
            math.log(1 - persistence),
            logit(persistence),
            logit(share),
            logit(4 / _MOST_FREE),
        )
        for persistence in (0.5, 0.9, 0.98)
        for share in (0.08, 0.3)
    ]
    if start is not None:
        # of no memory at all, alpha's share says nothing
        share = start.alpha / start.persistence if start.persistence > 0 else 0.5
        free = (start.nu - _LEAST_FREE) / _MOST_FREE
        starts = [
            (
                start.mu / deviation,
                math.log(start.omega / deviation**2),
                _logit(start.persistence),
                _logit(share),
                _logit(free),
            )
        ]
    best, lowest, converged = least(loss, starts)
    (mu, omega, alpha, beta, nu), _ = _natural(best)
    return Garch(
        mu * deviation,
        omega * deviation**2,
        alpha,
        beta,
        nu,
        -n * (lowest + math.log(deviation)),
        n,
        converged,
    )


def _logit(p: float) -> float:
    """`logit`, of a number that may be 0 or 1 as near as floats tell."""
    return logit(min(max(p, 1e-12), 1 - 1e-12))


def before(values: Float64, begins: Bool) -> Float64:
    """Mean square before each series, at its first value (values,); -1 elsewhere."""
    found = np.full(len(values), -1.0)
    firsts = np.append(np.flatnonzero(begins), len(values))
    for first, stop in pairwise(firsts.tolist()):
        square = values[first : min(stop, first + _BACKCAST)] ** 2
        weights = _FADING ** np.arange(len(square))
        found[first] = float((weights * square).sum() / weights.sum())
    return found


def _natural(at: Float64) -> tuple[tuple[float, float, float, float, float], Float64]:
    """Parameters of the model, and their slopes along those of the search (search, model)."""
    mu, log_omega, to_persistence, to_share, to_free = np.clip(at, -40, 40).tolist()
    persistence, share = logistic(to_persistence), logistic(to_share)
    omega, tail = math.exp(log_omega), logistic(to_free)
    slopes = np.zeros((5, 5))
    slopes[0, 0] = 1
    slopes[1, 1] = omega
    slopes[2, 2] = share * persistence * (1 - persistence)
    slopes[2, 3] = (1 - share) * persistence * (1 - persistence)
    slopes[3, 2] = persistence * share * (1 - share)
    slopes[3, 3] = -slopes[3, 2]
    slopes[4, 4] = _MOST_FREE * tail * (1 - tail)
    nu = _LEAST_FREE + _MOST_FREE * tail
    return (mu, omega, persistence * share, persistence * (1 - share), nu), slopes


def garch_step(grid: Grid) -> float | None:
    """The shortest step of `STEPS_S` with less than `MOST_ZEROS` of zero returns; None if none has.

    Ticks make returns of short steps 0 so often that the model does not speak of them.
    """
    for seconds in STEPS_S:
        steps = grid.steps(seconds)
        found = grid.returns(steps)[steps.known]
        if len(found) and np.count_nonzero(found == 0) < MOST_ZEROS * len(found):
            return seconds
    return None


def garch_of(grid: Grid, seconds: float) -> Garch | None:
    """The model of the returns of a step, as parts of the mid; gaps begin the series anew."""
    steps = grid.steps(seconds)
    at = np.flatnonzero(steps.known)
    begins = np.diff(at, prepend=-2) != 1
    return fit_garch(grid.returns(steps)[at] / PART, begins | (steps.first[at] == at))
