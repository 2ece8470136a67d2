"""The likelihood of GARCH(1,1) with Student's t, and its slopes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel

TERMS = 6
"""Log likelihood, then its slopes along mu, omega, alpha, beta, nu."""


@kernel
def add_garch(
    values: NDArray[np.float64],
    before: NDArray[np.float64],
    mu: float,
    omega: float,
    alpha: float,
    beta: float,
    nu: float,
    terms: NDArray[np.float64],
) -> None:
    """Add up ``terms`` but for what depends on nu alone.

    ``before``: where a series begins anew, what stands for the variance and the square before its
    first value; elsewhere below 0.
    """
    total = by_mu = by_omega = by_alpha = by_beta = by_nu = 0.0
    variance = last = square = 0.0
    d_mu = d_omega = d_alpha = d_beta = 0.0
    free, half = nu - 2.0, 0.5 * (nu + 1.0)
    for at in range(len(values)):
        if before[at] >= 0.0:
            variance = square = before[at]
            last = d_mu = d_omega = d_alpha = d_beta = 0.0
        d_mu = beta * d_mu - 2.0 * alpha * last
        d_omega = beta * d_omega + 1.0
        d_alpha = beta * d_alpha + square
        d_beta = beta * d_beta + variance
        variance = omega + alpha * square + beta * variance
        last = values[at] - mu
        square = last * last
        wide = variance * free + square
        grown = math.log1p(square / (variance * free))
        total -= 0.5 * math.log(variance) + half * grown
        slope = (half * square / wide - 0.5) / variance
        by_mu += slope * d_mu + 2.0 * half * last / wide
        by_omega += slope * d_omega
        by_alpha += slope * d_alpha
        by_beta += slope * d_beta
        by_nu += half * square / (free * wide) - 0.5 * grown
    terms[0] += total
    terms[1] += by_mu
    terms[2] += by_omega
    terms[3] += by_alpha
    terms[4] += by_beta
    terms[5] += by_nu
