"""How much of the trading trades themselves bring about: a Hawkes process of their times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.fit import least, logistic, logit
from lobproof.fidelity.metrics.hawkes_kernels import TERMS, add_hawkes
from lobproof.schema import Int64

FEWEST = 100
"""Fewer times are not fitted."""
DECAYS = 20.0
"""What was observed is at least so many times ``1 / beta``: a slower echo is a trend."""
EDGE = 1.05
"""A ``beta`` below so many times its least one is at it."""


@dataclass(frozen=True, slots=True)
class Hawkes:
    """A fitted process of rate ``mu + sum over t_i < t of n beta exp(-beta (t - t_i))``.

    ``mu``: per second, of what nothing brought about. ``branching``: ``n``, how many events each
    one brings about, below 1. ``beta``: per second, how fast that fades. ``likelihood``: its
    logarithm, times in seconds. ``events``: distinct times. ``converged``: False where the search
    did not end at a maximum. ``at_edge``: no echo fades within what was observed, so ``branching``
    tells nothing, as of events that come evenly, or with a trend.
    """

    mu: float
    branching: float
    beta: float
    likelihood: float
    events: int
    converged: bool
    at_edge: bool


def likelihood(times: Float64, end: float, mu: float, branching: float, beta: float) -> Float64:
    """Log likelihood of times from 0 on, observed until ``end``, and its slopes (4,).

    Cost: one pass (Ogata 1981): the sum over all events before is the one at the event before,
    faded.
    """
    terms = np.zeros(TERMS)
    add_hawkes(times, end, mu, branching, beta, terms)
    return terms


def fit_hawkes(times: Int64, start: int | None = None, end: int | None = None) -> Hawkes | None:
    """The most likely exponential Hawkes process; None of fewer than `FEWEST` distinct times.

    Events of one time are one: a single order that takes many resting ones is many trades, and
    would make ``beta`` infinite. Searched with exact slopes from four starts, over log mu, the
    logit of n and log beta. Cost: some 40 ns for each event and evaluation, some 150 evaluations.

    Parameters
    ----------
    times
        Nanoseconds, in order.
    start, end
        What was observed, ns: by default from the first time to the last. Nothing may be missing in
        between: fit what lies between gaps by itself.

    Raises
    ------
    ValueError
        If times fall, or lie outside of what was observed.
    """
    if (np.diff(times) < 0).any():
        raise ValueError("times of events have to be in order")
    distinct = np.unique(times)
    n = len(distinct)
    if n < FEWEST:
        return None
    begin = int(distinct[0]) if start is None else start
    stop = int(distinct[-1]) if end is None else end
    if begin > distinct[0] or stop < distinct[-1]:
        raise ValueError("times of events lie outside of what was observed")
    unit = (stop - begin) / n  # the mean time between events, so that all parameters are near 1
    x = (distinct - begin) / unit
    slowest = DECAYS / n

    def loss(at: Float64) -> tuple[float, Float64]:
        mu, branching, beta = _natural(at, slowest)
        terms = likelihood(x, float(n), mu, branching, beta) / -n
        slopes = np.array([mu, branching * (1 - branching), beta - slowest])
        return float(terms[0]), slopes * terms[1:]

    starts = [(math.log(0.5), logit(0.5), math.log(beta)) for beta in (0.3, 3.0, 30.0, 300.0)]
    best, lowest, converged = least(loss, starts)
    mu, branching, beta = _natural(best, slowest)
    per_second = 1e9 / unit
    return Hawkes(
        mu * per_second,
        branching,
        beta * per_second,
        n * (math.log(per_second) - lowest),
        n,
        converged,
        beta < EDGE * slowest,
    )


def _natural(at: Float64, slowest: float) -> tuple[float, float, float]:
    """Parameters of the process, of those of the search."""
    log_mu, to_branching, log_beta = (float(one) for one in np.clip(at, -40, 40))
    return math.exp(log_mu), logistic(to_branching), slowest + math.exp(log_beta)
