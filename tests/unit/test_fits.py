"""GARCH and Hawkes: likelihoods against plain ones, fits against arch and known parameters."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from lobproof.fidelity.metrics import garch, hawkes
from lobproof.fidelity.metrics.fit import logistic, logit
from plain import series as plain

pytestmark = pytest.mark.kernels

pytest.importorskip("scipy", reason="fits need scipy (extra fidelity)")

Float64 = NDArray[np.float64]
CHI_SQUARED = {3: 16.27, 5: 20.52}
"""99.9 % quantiles by degrees of freedom: twice what the true parameters may be less likely by."""


def simulated_garch(
    n: int, omega: float, alpha: float, beta: float, nu: float, seed: int
) -> Float64:
    """Returns of the model, in its units."""
    shocks = np.random.default_rng(seed).standard_t(nu, n) * math.sqrt((nu - 2) / nu)
    variance, found = omega / (1 - alpha - beta), np.zeros(n)
    for at, shock in enumerate(shocks.tolist()):
        found[at] = math.sqrt(variance) * shock
        variance = omega + alpha * found[at] ** 2 + beta * variance
    return found


def simulated_hawkes(mu: float, branching: float, beta: float, end: float, seed: int) -> Float64:
    """Times by Ogata's thinning."""
    rng, time, echo = random.Random(seed), 0.0, 0.0
    times: list[float] = []
    while True:
        most = mu + echo
        wait = rng.expovariate(most)
        time += wait
        if time > end:
            return np.array(times)
        echo *= math.exp(-beta * wait)
        if rng.random() * most < mu + echo:
            times.append(time)
            echo += branching * beta


def test_the_likelihood_of_garch_and_its_slopes() -> None:
    values = simulated_garch(300, 0.05, 0.1, 0.85, 5.0, seed=1)
    begins = np.zeros(300, np.bool_)
    begins[[0, 90, 91, 200]] = True
    series = [part.tolist() for part in np.split(values, [90, 91, 200])]
    mean = float(values.mean())
    given = (0.02, 0.07, 0.12, 0.8, 4.5)

    def value(at: list[float]) -> float:
        mu, omega, alpha, beta, nu = at
        return plain.garch_likelihood(series, mu, omega, alpha, beta, nu, mean)

    found = garch.likelihood(values, garch.before(values - mean, begins), given)
    assert found[0] == pytest.approx(value(list(given)), rel=1e-12)
    assert found[1:].tolist() == pytest.approx(list(plain.slopes(value, given)), rel=1e-6)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("omega", "alpha", "beta", "nu", "seed"),
    [(0.02, 0.08, 0.9, 6.0, 7), (0.1, 0.2, 0.6, 4.5, 8), (0.005, 0.03, 0.96, 8.0, 9)],
)
def test_garch_is_archs(omega: float, alpha: float, beta: float, nu: float, seed: int) -> None:
    arch = pytest.importorskip("arch", reason="the other fit is arch's")
    values = simulated_garch(20_000, omega, alpha, beta, nu, seed)
    model = arch.arch_model(values, mean="Constant", vol="GARCH", dist="t", rescale=False)
    theirs = model.fit(disp="off", tol=1e-12).params
    ours = garch.fit_garch(values * 1e-5)
    assert ours is not None
    assert ours.converged
    assert not ours.at_edge
    pairs = {
        "omega": ours.omega * 1e10,
        "alpha[1]": ours.alpha,
        "beta[1]": ours.beta,
        "nu": ours.nu,
    }
    for name, found in pairs.items():
        assert found == pytest.approx(float(theirs[name]), rel=1e-3)
    assert ours.persistence == pytest.approx(theirs["alpha[1]"] + theirs["beta[1]"], rel=1e-4)


@pytest.mark.compiled
def test_garch_finds_what_was_simulated() -> None:
    values = simulated_garch(20_000, 0.1, 0.15, 0.75, 5.0, seed=3)
    found = garch.fit_garch(values)
    assert found is not None
    assert found.converged
    assert found.returns == 20_000
    given = (found.mu, found.omega, found.alpha, found.beta, found.nu)
    first = np.arange(len(values)) == 0
    terms = garch.likelihood(values, garch.before(values - values.mean(), first), given)
    assert found.likelihood == pytest.approx(float(terms[0]), rel=1e-12)
    assert np.abs(terms[1:] * given).max() < 1e-4 * len(values)
    true = garch.likelihood(
        values, garch.before(values - values.mean(), first), (0.0, 0.1, 0.15, 0.75, 5.0)
    )
    assert 0 <= 2 * (terms[0] - true[0]) < CHI_SQUARED[5]


