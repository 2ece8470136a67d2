"""What follows from the grid of blocks, against plain Python on a simulated market with holes."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from lobproof.fidelity.metrics import series
from lobproof.fidelity.metrics.bin_kernels import signed_bin, unsigned_bin
from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS, Distribution
from lobproof.fidelity.metrics.flow import kyle, roll, signed_volume
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.groups import Given, ask_given_spread, spread_given_volatility
from lobproof.fidelity.metrics.metric_kernels import (
    GRID_NS,
    MESSAGES,
    METRICS,
    MID2,
    OFI_1,
    OFI_5,
    RESPONSE_KINDS,
    RETURN_PAIRS,
    RETURN_PRODUCTS,
    SERIES,
    SPREAD_COUNTS,
    TALLIES,
    TALLY_NAMES,
    TRADES,
)
from lobproof.fidelity.metrics.pairs import LAGS, pair_sums, slope
from lobproof.fidelity.metrics.responses import RESPONSES_S
from lobproof.fidelity.metrics.returns import hill, histogram, l_kurtosis, power_sums
from lobproof.fidelity.metrics.volatility import (
    SIGNATURE_S,
    flatness,
    intermittency,
    noise_variance,
    signature,
    signature_sums,
    two_scale,
)
from lobproof.instruments import Instrument, Rule
from plain import series as plain
from support.simulated_blocks import SECOND, blocks_of, samples_of, simulated_blocks

pytestmark = pytest.mark.kernels

INSTRUMENT = Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, (Rule(0, 1, 1),))
SCALE = Scale.of(INSTRUMENT, 10 * SECOND)
START = 1_723_161_600 * SECOND


@cache
def market() -> Blocks:
    """Five minutes, of which a block is missing and some of the book is not known."""
    blocks, _ = simulated_blocks(300)
    rng = random.Random(5)
    known = blocks.series.copy()
    for _ in range(6):
        block, at = rng.randrange(len(blocks)), rng.randrange(90)
        known[block, at : at + rng.choice((1, 3, 30)), :4] = 0
    kept = [k for k in range(len(blocks)) if k != 19]
    scale, instrument = blocks.scale, blocks.instrument
    return blocks_of(blocks.start[kept].tolist(), known[kept], scale, instrument)


def block_of(blocks: Blocks, end: int) -> int:
    """Index of the block of a sample."""
    start = end * GRID_NS // blocks.scale.block_ns * blocks.scale.block_ns
    return int(np.searchsorted(blocks.start, start))


@pytest.mark.compiled
@pytest.mark.parametrize("seconds", [0.1, 1.0, 10.0, 60.0])
def test_returns_by_block(seconds: float) -> None:
    blocks = market()
    samples, grid = samples_of(blocks), Grid(blocks)
    steps = grid.steps(seconds)
    found = grid.returns(steps)
    expected = plain.returns(samples, round(10 * seconds))
    assert dict(zip(grid.number[steps.row][steps.known], found[steps.known], strict=True)) == (
        expected
    )
    assert expected
    assert (found[~steps.known] == 0).all()

    counts, powers = histogram(steps, found), power_sums(steps, found)
    by_block: dict[int, list[int]] = defaultdict(list)
    for end, value in expected.items():
        by_block[block_of(blocks, end)].append(value)
    for block in range(len(blocks)):
        values = by_block[block]
        bins = Counter(int(signed_bin(value)) for value in values)
        assert {k: int(n) for k, n in enumerate(counts[block]) if n} == dict(bins)
        assert powers[block, :3].tolist() == [sum(v**k for v in values) for k in range(3)]
        assert powers[block, 3:].tolist() == pytest.approx(
            [sum(v**k for v in values) for k in (3, 4)], rel=1e-14
        )


@pytest.mark.compiled
@pytest.mark.parametrize("seconds", [0.1, 1.0, 10.0])
def test_moments_and_gains_beside_losses(seconds: float) -> None:
    blocks = market()
    values = list(plain.returns(samples_of(blocks), round(10 * seconds)).values())
    second, third, fourth = plain.moments(values)
    found = series.values_of(series.sums_of(Grid(blocks)))
    name = f"return_{seconds:g}s"
    assert found[f"{name}_variance"] == pytest.approx(float(second), rel=1e-12)
    assert found[f"{name}_kurtosis"] == pytest.approx(float(fourth / second**2), rel=1e-10)
    assert found[f"{name}_skewness"] == pytest.approx(float(third) / float(second) ** 1.5, rel=1e-9)
    gains = sum(v * v for v in values if v > 0)
    losses = sum(v * v for v in values if v < 0)
    assert found[f"{name}_gain_loss"] == pytest.approx(math.log(gains / losses), rel=1e-12)


@pytest.mark.compiled
def test_autocorrelations() -> None:
    blocks = market()
    samples = samples_of(blocks)
    found = series.values_of(series.sums_of(Grid(blocks)))
    returns = plain.returns(samples, 10)
    traded = {end: [plain.flow(samples, end, 10, c) for c in (6, 7)] for end in returns}
    for name, values in (
        ("acf_return", {end: float(r) for end, r in returns.items()}),
        ("acf_squared_return", {end: float(r * r) for end, r in returns.items()}),
        ("acf_absolute_return", {end: float(abs(r)) for end, r in returns.items()}),
        ("acf_trade_sign", {e: float((b > s) - (b < s)) for e, (b, s) in traded.items()}),
        ("acf_trade_imbalance", {e: (b - s) / max(b + s, 1) for e, (b, s) in traded.items()}),
        ("acf_order_flow", {e: float(plain.flow(samples, e, 10, OFI_1)) for e in returns}),
    ):
        expected = [plain.autocorrelation(values, 10, lag, samples) for lag in LAGS[1:].tolist()]
        assert found[name].tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert not math.isnan(expected[49])
        assert math.isnan(expected[-1])  # five minutes have no pair 1000 s apart
    assert LAGS[:51].tolist() == list(range(51))
    assert LAGS[-1] == 1000


@pytest.mark.compiled
def test_volatility() -> None:
    blocks = market()
    samples = samples_of(blocks)
    sums = series.total(signature_sums(Grid(blocks)))
    expected = [plain.realised(samples, round(10 * s)) / s for s in SIGNATURE_S]
    assert signature(sums).tolist() == pytest.approx(expected, rel=1e-12)
    fast, slow = plain.realised(samples, 1), plain.realised(samples, 50)
    variance = (slow - fast) / 4.9
    assert float(two_scale(sums)) == pytest.approx(variance, rel=1e-12)
    assert float(noise_variance(sums)) == pytest.approx((fast - 0.1 * variance) / 2, rel=1e-12)


@pytest.mark.compiled
def test_bursts_of_all_lengths() -> None:
    blocks = market()
    lengths = [round(10 * s) for s in SIGNATURE_S if s >= 1]
    expected = plain.intermittency(samples_of(blocks), lengths)
    sums = series.total(signature_sums(Grid(blocks)))
    assert intermittency(sums) == pytest.approx(expected, rel=1e-9)
    assert flatness(sums).shape == (len(SIGNATURE_S),)
    walk = series.total(signature_sums(Grid(random_walk(600, 2e-4, 0.0, seed=12))))
    assert flatness(walk)[:6].tolist() == pytest.approx([3.0] * 6, abs=0.15)
    assert abs(float(intermittency(walk))) < 0.02
    assert math.isnan(intermittency(np.zeros_like(walk)))


@pytest.mark.compiled
def test_the_book_behind_large_trades() -> None:
    blocks = market()
    samples = samples_of(blocks)
    found = series.values_of(series.sums_of(Grid(blocks)))
    expected = [plain.resilience(samples, round(10 * s)) for s in RESPONSES_S]
    for at, name in enumerate(("resilience_spread", "resilience_depth")):
        curve = [one[at] for one in expected]
        assert found[name].tolist() == pytest.approx(curve, rel=1e-12)
        assert not any(math.isnan(value) for value in curve)
    assert expected[0][0] > expected[-1][0]  # the spread closes again


@pytest.mark.compiled
def test_the_mid_behind_events_at_the_touch() -> None:
    blocks, _ = simulated_blocks(300)
    found = series.values_of(series.sums_of(Grid(blocks)))
    tick, _ = blocks.scale.counts(blocks.instrument)
    for kind in RESPONSE_KINDS:
        for lag, value in zip(RESPONSES_S, found[f"response_{kind}"].tolist(), strict=True):
            names = [f"{kind}_{lag:g}s_{what}" for what in ("responses", "moves")]
            events, moves = (
                int(blocks.tallies[:, TALLY_NAMES.index(name)].sum()) for name in names
            )
            assert events > 0
            assert value == pytest.approx(moves / events / (2 * tick), rel=1e-12)
    assert found["response_limit_moved"][0] > found["response_limit"][0]


def test_a_curve_knows_where_its_values_lie() -> None:
    sums = series.sums_of(Grid(market()))
    for one in series.ADDITIVE:
        value = one.value(series.total(sums[one.name]))
        assert value.shape == ((len(one.at),) if one.at else ()), one.name
        assert list(one.at) == sorted(set(one.at))


def random_walk(minutes: int, volatility: float, noise: float, seed: int) -> Blocks:
    """A log mid of independent steps of 0.1 s, seen with independent noise."""
    rng = np.random.default_rng(seed)
    cells = 100
    steps = rng.normal(0.0, volatility * math.sqrt(0.1), 600 * minutes)
    seen = np.cumsum(steps) + rng.normal(0.0, noise, len(steps))
    samples = np.zeros((len(steps) // cells, cells, SERIES), np.int64)
    samples[:, :, MID2] = np.rint(2e12 * np.exp(seen)).reshape(-1, cells)
    starts = [START + k * SCALE.block_ns for k in range(len(samples))]
    return blocks_of(starts, samples, SCALE, INSTRUMENT)


@pytest.mark.compiled
def test_two_scales_tell_variance_from_noise() -> None:
    sums = series.total(signature_sums(Grid(random_walk(240, 2e-5, 3e-5, seed=11))))
    assert two_scale(sums) == pytest.approx(4e-10, rel=0.1)
    assert noise_variance(sums) == pytest.approx(9e-10, rel=0.02)
    plot = signature(sums)
    assert plot[0] == pytest.approx(4e-10 + 2 * 9e-10 / 0.1, rel=0.02)
    assert plot[-1] == pytest.approx(4e-10 + 2 * 9e-10 / 60, rel=0.3)


@pytest.mark.compiled
@pytest.mark.parametrize("levels", [1, 5])
@pytest.mark.parametrize("seconds", [0.1, 1.0, 10.0])
def test_order_flow_moves_the_mid(levels: int, seconds: float) -> None:
    blocks = market()
    samples, length = samples_of(blocks), round(10 * seconds)
    tick, lot = blocks.scale.counts(blocks.instrument)
    assert (tick, lot) == (1, 1000)
    ends = plain.ends(samples, length)
    column = plain.OFI_1 if levels == 1 else plain.OFI_5
    x = [plain.flow(samples, end, length, column) / lot for end in ends]
    y = [(samples[e][MID2] - samples[e - length][MID2]) / (2 * tick) for e in ends]
    signed = [
        (plain.flow(samples, e, length, plain.BOUGHT) - plain.flow(samples, e, length, plain.SOLD))
        / lot
        for e in ends
    ]
    found = series.values_of(series.sums_of(Grid(blocks)))
    beta, fit, kyle_lambda = (
        float(found[name])
        for name in (
            f"ofi_{levels}_{seconds:g}s_beta",
            f"ofi_{levels}_{seconds:g}s_r2",
            f"kyle_{seconds:g}s",
        )
    )
    assert beta == pytest.approx(statistics.linear_regression(x, y).slope, rel=1e-9)
    assert fit == pytest.approx(statistics.correlation(x, y) ** 2, rel=1e-9)
    assert kyle_lambda == pytest.approx(statistics.linear_regression(signed, y).slope, rel=1e-9)
    assert beta > 0


@pytest.mark.compiled
def test_counts_and_volume() -> None:
    blocks = market()
    samples, grid = samples_of(blocks), Grid(blocks)
    found = series.values_of(series.sums_of(grid))
    for name, column in (("trades", TRADES), ("messages", MESSAGES)):
        for seconds in (1, 10):
            ends = plain.ends(samples, 10 * seconds)
            counts = [plain.flow(samples, end, 10 * seconds, column) for end in ends]
            expected = statistics.pvariance(counts) / statistics.mean(counts)
            assert found[f"{name}_{seconds}s_fano"] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    ends = plain.ends(samples, 100)
    volume = [plain.flow(samples, end, 100, plain.BOUGHT, plain.SOLD) for end in ends]
    size = [abs(plain.return_of(samples, end, 100)) for end in ends]
    assert found["volume_volatility"] == pytest.approx(
        statistics.correlation(volume, size), rel=1e-9
    )
    steps = grid.steps(1.0)
    counts = histogram(steps, grid.flow(steps, TRADES), signed=False).sum(axis=0)
    each = Counter(plain.flow(samples, end, 10, TRADES) for end in plain.ends(samples, 10))
    assert {k: int(n) for k, n in enumerate(counts) if n} == {
        int(unsigned_bin(value)): n for value, n in each.items()
    }


def means_of(given: Given) -> dict[int, float]:
    """Mean by group, from the sums over blocks."""
    sums = series.total(given.sums())
    assert (given.counts().sum(axis=2) == given.sums()[..., 0]).all()
    return {k: s / n for k, (n, s, _) in enumerate(sums.tolist()) if n}


@pytest.mark.compiled
def test_one_value_given_another() -> None:
    blocks = market()
    samples, grid = samples_of(blocks), Grid(blocks)
    _, lot = blocks.scale.counts(blocks.instrument)
    known = [sample for sample in samples.values() if sample[MID2]]
    expected = plain.groups([(plain.octave(s[plain.SPREAD]), s[plain.ASK] // lot) for s in known])
    assert means_of(ask_given_spread(grid)) == pytest.approx(expected, rel=1e-12)

    pairs: plain.Pairs = []
    returns = plain.returns(samples, 10)
    for end in returns:
        minute = range(end - 590, end + 1, 10)
        if all(k in returns for k in minute):
            volatility = round(math.sqrt(sum(returns[k] ** 2 for k in minute) / 60))
            pairs.append((plain.octave(volatility), samples[end][plain.SPREAD]))
    assert len(pairs) > 20
    assert means_of(spread_given_volatility(grid)) == pytest.approx(plain.groups(pairs), rel=1e-12)


def test_the_hours_of_a_day() -> None:
    hour = 3600 * SECOND
    samples = np.zeros((3, 100, SERIES), np.int64)
    samples[:, :, MID2] = 2_000_000
    samples[:, :, SPREAD_COUNTS] = np.array([2, 4, 6])[:, None]
    samples[1, 50:, MID2] = samples[1, 50:, SPREAD_COUNTS] = 0
    starts = [START + 2 * hour, START + 23 * hour, START + 26 * hour]
    sums = series.sums_of(Grid(blocks_of(starts, samples, SCALE, INSTRUMENT)))
    spread = sums["spread_given_hour"]
    assert spread[:, 2, :2].tolist() == [[100, 200], [0, 0], [100, 600]]
    assert spread[:, 23, :2].tolist() == [[0, 0], [50, 200], [0, 0]]
    means = series.values_of(sums)["spread_given_hour"]
    assert means[[2, 23]].tolist() == [4, 4]
    assert np.isnan(means).sum() == 22


@pytest.mark.compiled
def test_rolls_measure() -> None:
    rng = random.Random(2)
    quotes = [rng.choice((-3, 3)) for _ in range(200_000)]  # six ticks around a mid at rest
    changes = np.diff(quotes)
    tallies = np.zeros(TALLIES, np.int64)
    tallies[RETURN_PAIRS] = len(changes) - 1
    tallies[RETURN_PRODUCTS] = int((changes[1:] * changes[:-1]).sum())
    assert roll(tallies) == pytest.approx(6, rel=0.02)
    tallies[RETURN_PRODUCTS] = 1
    assert math.isnan(roll(tallies))
    assert math.isnan(roll(np.zeros(TALLIES)))


@pytest.mark.compiled
def test_l_kurtosis() -> None:
    rng = random.Random(3)
    for _ in range(20):
        values = [rng.choice((0, 0, 1, -2, 5, 40, -300)) for _ in range(rng.randrange(4, 12))]
        if len(set(values)) > 1:
            found = l_kurtosis(np.array(values))
            assert found == pytest.approx(plain.l_kurtosis(values), abs=1e-12)
    assert math.isnan(l_kurtosis(np.array([1, 2, 3])))
    assert math.isnan(l_kurtosis(np.full(9, 4)))
    normal = np.random.default_rng(1).normal(0, 1e6, 100_000).astype(np.int64)
    assert l_kurtosis(normal) == pytest.approx(0.1226, abs=0.005)


@pytest.mark.compiled
def test_hill() -> None:
    blocks = market()
    values = list(plain.returns(samples_of(blocks), 1).values())
    for share in (0.005, 0.01, 0.02):
        tail = hill(np.array(values), share)
        assert tail.used == math.ceil(share * len(values))
        assert tail.survival == pytest.approx(plain.hill(values, tail.used), rel=1e-12)
        assert tail.density == tail.survival + 1
    pareto = np.random.default_rng(4).pareto(3.0, 100_000) + 1
    tail = hill(pareto, 0.02)
    assert abs(tail.survival - 3) < 3 * tail.error
    tied = hill(np.array([9] + [5] * 10 + [1] * 100), 0.04)
    assert (tied.used, tied.threshold, tied.ties) == (5, 5.0, 4)
    assert tied.survival == pytest.approx(5 / math.log(9 / 5))
    for nothing in ([], [7], [0] * 500, [3] * 500):
        assert math.isnan(hill(np.array(nothing, np.int64), 0.01).survival)


@pytest.mark.compiled
def test_sums_do_not_depend_on_how_blocks_came() -> None:
    blocks = market()
    whole = series.sums_of(Grid(blocks))
    order = np.random.default_rng(8).permutation(len(blocks))
    for sums in whole.values():
        assert series.total(sums[order]).tobytes() == series.total(sums).tobytes()
    samples = blocks.series
    parts = [
        blocks_of(blocks.start[k].tolist(), samples[k], blocks.scale, blocks.instrument)
        for k in np.array_split(order, 4)
    ]
    again = series.sums_of(Grid(merged(parts)))
    assert all(again[name].tobytes() == sums.tobytes() for name, sums in whole.items())


@pytest.mark.compiled
def test_values_of_many_totals_at_once() -> None:
    sums = series.sums_of(Grid(market()))
    for one in series.ADDITIVE:
        of = sums[one.name]
        without = of.sum(axis=0) - of
        found = one.value(without)
        assert len(found) == len(of)
        for k in (0, 7):
            alone = one.value(without[k])
            assert found[k].tolist() == pytest.approx(alone.tolist(), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_nothing_known_is_nothing_said(count: int) -> None:
    samples = np.zeros((count, 100, SERIES), np.int64)
    samples[:, :, OFI_1] = 5  # flow without a mid is no flow
    starts = [START + k * SCALE.block_ns for k in range(count)]
    grid = Grid(blocks_of(starts, samples, SCALE, INSTRUMENT))
    for value in series.values_of(series.sums_of(grid)).values():
        assert np.isnan(value).all()
    assert all(
        math.isnan(value) or name.endswith("ties") for name, value in series.estimates(grid).items()
    )


def test_a_mid_at_rest_has_no_law() -> None:
    samples = np.zeros((40, 100, SERIES), np.int64)
    samples[:, :, MID2] = 2_000_000
    starts = [START + k * SCALE.block_ns for k in range(len(samples))]
    grid = Grid(blocks_of(starts, samples, SCALE, INSTRUMENT))
    found = series.values_of(series.sums_of(grid))
    assert found["return_1s_variance"] == 0
    assert math.isnan(found["return_1s_kurtosis"])
    assert math.isnan(found["log_volatility"])
    assert np.isnan(found["acf_return"]).all()
    assert math.isnan(slope(series.total(kyle(grid, grid.steps(1.0)))))
    assert math.isnan(series.estimates(grid)["garch_step"])


@pytest.mark.compiled
def test_regressions_on_an_exact_line() -> None:
    blocks = market()
    grid = Grid(blocks)
    steps = grid.steps(1.0)
    x = signed_volume(grid, steps)
    sums = series.total(pair_sums(steps, x, 3.0 * x - 2.0))
    assert slope(sums) == pytest.approx(3.0, rel=1e-12)


@pytest.mark.compiled
def test_a_step_is_a_multiple_of_the_grids() -> None:
    grid = Grid(market())
    for seconds in (0.0, 0.05, 0.25):
        with pytest.raises(ValueError, match="multiple"):
            grid.steps(seconds)


@pytest.mark.compiled
@pytest.mark.parametrize("one", DISTRIBUTIONS, ids=lambda one: one.metric.name)
def test_distributions(one: Distribution) -> None:
    blocks = market()
    samples = samples_of(blocks)
    _, lot = blocks.scale.counts(blocks.instrument)
    length = round(10 * one.seconds)
    what = one.metric.name.rpartition("_")[0]
    columns = {"ofi_1": OFI_1, "ofi_5": OFI_5, "trades": TRADES, "messages": MESSAGES}
    by_block: dict[int, list[int]] = defaultdict(list)
    for end in plain.ends(samples, length):
        if what == "return":
            value = plain.return_of(samples, end, length)
        else:
            value = plain.flow(samples, end, length, columns[what])
            value //= lot if what.startswith("ofi") else 1
        by_block[block_of(blocks, end)].append(value)
    counts, moments = one.counts(Grid(blocks)), one.moments(Grid(blocks))
    low, high = one.metric.edges()
    for block, values in by_block.items():
        assert moments[block, :2].tolist() == [len(values), sum(values)]
        filled = np.flatnonzero(counts[block])
        assert counts[block].sum() == len(values)
        for k in filled.tolist():
            assert counts[block, k] == sum(bool(low[k] <= value <= high[k]) for value in values)
    assert one.metric.number == METRICS + DISTRIBUTIONS.index(one)


def test_histograms_are_of_known_values_and_of_their_blocks() -> None:
    samples = np.zeros((2, 100, SERIES), np.int64)
    samples[:, :, MID2] = 2_000_000
    samples[1, 95:, MID2] = 0
    samples[0, 13, TRADES] = samples[1, 50, TRADES] = 3
    starts = [START, START + SCALE.block_ns]
    grid = Grid(blocks_of(starts, samples, SCALE, INSTRUMENT))
    trades = next(one for one in DISTRIBUTIONS if one.metric.name == "trades_1s")
    found = trades.counts(grid)
    # the step to the very first sample begins before it; one that ends at 50 holds the trade at 50
    assert found[0, [1, 4]].tolist() == [8, 1]
    assert found[1, [1, 4]].tolist() == [9, 1]
    assert found.sum() == 19


def test_the_statistics_have_names_of_their_own() -> None:
    names = [one.name for one in series.ADDITIVE]
    assert len(set(names)) == len(names)
    assert all(dataclasses.asdict(one)["formula"] for one in series.ADDITIVE)
