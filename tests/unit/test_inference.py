"""Inference beside SciPy's own tests, and where there is little or nothing to infer from."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lobproof.errors import UsageError
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.inference.bootstrap import block_bootstrap
from lobproof.fidelity.inference.conformal import conformal
from lobproof.fidelity.inference.dependence import (
    block_rule,
    correlation_time,
    memory,
)
from lobproof.fidelity.inference.equivalence import (
    jackknife_equivalence,
    ks_equivalence,
    overall,
    total_variation,
)
from lobproof.fidelity.inference.functionals import (
    autocorrelation,
    kurtosis,
    log_count,
    log_mean,
    log_quantiles,
    log_sd,
    log_slope,
    regression,
)
from lobproof.fidelity.inference.permutation import block_permutation
from lobproof.fidelity.inference.plain import ks_of_counts, ks_of_samples
from lobproof.fidelity.inference.rates import clopper_pearson, upper_if_none, wilson
from lobproof.fidelity.inference.signflip import sign_flip

SEED = 20_260
COUNTS = np.random.default_rng(SEED).integers(0, 50, (50, 9))


@pytest.mark.parametrize(("n", "m"), [(2, 3), (7, 400), (3_000, 4_000), (200_000, 1_000)])
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_the_plain_test_is_scipys(n: int, m: int, scale: float) -> None:
    random = np.random.default_rng(SEED + n)
    for digits in (0, 1, 9):
        r = np.round(random.normal(size=n), digits)
        g = np.round(random.normal(size=m) * scale, digits)
        theirs = stats.ks_2samp(r, g, method="asymp")
        ours = ks_of_samples(r, g)
        assert ours.d == pytest.approx(theirs.statistic, abs=1e-15)
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
        assert ours.ks_pass == (theirs.pvalue > 0.05)


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.0038, 0.0045, 0.02])
def test_the_jackknife_of_a_mean_is_the_two_one_sided_t_tests(shift: float) -> None:
    random = np.random.default_rng(SEED)
    g = random.normal(size=(60, 1))
    r = g + shift + random.normal(0.0, 0.004, size=(60, 1))
    of_r, of_g = (np.hstack([np.ones((60, 1)), one]) for one in (r, g))
    (found,) = jackknife_equivalence(of_r, of_g, lambda s: s[:, 1:] / s[:, :1], names=["mean"])
    gaps = (r - g)[:, 0]
    equal = max(
        stats.ttest_1samp(gaps, -0.005, alternative="greater").pvalue,
        stats.ttest_1samp(gaps, 0.005, alternative="less").pvalue,
    )
    off = stats.ttest_1samp(gaps, 0.005, alternative="greater").pvalue
    assert found.se == pytest.approx(stats.sem(gaps))
    assert (found.verdict is Verdict.PASS) == (equal < 0.05)
    assert (found.verdict is Verdict.FAIL) == (off < 0.05)


def test_intervals_are_scipys() -> None:
    for hits, trials in ((0, 10), (3, 200), (190, 200), (200, 200)):
        theirs = stats.binomtest(hits, trials)
        for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
            expected = theirs.proportion_ci(method=method)
            found = ours(hits, trials)
            assert found.lower == pytest.approx(expected.low, abs=1e-12)
            assert found.upper == pytest.approx(expected.high, abs=1e-12)
    assert (1.0 - upper_if_none(1072)) ** 1072 == pytest.approx(0.05)
    assert upper_if_none(1072) == pytest.approx(3 / 1072, rel=0.003)
    assert upper_if_none(0) == 1.0
    assert wilson(0, 0).upper == clopper_pearson(0, 0).upper == 1.0
    with pytest.raises(UsageError, match="Hint"):
        wilson(3, 2)


def test_identical_streams_pass_only_with_enough_blocks() -> None:
    for counts, verdict in ((COUNTS, Verdict.PASS), (COUNTS[:39], Verdict.INCONCLUSIVE)):
        for test in (ks_equivalence, total_variation):
            found = test(counts, counts)
            assert (found.verdict, found.upper, found.se) == (verdict, 0.0, 0.0)
            assert bool(found.doubt) == (verdict is Verdict.INCONCLUSIVE)
        sums = np.hstack([counts.sum(axis=1, keepdims=True), counts @ np.arange(1, 10)[:, None]])
        (mean,) = jackknife_equivalence(sums, sums, log_mean(), names=["mean"])
        assert (mean.verdict, mean.upper) == (verdict, 0.0)
    assert ks_equivalence(COUNTS, COUNTS, doubt="too short").verdict is Verdict.INCONCLUSIVE
    assert sign_flip([(COUNTS, COUNTS)]).p == 1.0


@pytest.mark.parametrize(
    ("r", "g", "why"),
    [
        (COUNTS[:1], COUNTS[:1], "1 blocks"),
        (COUNTS[:0], COUNTS[:0], "empty"),
        (COUNTS * 0, COUNTS, "empty"),
        (COUNTS[:, :1], COUNTS[:, :1], "one bin"),
        (COUNTS * (np.arange(9) == 4), COUNTS * (np.arange(9) == 4), "one bin"),
    ],
)
def test_nothing_to_infer_from_is_inconclusive(
    r: NDArray[np.int64], g: NDArray[np.int64], why: str
) -> None:
    for test in (ks_equivalence, total_variation):
        found = test(r, g)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert why in found.doubt
        assert math.isnan(found.upper)


def test_all_mass_in_another_bin_fails() -> None:
    r, g = COUNTS * (np.arange(9) == 4), COUNTS * (np.arange(9) == 5)
    for test in (ks_equivalence, total_variation):
        found = test(r, g)
        assert (found.verdict, found.estimate) == (Verdict.FAIL, 1.0)


def test_a_figure_that_is_not_defined_is_inconclusive() -> None:
    edges = np.concatenate([[-np.inf], np.arange(1.0, 9.0), [np.inf]])
    found = jackknife_equivalence(
        COUNTS, COUNTS, log_quantiles(edges, [0.01, 0.5]), names=["low", "median"]
    )
    assert [one.verdict for one in found] == [Verdict.INCONCLUSIVE, Verdict.PASS]
    assert "not defined" in found[0].doubt
    below_zero = np.hstack([np.ones((50, 1)), -np.ones((50, 1))])
    (mean,) = jackknife_equivalence(below_zero, below_zero, log_mean(), names=["mean"])
    assert mean.verdict is Verdict.INCONCLUSIVE
    one_bin = (COUNTS * (np.arange(9) == 4)).astype(float)
    (median,) = jackknife_equivalence(one_bin, one_bin, log_quantiles(edges, [0.5]), names=["m"])
    assert median.verdict is Verdict.INCONCLUSIVE


def test_a_figure_that_hangs_on_one_block_is_the_same_of_identical_streams() -> None:
    """A feed with a message every 100 ms, once after 200: without that block it has no spread."""
    values = np.full((50, 10), 100.0)
    values[7, 3] = 200.0
    sums = np.stack([np.full(50, 10.0), values.sum(axis=1), (values**2).sum(axis=1)], axis=1)
    (sd,) = jackknife_equivalence(sums, sums, log_sd, names=["sd"])
    assert (sd.verdict, sd.upper) == (Verdict.PASS, 0.0)
    (sd,) = jackknife_equivalence(sums[:39], sums[:39], log_sd, names=["sd"])
    assert sd.verdict is Verdict.INCONCLUSIVE
    other = sums.copy()
    other[7] = 10.0, 1101.0, 9 * 100.0**2 + 201.0**2
    (sd,) = jackknife_equivalence(other, sums, log_sd, names=["sd"])
    assert sd.verdict is Verdict.INCONCLUSIVE
    (sd,) = jackknife_equivalence(sums[8:], sums[8:], log_sd, names=["sd"])
    assert sd.verdict is Verdict.INCONCLUSIVE


def test_figures_are_those_of_the_observations() -> None:
    random = np.random.default_rng(SEED)
    x = random.gamma(2.0, size=5_000)
    y = 0.7 * x + random.normal(size=5_000)
    slope = stats.linregress(x, y)
    sums = np.array([[5_000, x.sum(), y.sum(), x @ x, x @ y, y @ y]])
    assert regression(sums)[0] == pytest.approx([slope.slope, slope.rvalue**2])
    assert log_slope(sums)[0, 0] == pytest.approx(math.log(slope.slope))
    powers = np.array([[5_000, *(np.sum((x - 1.5) ** k) for k in range(1, 5))]])
    assert kurtosis(powers)[0, 0] == pytest.approx(stats.kurtosis(x, fisher=False))
    assert log_count(powers)[0, 0] == pytest.approx(math.log(5_000))
    lags = np.array([[5_000, x.sum(), x @ x, 4_999, 4_998, x[1:] @ x[:-1], x[2:] @ x[:-2]]])
    expected = [(x[k:] @ x[:-k] / (5_000 - k) - x.mean() ** 2) / x.var() for k in (1, 2)]
    assert autocorrelation(2)(lags)[0] == pytest.approx(expected)


def test_the_correlation_time_of_an_autoregression() -> None:
    random = np.random.default_rng(SEED)
    for phi in (0.0, 0.5, 0.9):
        x = np.zeros(100_000)
        for i, noise in enumerate(random.normal(size=100_000).tolist()):
            x[i] = phi * x[i - 1] + noise
        assert correlation_time(x) == pytest.approx((1 + phi) / (1 - phi), rel=0.15)
    found = memory(np.round(x))
    assert 1.0 < found.tau < 19.0 * 1.15
    assert found.tau == max(found.below_median, found.far_from_mean)
    assert correlation_time(np.tile([1.0, -1.0], 500)) < 0.1
    assert math.isnan(memory(np.ones(9)).tau)
    assert math.isnan(memory([]).tau)
    assert memory([1.0, 1.0, 1.0, 5.0] * 50).tau < 1.5
    with pytest.raises(UsageError, match="NaN"):
        correlation_time([1.0, math.nan])


def test_the_rule_of_blocks() -> None:
    rule = block_rule(44.0, 0.1, 86_400.0)
    assert rule.length == pytest.approx(88.0)
    assert (rule.blocks, rule.attainable) == (981, True)
    assert rule.doubt(88.1, 980) == ""
    assert "shorter" in rule.doubt(60.0, 1_440)
    assert "39 blocks" in rule.doubt(2_000.0, 39)
    short = block_rule(440.0, 0.1, 660.0)
    assert not short.attainable
    assert "0 blocks" in short.doubt(880.0, 50)
    assert block_rule(0.2, 1.0, 1_000.0).length == 20.0
    unknown = block_rule(math.nan, 1.0, 1e6)
    assert not unknown.attainable
    assert "constant" in unknown.doubt(1e5, 100)
    with pytest.raises(UsageError, match="Hint"):
        block_rule(1.0, 0.0, 10.0)


def test_all_have_to_pass() -> None:
    ok, no, open_ = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
    assert overall([ok, Verdict.EXACT, Verdict.NOT_APPLICABLE]) is ok
    assert overall([ok, open_]) is open_
    assert overall([ok, open_, no]) is no
    assert overall([]) is overall([Verdict.NOT_APPLICABLE]) is open_


def test_a_drift_is_flagged_where_it_is() -> None:
    shifted = COUNTS.copy()
    shifted[:, 3] += 4
    found = sign_flip([(COUNTS, COUNTS), (shifted, COUNTS)])
    assert found.flagged
    assert found.metric == 1
    assert found.p == 0.001
    assert found == sign_flip([(COUNTS, COUNTS), (shifted, COUNTS)])
    assert not sign_flip([(shifted[:4], COUNTS[:4])]).can_flag
    with pytest.raises(UsageError, match="Hint"):
        sign_flip([(COUNTS, COUNTS), (COUNTS[:9], COUNTS[:9])])


def test_permutations_of_little_or_nothing() -> None:
    same = block_permutation([COUNTS], [COUNTS], permutations=99)
    assert same.d == (0.0,)
    assert same.p_min == same.p_max == 1.0
    assert not same.doubt
    few = block_permutation([COUNTS[:2]], [COUNTS[2:5]], permutations=99)
    assert "stays above 5 %" in few.doubt
    empty = block_permutation([COUNTS[:20] * 0], [COUNTS[20:]], permutations=99)
    assert (empty.d, empty.p, empty.doubt) == ((1.0,), (0.01,), "")
    one = np.zeros_like(COUNTS)
    one[-1, 0] = 1  # whose window it lies in is chance
    assert block_permutation([one[:20]], [one[20:]], permutations=99).p == (1.0,)
    assert "both windows are empty" in block_permutation([one[:9]], [one[9:18]]).doubt
    with pytest.raises(UsageError, match="Hint"):
        block_permutation([COUNTS], [COUNTS[:, :5]])


def test_blocks_change_places_within_their_stratum_alone() -> None:
    """Strata lie far apart: only within them does it show that G is a bit lower in each."""
    strata = np.arange(12)
    low = 5 * strata
    r = np.stack([low, 100 - low], axis=1)
    g = np.repeat(np.stack([low + 2, 98 - low], axis=1), 2, axis=0)
    within = block_permutation([r], [g], strata=(strata, np.arange(24) // 2))
    assert within.p[0] == 0.001
    assert block_permutation([r], [g]).p[0] > 0.5
    same = block_permutation([r], [np.repeat(r, 2, axis=0)], strata=(strata, np.arange(24) // 2))
    assert (same.d, same.p) == ((0.0,), (1.0,))
    few = block_permutation([r[:4]], [g[:4]], strata=([0, 1, 2, 3], [0, 1, 2, 9]))
    assert few.doubt == "4 and 4 blocks in 5 strata, 999 permutations: p stays above 5 %"
    with pytest.raises(UsageError, match="Hint: give a number for each of 12 and 24 blocks"):
        block_permutation([r], [g], strata=(strata, strata))


def test_few_golden_windows_can_never_reject() -> None:
    few, enough = conformal(np.arange(18.0), 99.0), conformal(np.arange(19.0), 99.0)
    assert (few.p, few.can_reject, few.rejected) == (1 / 19, False, False)
    assert (enough.p, enough.can_reject, enough.rejected) == (0.05, True, True)
    assert conformal([1.0, 2.0, 3.0], 2.0).p == 0.75
    assert conformal([], 2.0).p == 1.0
    with pytest.raises(UsageError, match="Hint"):
        conformal([math.nan], 1.0)


def test_the_bootstrap_of_a_mean_and_of_kurtosis() -> None:
    random = np.random.default_rng(SEED)
    x = random.standard_t(3, size=(60, 400))
    sums = np.stack([np.full(60, 400.0), *(np.sum(x**k, axis=1) for k in range(1, 5))], axis=1)
    found = block_bootstrap(sums, kurtosis)
    assert 3.0 < found.lower < found.estimate < found.upper
    assert not found.doubt
    assert found == block_bootstrap(sums, kurtosis)
    means = x.mean(axis=1)
    of_mean = block_bootstrap(sums, lambda s: s[:, 1:2] / s[:, :1], replicates=9_999)
    theirs = stats.bootstrap(
        (means,), np.mean, confidence_level=0.9, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert of_mean.lower == pytest.approx(theirs.low, abs=0.002)
    assert of_mean.upper == pytest.approx(theirs.high, abs=0.002)
    assert "39 blocks" in block_bootstrap(sums[:39], kurtosis).doubt
    assert math.isnan(block_bootstrap(sums[:1], kurtosis).lower)
    assert "not defined" in block_bootstrap(sums * 0.0, kurtosis).doubt


@pytest.mark.parametrize("bad", [COUNTS * 1.0, -COUNTS, COUNTS[0]])
def test_what_are_no_counts_is_refused(bad: NDArray[np.int64]) -> None:
    with pytest.raises(UsageError, match="Hint"):
        ks_equivalence(bad, bad)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="Hint"):
        ks_equivalence(COUNTS, COUNTS[1:])
    with pytest.raises(UsageError, match="merge categories"):
        total_variation(np.ones((40, 17), np.int64), np.ones((40, 17), np.int64))
    with pytest.raises(UsageError, match="Hint"):
        jackknife_equivalence(COUNTS, COUNTS, log_count, names=["one", "two"])
    with pytest.raises(UsageError, match="empty"):
        ks_of_counts([0, 0], [1, 2])
    with pytest.raises(UsageError, match="rise"):
        log_quantiles([1.0, 1.0])


def test_scipy_is_loaded_only_when_it_is_needed() -> None:
    modules = (
        "bootstrap conformal dependence equivalence functionals permutation plain rates signflip"
    )
    script = "import sys\n" + "".join(
        f"import lobproof.fidelity.inference.{name}\n" for name in modules.split()
    )
    # numba looks at the package itself, which loads none of these
    script += "sys.exit(bool({'scipy.special', 'scipy.stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    missing = (
        "import sys\nsys.modules['scipy'] = None\n"
        "from lobproof.errors import ExtraError\n"
        "from lobproof.fidelity.inference.plain import ks_of_counts\n"
        "try:\n    ks_of_counts([1, 2], [2, 1])\n"
        "except (ExtraError, ModuleNotFoundError, ValueError) as error:\n    print(repr(error))\n"
    )
    told = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True).stdout
    assert "lobproof[fidelity]" in told