@pytest.mark.compiled
def test_garch_does_not_fit_what_says_nothing() -> None:
    assert garch.fit_garch(np.zeros(10_000)) is None
    assert garch.fit_garch(np.arange(garch.FEWEST - 1)) is None
    independent = np.random.default_rng(5).standard_t(5, 5_000)
    found = garch.fit_garch(independent)
    assert found is not None
    assert found.alpha < 0.05


@pytest.mark.compiled
def test_returns_that_are_zero_mostly_have_no_model() -> None:
    rng = np.random.default_rng(14)
    returns = np.where(rng.random(3_600) < 0.03, 7_700 * rng.choice((-1, 1), 3_600), 0)
    found = garch.fit_garch(returns)
    assert found is not None
    assert found.at_edge


def test_a_search_may_begin_at_a_model_without_memory() -> None:
    values = np.random.default_rng(1).normal(0.0, 100.0, 1_000)
    without = garch.Garch(0.0, 1e4, 0.0, 0.0, 8.0, 0.0, 1_000, True)
    assert garch.fit_garch(values, start=without) is not None


def test_the_likelihood_of_hawkes_and_its_slopes() -> None:
    times = simulated_hawkes(0.5, 0.6, 2.0, 150.0, seed=1)
    given = (0.7, 0.5, 3.0)

    def value(at: list[float]) -> float:
        mu, branching, beta = at
        return plain.hawkes_likelihood(times.tolist(), 150.0, mu, branching, beta)

    found = hawkes.likelihood(times, 150.0, *given)
    assert found[0] == pytest.approx(value(list(given)), rel=1e-12)
    assert found[1:].tolist() == pytest.approx(list(plain.slopes(value, given)), rel=1e-6)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("mu", "branching", "beta"), [(0.5, 0.6, 3.0), (1.0, 0.3, 0.5), (0.2, 0.85, 20.0)]
)
def test_hawkes_finds_what_was_simulated(mu: float, branching: float, beta: float) -> None:
    times = simulated_hawkes(mu, branching, beta, 8_000.0, seed=2)
    at = np.rint(times * 1e9).astype(np.int64) + 1_723_161_600 * 10**9
    begin = 1_723_161_600 * 10**9
    found = hawkes.fit_hawkes(at, begin, begin + 8_000 * 10**9)
    assert found is not None
    assert found.converged
    seconds = (at - begin) / 1e9
    terms = hawkes.likelihood(seconds, 8_000.0, found.mu, found.branching, found.beta)
    assert found.likelihood == pytest.approx(float(terms[0]), rel=1e-9)
    true = hawkes.likelihood(seconds, 8_000.0, mu, branching, beta)
    assert 0 <= 2 * (terms[0] - true[0]) < CHI_SQUARED[3]


@pytest.mark.compiled
def test_trades_of_one_time_are_one_event() -> None:
    times = np.rint(simulated_hawkes(1.0, 0.4, 2.0, 500.0, seed=3) * 1e9).astype(np.int64)
    once = hawkes.fit_hawkes(times)
    assert once is not None
    assert hawkes.fit_hawkes(np.repeat(times, 3)) == once


@pytest.mark.compiled
def test_times_that_cannot_be_fitted() -> None:
    rising = np.arange(1_000) * 10**9
    assert hawkes.fit_hawkes(rising[: hawkes.FEWEST - 1]) is None
    assert hawkes.fit_hawkes(np.zeros(1_000, np.int64)) is None
    with pytest.raises(ValueError, match="in order"):
        hawkes.fit_hawkes(rising[::-1])
    with pytest.raises(ValueError, match="outside"):
        hawkes.fit_hawkes(rising, start=1)
    even = hawkes.fit_hawkes(rising)
    assert even is not None
    assert even.branching < 0.01


@pytest.mark.compiled
def test_what_has_no_memory_is_not_said_to_have_one() -> None:
    rng = np.random.default_rng(6)
    even = hawkes.fit_hawkes(np.cumsum(rng.exponential(1e7, 20_000)).astype(np.int64))
    assert even is not None
    assert even.at_edge or even.branching < 0.05
    normal = garch.fit_garch(rng.normal(0, 1, 20_000))
    assert normal is not None
    assert normal.converged
    assert normal.alpha < 0.03
    assert normal.nu > 30


def test_logits() -> None:
    for p in (1e-6, 0.3, 0.5, 0.999):
        assert logistic(logit(p)) == pytest.approx(p, rel=1e-9)
