"""Each formula of the inference against plain Python that shares no code with it."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lobproof.fidelity.exact.report import student_95
from lobproof.fidelity.inference.dependence import correlation_time
from lobproof.fidelity.inference.equivalence import (
    jackknife_equivalence,
    ks_equivalence,
    total_variation,
)
from lobproof.fidelity.inference.functionals import log_mean, log_quantiles, log_sd
from lobproof.fidelity.inference.permutation import block_permutation
from lobproof.fidelity.inference.plain import ks_of_counts, ks_of_samples
from lobproof.fidelity.inference.signflip import sign_flip
from plain import inference as by_hand

Rows = list[list[int]]


@st.composite
def paired(draw: st.DrawFn, blocks: int = 6, bins: int = 5) -> tuple[Rows, Rows]:
    """Counts of two streams, some blocks empty, many of them alike."""
    b, k = draw(st.integers(2, blocks)), draw(st.integers(2, bins))
    row = st.lists(st.integers(0, 9), min_size=k, max_size=k)
    r = draw(st.lists(row, min_size=b, max_size=b))
    g = draw(st.one_of(st.just(r), st.lists(row, min_size=b, max_size=b)))
    assume(np.count_nonzero(np.sum(r, axis=0) + np.sum(g, axis=0)) > 1 and np.any(r) and np.any(g))
    return r, g


@given(paired())
def test_k_s_equivalence_is_its_formula(streams: tuple[Rows, Rows]) -> None:
    r, g = streams
    found = ks_equivalence(r, g)
    half_lines = [lambda k, edge=edge: k <= edge for edge in range(len(r[0]))]
    upper, lower = by_hand.bounds(r, g, half_lines, student_95(len(r) - 1))
    assert found.upper == pytest.approx(upper, abs=1e-12)
    # at the last edge both are 1 and known to be: it bounds nothing from below
    assert max(found.lower, 0.0) == pytest.approx(max(lower, 0.0), abs=1e-12)
    assert found.estimate == pytest.approx(by_hand.distance(r, g), abs=1e-12)


@given(paired())
def test_total_variation_is_over_all_sets(streams: tuple[Rows, Rows]) -> None:
    r, g = streams
    found = total_variation(r, g)
    sets = [
        lambda k, chosen=chosen: chosen[k] for chosen in product([False, True], repeat=len(r[0]))
    ]
    upper, _ = by_hand.bounds(r, g, sets, student_95(len(r) - 1))
    p, q = (np.sum(one, axis=0) / np.sum(one) for one in (r, g))
    assert found.upper == pytest.approx(upper, abs=1e-12)
    assert found.estimate == pytest.approx(0.5 * float(np.abs(p - q).sum()), abs=1e-12)
    assert found.lower <= found.estimate


@given(
    st.integers(2, 8).flatmap(
        lambda b: st.tuples(
            *[
                st.lists(
                    st.lists(st.floats(0.5, 40.0), min_size=2, max_size=5), min_size=b, max_size=b
                )
            ]
            * 2
        )
    )
)
def test_the_jackknife_is_its_formula(streams: tuple[list[list[float]], list[list[float]]]) -> None:
    def sums(rows: list[list[float]]) -> list[list[float]]:
        return [[len(row), sum(x - 9 for x in row), sum((x - 9) ** 2 for x in row)] for row in rows]

    r, g = map(sums, streams)
    (found,) = jackknife_equivalence(r, g, log_mean(9.0), names=["mean"])
    theta, se = by_hand.jackknife(r, g, lambda s: math.log(9.0 + s[1] / s[0]))
    assert found.estimate == pytest.approx(theta, abs=1e-10)
    assert found.se == pytest.approx(se, abs=1e-10)
    values = np.array([x for row in streams[0] for x in row])
    if values.std() > 1e-3:
        total = np.sum(r, axis=0)[None]
        assert log_sd(total)[0, 0] == pytest.approx(math.log(values.std()), abs=1e-6)


@given(
    st.lists(st.integers(0, 5), min_size=3, max_size=12), st.sampled_from([0.01, 0.25, 0.5, 0.99])
)
def test_quantiles_lie_where_the_mass_below_says(counts: list[int], level: float) -> None:
    assume(np.count_nonzero(counts) > 1)
    edges = np.cumsum(np.arange(1, len(counts) + 2)) / 2.0
    at = math.exp(log_quantiles(edges, [level])(np.array([counts], np.float64))[0, 0])
    below = np.interp(at, edges, np.concatenate([[0.0], np.cumsum(counts)]))
    assert below / sum(counts) == pytest.approx(level, abs=1e-9)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=80))
def test_the_correlation_time_is_its_sum(series: list[int]) -> None:
    found = correlation_time(series)
    if len(set(series)) == 1:
        assert math.isnan(found)
    else:
        # where a pair is zero but for rounding, either may take it: that changes nothing
        assert found == pytest.approx(by_hand.correlation_time(series), abs=1e-9)


@given(st.integers(2, 6).flatmap(lambda b: st.lists(paired(b), min_size=1, max_size=3)))
def test_few_sign_flips_are_all_there_are(pairs: list[tuple[Rows, Rows]]) -> None:
    assume(len({len(r) for r, _ in pairs}) == 1)
    found = sign_flip(pairs)  # type of counts: lists
    assert found.exact
    assert found.flips + 1 == 2 ** len(pairs[0][0])
    assert found.p == pytest.approx(by_hand.all_flips(pairs))


@given(paired(4, 4), st.integers(0, 3))
def test_permutations_come_near_all_choices(streams: tuple[Rows, Rows], seed: int) -> None:
    r, g = streams
    assume(all(map(any, [*r, *g])))
    found = block_permutation([r], [g], permutations=3999, seed=seed)
    assert found.d[0] == pytest.approx(by_hand.distance(r, g), abs=1e-12)
    # six standard errors of 4000 draws
    assert found.p[0] == pytest.approx(by_hand.all_choices(r, g), abs=0.05)
    assert found.p_min == found.p_max == found.p_adjusted[0] == found.p[0]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
)
def test_the_plain_test_of_counts_is_that_of_samples(r: list[int], g: list[int]) -> None:
    of_counts = ks_of_counts(np.bincount(r, minlength=10), np.bincount(g, minlength=10))
    assert of_counts == ks_of_samples(r, g)
    assert of_counts.d == pytest.approx(
        by_hand.distance(
            [np.bincount(r, minlength=10).tolist()], [np.bincount(g, minlength=10).tolist()]
        )
    )
