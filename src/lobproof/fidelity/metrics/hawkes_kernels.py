"""The likelihood of a Hawkes process with an exponential kernel, and its slopes, in one pass."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel

TERMS = 4
"""Log likelihood, then its slopes along mu, the branching ratio, beta."""


@kernel
def add_hawkes(
    times: NDArray[np.float64],
    end: float,
    mu: float,
    branching: float,
    beta: float,
    terms: NDArray[np.float64],
) -> None:
    """Add up ``terms`` of times from 0 on, which rise, observed until ``end``."""
    total, by_mu, by_branching, by_beta = -mu * end, -end, 0.0, 0.0
    # sum of exp(-beta (t - t_i)) over those before, and its slope along beta
    echo, d_echo, last = 0.0, 0.0, 0.0
    for at in range(len(times)):
        if at > 0:
            gap = times[at] - last
            fading = math.exp(-beta * gap)
            d_echo = fading * (d_echo - gap * (echo + 1.0))
            echo = fading * (echo + 1.0)
        last = times[at]
        rate = mu + branching * beta * echo
        total += math.log(rate)
        by_mu += 1.0 / rate
        by_branching += beta * echo / rate
        by_beta += branching * (echo + beta * d_echo) / rate
        left = end - last
        fading = math.exp(-beta * left)
        total -= branching * (1.0 - fading)
        by_branching -= 1.0 - fading
        by_beta -= branching * left * fading
    terms[0] += total
    terms[1] += by_mu
    terms[2] += by_branching
    terms[3] += by_beta
