"""Gate D across days: the rank of a day among golden days."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from lobproof.errors import UsageError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.across_days import AcrossDays, compare_days, without_series
from lobproof.fidelity.inference.conformal import conformal, strangeness
from lobproof.fidelity.metrics.blocks import Bins, Blocks, Scale
from lobproof.fidelity.metrics.catalogue import BY_NAME
from lobproof.fidelity.metrics.metric_kernels import (
    GRID_NS,
    METRICS,
    SAMPLES,
    SERIES,
    SUMS,
    TALLIES,
)
from lobproof.timespan import DAY_NS, utc_day
from support.market import INSTRUMENT

SEED = 20_260_105
"""Declared before anything was looked at, and never moved."""
FIRST = 20_454 * DAY_NS  # 2026-01-01
BLOCK_NS = 600 * 10**9
NAMES = ("buy_size", "spread_1", "added_size")
Int64 = NDArray[np.int64]


def counts_of(random: np.random.Generator, blocks: int, scale: float = 1.0, bins: int = 8) -> Int64:
    """Counts of bins that depend on each other within a window: a day of its own, blocks too."""
    level = random.normal(0, 0.3) + np.cumsum(random.normal(0, 0.05, blocks))
    place = np.arange(bins) - (bins - 1) / 2
    weights = np.exp(scale * level[:, None] * place - 0.1 * place**2)
    return np.asarray(random.poisson(40 * weights / weights.sum(axis=1, keepdims=True)))


def day(
    number: int,
    random: np.random.Generator,
    *,
    blocks: int = 24,
    begin: int = 0,
    scale: float = 1.0,
    block_ns: int = BLOCK_NS,
    names: Sequence[str] = NAMES,
) -> Blocks:
    """Blocks of a simulated day, with counts of some metrics alone."""
    entries = []
    for name in names:
        table = counts_of(random, blocks, scale)
        block, place = np.nonzero(table)
        metric = np.full(len(block), BY_NAME[name].number)
        entries.append((metric, block, place + 20, table[block, place]))
    columns = [np.concatenate(one) for one in zip(*entries, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    tallies = np.zeros((blocks, TALLIES), np.int64)
    tallies[:, SAMPLES] = block_ns // GRID_NS
    return Blocks(
        INSTRUMENT,
        Scale.of(INSTRUMENT, block_ns),
        FIRST + number * DAY_NS + begin + np.arange(blocks) * block_ns,
        Bins(
            columns[0][order].astype(np.int8),
            columns[1][order].astype(np.int32),
            columns[2][order].astype(np.int16),
            columns[3][order].astype(np.int32),
        ),
        np.zeros((blocks, METRICS, SUMS), np.int64),
        tallies,
        np.zeros((blocks, 0, SERIES), np.int64),
    )


def days(many: int, seed: int = SEED) -> list[Blocks]:
    random = np.random.default_rng(seed)
    return [day(number, random) for number in range(1, many + 1)]


def candidate(
    number: int = 0, *, blocks: int = 24, begin: int = 0, scale: float = 1.0
) -> dict[str, Blocks]:
    random = np.random.default_rng(SEED + 1 + number)
    made = day(number, random, blocks=blocks, begin=begin, scale=scale)
    return {utc_day(int(made.start[0])): made}


# --- the rank -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 5))
def test_strangeness_is_its_formula_and_symmetric(seed: int, windows: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    tables = [random.integers(1, 9, (windows, bins)) for _ in range(3)]
    found = strangeness(tables)
    for at, table in enumerate(tables):
        distance = []
        for own in range(windows):
            mine = np.repeat(np.arange(bins), table[own])
            rest = np.repeat(np.arange(bins), np.delete(table, own, axis=0).sum(axis=0))
            distance.append(stats.ks_2samp(mine, rest, method="asymp").statistic)
        mean = np.mean(distance) or 1.0
        np.testing.assert_allclose(found[:, at], np.array(distance) / mean, atol=1e-12)
    order = random.permutation(windows)
    np.testing.assert_allclose(strangeness([one[order] for one in tables]), found[order])


@pytest.mark.parametrize("bad", [[[1, 2]], [[1, 2], [0, 0]], [[3, 0], [5, 0]]])
def test_what_has_no_distance_is_refused(bad: list[list[int]]) -> None:
    with pytest.raises(UsageError, match="Hint: leave out"):
        strangeness([np.array(bad)])


@pytest.mark.parametrize("golden", [19, 39])
def test_exchangeable_days_are_rejected_in_five_of_a_hundred(golden: int) -> None:
    """Whatever the dependence within a day: one of 20, or two of 40, are the strangest."""
    random = np.random.default_rng(SEED)
    runs, rejected = 1_000, 0
    for _ in range(runs):
        tables = [
            np.stack([counts_of(random, 12).sum(axis=0) for _ in range(golden + 1)])
            for _ in range(3)
        ]
        scores = strangeness(tables).max(axis=1)
        rejected += conformal(scores[1:], float(scores[0])).rejected
    # p is exactly uniform: a rate of 5 %, and of 1,000 runs more than 67 in 1 of 100
    assert stats.binom.ppf(0.005, runs, 0.05) <= rejected <= stats.binom.ppf(0.99, runs, 0.05)


def test_several_candidates_share_alpha() -> None:
    assert conformal(np.arange(59.0), 99.0, 0.05 / 3).rejected
    assert not conformal(np.arange(58.0), 99.0, 0.05 / 3).can_reject


# --- days of blocks ------------------------------------------------------------------------------


@pytest.mark.parametrize("golden", [19, 39])
def test_a_day_of_another_law_is_found(golden: int) -> None:
    gate = compare_days(candidate(scale=6.0), days(golden))
    (found,) = gate.days
    assert gate.verdict is Verdict.FAIL
    assert gate.decides
    assert found.rank is not None
    assert found.rank.p == 1 / (golden + 1)
    assert found.strangest is not None
    assert found.strangest.name in NAMES
    assert found.score > 1.5
    assert f"among {golden} golden days 1 of 1 days of the store are stranger" in gate.said
    assert compare_days(candidate(), days(golden)).verdict is Verdict.PASS


def test_eighteen_days_can_never_reject_and_say_so() -> None:
    gate = compare_days(candidate(scale=50.0), days(18))
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert not gate.decides
    assert gate.said == "of 18 golden days nothing can be rejected at 5 %: 19 are needed"
    assert gate.days[0].rank is not None
    assert gate.days[0].rank.p == 1 / 19
    assert "ranked, not judged, p 0.053" in gate.days[0].said


def test_each_day_of_the_store_is_judged_by_itself() -> None:
    both = candidate() | candidate(-1, scale=50.0)
    few, enough = (compare_days(both, days(many)) for many in (38, 39))
    assert not few.decides
    assert few.said == "of 38 golden days nothing of 2 days can be rejected at 5 %: 39 are needed"
    assert enough.verdict is Verdict.FAIL
    assert [enough.on(dt).verdict for dt in both] == [Verdict.PASS, Verdict.FAIL]
    assert [one.dt for one in enough.days] == ["2026-01-01", "2025-12-31"]


def test_windows_are_cut_to_the_times_of_day_that_all_have() -> None:
    golden = days(19)
    random = np.random.default_rng(1)
    golden[3] = day(4, random, begin=6 * BLOCK_NS)
    # from noon to noon: all times of day but two, which are cut from the others
    golden[5] = day(6, random, blocks=142, begin=DAY_NS // 2)
    tallies = golden[7].tallies.copy()
    tallies[10, SAMPLES] -= 1
    golden[7] = replace(golden[7], tallies=tallies)
    (found,) = compare_days(candidate(blocks=20), golden).days
    assert [one // BLOCK_NS for one in found.times] == [*range(6, 10), *range(11, 20)]
    assert "13 blocks of 600 s, 01:00:00 to 03:20:00 UTC" in found.said
    # what lies outside is never looked at
    assert (
        found
        == compare_days(candidate(blocks=20), [one.taken(inside(one)) for one in golden]).days[0]
    )


def inside(blocks: Blocks) -> NDArray[np.intp]:
    times = blocks.start % DAY_NS // BLOCK_NS
    return np.flatnonzero((times >= 6) & (times < 20) & (times != 10))


def test_without_a_common_time_of_day_nothing_is_said() -> None:
    gate = compare_days(candidate(begin=DAY_NS // 2), days(19))
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert gate.days[0].rank is None
    assert "no whole block is of a time of day that all golden days have" in gate.days[0].said
    assert gate.said == "a day of the store cannot be ranked, so the rank decides nothing"


def test_samples_of_one_day_are_one_day_and_no_time_counts_twice() -> None:
    golden = days(19)
    halves = [golden[0].taken(np.arange(12)), golden[0].taken(np.arange(12, 24))]
    whole = compare_days(candidate(), golden)
    parts = compare_days(candidate(), [*halves, *golden[1:], golden[4]])
    assert parts.days == whole.days
    assert parts.golden == whole.golden
    assert (whole.unused, parts.unused) == (0, 1)
    longer = compare_days(
        candidate(), [*golden[:-1], day(19, np.random.default_rng(1), blocks=300)]
    )
    assert len(longer.golden) == 19
    assert len(longer.days[0].times) == 24


def test_blocks_of_other_lengths_add_up_and_other_ticks_are_left_out() -> None:
    golden = days(20)
    short = day(21, np.random.default_rng(1), blocks=241, block_ns=60 * 10**9)
    gate = compare_days(candidate(), [*golden, short])
    assert len(gate.golden) == 21
    assert len(gate.days[0].times) == 24
    assert gate.days[0].block_ns == BLOCK_NS
    golden[0] = replace(golden[0], scale=Scale("1", "1", BLOCK_NS))
    gate = compare_days(candidate(), golden)
    assert (len(gate.golden), gate.unused) == (19, 1)
    assert any("1 golden samples are left out: of another tick" in line for line in gate.lines)


def test_metrics_that_a_day_lacks_and_those_in_parts_of_the_price_are_named() -> None:
    golden = days(19)
    golden[2] = day(3, np.random.default_rng(1), names=NAMES[:2])
    gate = compare_days(candidate(), golden)
    (found,) = gate.days
    assert {one.name for one in found.metrics} == {"buy_size", "spread_1"}
    why = {one.name: reason for one, reason in found.left_out}
    assert why["added_size"] == why["sell_size"] == "a day has no value of it"
    assert why["spread_1_bps"].startswith("in parts of the price")
    assert len(found.metrics) + len(why) == METRICS
    golden[2] = day(3, np.random.default_rng(1), names=["spread_1_bps"])
    (found,) = compare_days(candidate(), golden).days
    assert found.reason == "no metric has values on all days"


def test_a_day_that_lacks_what_all_golden_days_have_is_not_ranked() -> None:
    """Left out, the rank would pass a store without trades; so permutations decide, as before."""
    bare = day(0, np.random.default_rng(1), names=NAMES[1:])
    gate = compare_days({"2026-01-01": bare}, days(19))
    assert not gate.decides
    assert gate.days[0].said == "2026-01-01: it has no buy_size, which all golden days have"


def test_a_golden_sample_without_a_whole_block_is_no_day() -> None:
    cut = [replace(one, tallies=one.tallies * 0) for one in days(3)]
    gate: AcrossDays = compare_days(candidate(), cut)
    assert (gate.golden, gate.unused) == ((), 3)
    assert gate.days[0].reason == "no golden day has a whole block"
    assert not gate.decides
    assert len(without_series(cut[0])) == 0


def test_plain_values_are_json() -> None:
    document = json.loads(
        json.dumps(compare_days(candidate(), days(19)).to_dict(), allow_nan=False)
    )
    assert (document["k"], document["needed"], document["decides"]) == (19, 19, True)
    assert document["days"][0]["can_reject"] is True
    assert document["days"][0]["times_s"][:2] == [0.0, 600.0]
    lacking = compare_days(candidate(begin=DAY_NS // 2), days(2)).to_dict()
    assert json.loads(json.dumps(lacking, allow_nan=False))["days"][0]["score"] is None
