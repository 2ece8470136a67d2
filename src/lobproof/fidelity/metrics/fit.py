"""The search for the parameters that make data most likely, from several starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64

SEARCHES = 2
"""How many starts are followed to their end."""
_CLOSE = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000, "maxfun": 5000}


def least(
    loss: Callable[[Float64], tuple[float, Float64]], starts: Sequence[Sequence[float]]
) -> tuple[Float64, float, bool]:
    """The parameters of the least loss that is found, the loss, and whether the search converged.

    L-BFGS-B from the `SEARCHES` best of the starts; the first of equal ones counts. A gradient that
    is still steep where the search ends is no convergence, whatever it says itself.

    Parameters
    ----------
    loss
        Value and gradient at parameters without bounds.

    Raises
    ------
    ModuleNotFoundError
        Without scipy, which the extra ``fidelity`` brings.
    """
    from scipy.optimize import minimize

    best, lowest, converged = np.array(starts[0]), math.inf, False
    points = [np.array(start, np.float64) for start in starts]
    for start in sorted(points, key=lambda point: loss(point)[0])[:SEARCHES]:
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=_CLOSE)
        if float(found.fun) < lowest:
            best, lowest = np.asarray(found.x, np.float64), float(found.fun)
            converged = bool(np.abs(found.jac).max() < 1e-5)
    return best, lowest, converged


def logistic(x: float) -> float:
    """From any number to one between 0 and 1."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def logit(p: float) -> float:
    """What `logistic` makes ``p`` of."""
    return math.log(p / (1.0 - p))
