"""Gates C and D over blocks of simulated markets, and ``lobproof fidelity`` over real files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lobproof.errors import UsageError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.facts import FACTS, Shows
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.same_window import SameWindow, compare
from lobproof.fidelity.gates.series import RULES, compare_hawkes
from lobproof.fidelity.gates.settings import STANDARD, Level, Settings
from lobproof.fidelity.gates.sides import Grouping, Sides, groups_of
from lobproof.fidelity.gates.windows import dependence, follows, paired
from lobproof.fidelity.inference.dependence import memory
from lobproof.fidelity.inference.equivalence import jackknifed_largest
from lobproof.fidelity.metrics.blocks import Bins, Blocks, Scale, merged
from lobproof.fidelity.metrics.catalogue import BY_NAME, CATALOGUE
from lobproof.fidelity.metrics.metric_kernels import COUNT, MID2, SAMPLES
from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.prove import prove
from lobproof.pipeline.sampled import trade_times
from lobproof.schema import Int64
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store
from support.commands import command, refused
from support.simulated_blocks import SECOND, simulated_blocks

SECONDS = 1_800
SEED, OTHER_SEED = 3, 4
"""Declared before anything was looked at, and never moved."""

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def golden() -> Blocks:
    return simulated_blocks(SECONDS, SEED)[0]


def of(gate: SameWindow, name: str) -> Compared:
    return next(one for one in gate.compared if one.metric.name == name)


def thinned(blocks: Blocks, name: str, share: float) -> Blocks:
    """The same with so large a share of a metric's values lost, here and there."""
    number = BY_NAME[name].number
    bins, random = blocks.bins, np.random.default_rng(11)
    lost = np.where(bins.metric == number, random.binomial(bins.count, share), 0)
    sums = blocks.sums.copy()
    np.add.at(sums[:, number, COUNT], bins.block, -lost)
    count = (bins.count - lost).astype(np.int32)
    return replace(blocks, bins=Bins(bins.metric, bins.block, bins.bin, count), sums=sums)


# --- gate C ---------------------------------------------------------------------------------------


def test_identical_streams_pass_where_there_is_enough_to_say_so(golden: Blocks) -> None:
    gate = compare(golden, golden)
    assert {one.verdict for one in gate.compared} <= {
        Verdict.PASS,
        Verdict.INCONCLUSIVE,
        Verdict.NOT_APPLICABLE,
    }
    for one in gate.compared:
        enough = bool(one.figures) and one.blocks >= 40
        assert (one.verdict is Verdict.PASS) == enough, one
        assert all(figure.upper == 0.0 for figure in one.figures if not math.isnan(figure.upper))
        if one.verdict is Verdict.INCONCLUSIVE:
            assert "40 are needed" in one.reason
            assert one.needed_ns > SECONDS * SECOND
        if one.plain is not None:
            assert one.plain.ks_pass
            assert one.plain.d == 0.0
    assert of(gate, "buy_size").verdict is Verdict.PASS
    assert not gate.drift or gate.drift.p == 1.0


@pytest.mark.parametrize("name", ["buy_size", "sell_size", "added_size", "removed_size"])
def test_one_percent_of_the_values_lost_fails_that_metric_alone(golden: Blocks, name: str) -> None:
    gate = compare(thinned(golden, name, 0.01), golden)
    assert gate.verdict is Verdict.FAIL
    failed = [one for one in gate.compared if one.verdict is Verdict.FAIL]
    assert [one.metric.name for one in failed] == [name]
    (count,) = (one for one in failed[0].figures if one.name == "count")
    assert count.verdict is Verdict.FAIL
    assert -0.015 < count.estimate < -0.005


def test_too_short_a_window_is_inconclusive_and_says_what_is_needed() -> None:
    short = simulated_blocks(60, SEED)[0]
    gate = compare(short, short)
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert not any(one.verdict is Verdict.PASS for one in gate.compared)


def test_a_metric_that_one_side_lacks_fails(golden: Blocks) -> None:
    gate = compare(thinned(golden, "buy_size", 1.0), golden)
    lacking = of(gate, "buy_size")
    assert lacking.verdict is Verdict.FAIL
    assert lacking.reason == "what is judged has no value"


def test_only_whole_blocks_of_the_same_time_are_paired(golden: Blocks) -> None:
    tallies = golden.tallies.copy()
    tallies[3, SAMPLES] -= 1
    cut = replace(golden, tallies=tallies)
    window = paired(cut, golden)
    whole = int((golden.tallies[:, SAMPLES] == golden.series.shape[1]).sum())
    assert len(window) == whole - 1
    assert 3 not in window.golden
    assert window.partial == len(golden) - whole + 1
    assert window.alone == (0, 0)
    other = replace(golden, scale=Scale("1", "1", golden.scale.block_ns))
    with pytest.raises(UsageError, match=r"cannot be held against"):
        paired(other, golden)


def test_without_a_common_block_nothing_is_said(golden: Blocks) -> None:
    later = replace(golden, start=golden.start + 86_400 * SECOND)
    gate = compare(later, golden)
    assert {one.verdict for one in gate.compared} == {Verdict.INCONCLUSIVE}
    assert {one.reason for one in gate.compared} == {"no whole block of 10 s is common to both"}


def test_settings_are_frozen_by_their_hash() -> None:
    assert STANDARD.hash == Settings().hash
    assert Settings(margin=0.006).hash != STANDARD.hash
    assert Settings(seed=1).hash != STANDARD.hash


@pytest.mark.parametrize("phi", [0.0, 0.9, 0.98])
def test_memory_from_blocks_is_that_of_the_series(phi: float) -> None:
    """Of an autoregression on a lattice, in blocks shorter and longer than its memory."""
    random = np.random.default_rng(5)
    noise = random.normal(size=400_000)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for at in range(1, len(noise)):
        series[at] = phi * series[at - 1] + noise[at]
    values = np.clip(np.round(8 * series / series.std()) + 64, 0, 127).astype(np.int64)
    direct = memory(values.astype(np.float64)).tau
    for length in (100, 1_000):
        table = np.zeros((len(values) // length, 128), np.int64)
        rows = np.repeat(np.arange(len(table)), length)
        np.add.at(table, (rows, values[: len(rows)]), 1)
        found = dependence(table, length)
        assert found == pytest.approx(direct, rel=0.35)


# --- gate D ---------------------------------------------------------------------------------------


def test_another_run_of_one_market_passes_and_another_market_fails(golden: Blocks) -> None:
    other = simulated_blocks(SECONDS, OTHER_SEED)[0]
    alike = compare_windows(other, golden)
    assert alike.verdict is Verdict.PASS, alike.to_dict()
    metric = BY_NAME["buy_size"].number
    bins = other.bins
    # every size one bin up, as if the lot were coarser
    moved = np.where(bins.metric == metric, bins.bin + 1, bins.bin).astype(np.int16)
    scaled = replace(other, bins=Bins.joined([replace(bins, bin=moved)]))
    apart = compare_windows(scaled, golden)
    assert apart.verdict is Verdict.FAIL
    assert apart.result is not None
    worst = int(np.argmin(apart.result.p_adjusted))
    assert apart.metrics[worst].name == "buy_size"


def test_metrics_relative_to_the_price_are_not_compared_where_it_has_gone(golden: Blocks) -> None:
    other = simulated_blocks(SECONDS, OTHER_SEED)[0]
    gate = compare_windows(other, golden)
    assert not [one for one in gate.metrics if one.unit == "bps"]
    assert "in parts of the price" in dict(gate.left_out)[BY_NAME["spread_1_bps"]]


def test_a_slow_memory_shows_from_block_to_block() -> None:
    """Weak beside what is fast within blocks, and yet all that two blocks differ by."""
    random = np.random.default_rng(SEED)
    slow = np.sin(np.arange(40) / 5.0)
    found = 0
    for _ in range(200):
        below = random.binomial(1_000, 0.5, 40)
        table = np.stack([below, 1_000 - below], axis=1)
        found += follows(table)
        moved = random.binomial(1_000, 0.5 + 0.05 * slow)
        assert follows(np.stack([moved, 1_000 - moved], axis=1))
    assert found <= 12  # 1 in 100 for each of two indicators
    assert not follows(np.zeros((40, 3), np.int64))
    assert not follows(np.full((40, 3), 5))


def test_a_few_blocks_cannot_reject(golden: Blocks) -> None:
    few = simulated_blocks(30, OTHER_SEED)[0]
    gate = compare_windows(few, golden)
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert gate.reason


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A store of two minutes across midnight, its golden sample, and one of another time."""
    folder = tmp_path_factory.mktemp("fidelity")
    made = []
    for name, start in (("same", "2026-01-05T23:59:00Z"), ("later", "2026-01-06T12:00:00Z")):
        told = command(
            "simulate",
            "--out",
            folder / name,
            "--minutes",
            "2",
            "--start",
            start,
            "--preset",
            "btc",
        )
        assert told.code == 0, told
        recordings = sorted((folder / name).glob("*.gz"))
        import_recordings(recordings, folder / f"golden-{name}")
        made.append(folder / f"golden-{name}")
    reconstruct_sample(made[0], folder / "store")
    return folder / "store", made[0], made[1]


def test_a_store_is_its_golden_sample_to_the_last_count(files: tuple[Path, Path, Path]) -> None:
    store, same, _ = files
    report = prove(store, same, level=Level.FULL)
    (against,) = report.against
    assert against.exact is not None
    assert against.exact.verdict is Verdict.PASS
    assert len(report.hashes) == 2
    names = [one.metric.name for one in report.compared]
    assert names[: len(CATALOGUE)] == [one.name for one in CATALOGUE]
    assert len(set(names)) == len(names) == len(CATALOGUE) + 14 + len(RULES) + 5
    for one in report.compared:
        assert one.n_ours == one.n_golden
        assert all(figure.upper == 0.0 for figure in one.figures if not math.isnan(figure.upper))
    assert len(against.facts) == len(FACTS)
    for fact in against.facts:
        assert repr(fact.ours) == repr(fact.golden)
        assert fact.ours.shows is Shows.CANNOT_SAY
    assert report.verdict is Verdict.INCONCLUSIVE  # two minutes are not enough for gate C
    assert "INCONCLUSIVE" in repr(report)
    stored = open_store(store).trades().select("ts_event").collect()["ts_event"].sort()
    assert trade_times(GoldenSample.load(same)).tolist() == stored.to_physical().to_list()


def test_the_command(files: tuple[Path, Path, Path]) -> None:
    store, same, later = files
    told = command("fidelity", store, "--against", same, "--against", later)
    assert told.code == 2, told
    assert "A, B  exact, row by row: pass" in told.out
    assert "D     distributions of another time" in told.out
    assert "stylised facts, ours: holds 0, fails 0, cannot say 10 (reported)" in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    document = command("fidelity", store, "--against", same, "--json").document
    assert document["verdict"] == "inconclusive"
    assert document["against"][0]["same_window"]["settings"]["hash"] == STANDARD.hash
    missing = store.parent / "nothing"
    refused(r"nothing", "fidelity", store, "--against", missing)


def test_the_command_writes_a_page_and_markdown(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    store, same, later = files
    page, marked = tmp_path / "p.html", tmp_path / "p.md"
    told = command(
        "fidelity", store, "--against", same, "--against", later, "--level", "light",
        "--out", page, "--markdown", marked, "--json",
    )  # fmt: skip
    assert told.code == 2, told
    assert str(page) in told.err
    assert str(marked) in told.err
    assert told.document["verdict"] == "inconclusive"
    text, table = page.read_text("utf-8"), marked.read_text("utf-8")
    assert str(store) in text
    assert 'id="sample-2"' in text
    assert len(text.encode()) < 5_000_000
    assert table.startswith("# Fidelity of BINANCE SIM-USDT: INCONCLUSIVE\n")
    assert all(f"| `{one.name}` |" in table for one in CATALOGUE)
    refused(r"is a folder", "fidelity", store, "--against", same, "--out", tmp_path)
    none = command("fidelity", store, "--against", same, "--level", "light")
    assert "Page" not in none.err
    light = prove(store, same, level=Level.LIGHT).against[0]
    assert light.blocks is None
    assert light.facts == ()


def test_a_sample_of_another_symbol_is_refused(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    store, *_ = files
    made = command("simulate", "--out", tmp_path / "perp", "--minutes", "1", "--preset", "perp")
    assert made.code == 0, made
    import_recordings(sorted((tmp_path / "perp").glob("*.gz")), tmp_path / "golden")
    refused(
        r"is of BINANCE_FUTURES SIM-USDT-PERP.*the store holds BINANCE SIM-USDT",
        "fidelity", store, "--against", tmp_path / "golden",
    )  # fmt: skip


def test_progress_tells_of_the_sample_and_of_the_store(files: tuple[Path, Path, Path]) -> None:
    store, same, _ = files
    told: list[tuple[str, int, int]] = []
    prove(store, same, progress=lambda *said: told.append(said))
    assert {what for what, _, _ in told} == {str(same), "BINANCE SIM-USDT"}
    assert all(done > 0 for _, done, _ in told)


def test_blocks_of_days_are_those_of_the_whole(files: tuple[Path, Path, Path]) -> None:
    """A sample that crosses midnight is measured day by day, as its store is."""
    store, same, _ = files
    report = prove(store, [same])
    gate = report.against[0].same
    assert gate is not None
    assert gate.window.alone == (0, 0)
    part = simulated_blocks(20, SEED)[0]
    with pytest.raises(UsageError, match=r"is in two of the parts"):
        merged([part, part])


# --- gate C: what follows from the series ---------------------------------------------------------


def stretched(blocks: Blocks, factor: float) -> Blocks:
    """The same with the mid's moves away from its first value so many times as large."""
    series = blocks.series.copy()
    mid = series[:, :, MID2]
    known = mid > 0
    first = mid[known][0]
    mid[known] = first + np.rint((mid[known] - first) * factor).astype(np.int64)
    return replace(blocks, series=series)


def test_series_of_identical_streams_pass_or_are_open(golden: Blocks) -> None:
    gate = compare(golden, golden)
    series = [one for one in gate.compared if one.metric.name not in BY_NAME]
    assert len(series) == 14 + len(RULES) + 4
    allowed = {Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE}
    assert {one.verdict for one in series} <= allowed
    assert {one.verdict for one in series} >= {Verdict.PASS}
    for one in series:
        uppers = [figure.upper for figure in one.figures if not math.isnan(figure.upper)]
        assert not any(uppers), one
        assert bool(one.reason) == (one.verdict is not Verdict.PASS)


def test_a_light_comparison_is_of_the_metrics_alone(golden: Blocks) -> None:
    gate = compare(golden, golden, level=Level.LIGHT)
    assert [one.metric.name for one in gate.compared] == [one.name for one in CATALOGUE]
    assert gate.drift is None


def clusters(seed: int, branching: float, blocks: Blocks) -> Int64:
    """Times over the time of the blocks: each is followed by others within some 0.1 s."""
    rng = np.random.default_rng(seed)
    begin, end = int(blocks.start[0]), int(blocks.start[-1]) + blocks.scale.block_ns
    generation = rng.uniform(begin, end, (end - begin) // 200_000_000)
    found = [generation]
    while len(generation):
        children = np.repeat(generation, rng.poisson(branching, len(generation)))
        generation = children + rng.exponential(1e8, len(children))
        generation = generation[generation < end]
        found.append(generation)
    return np.sort(np.concatenate(found)).astype(np.int64)


def test_the_level_full_compares_how_trades_bring_about_trades(golden: Blocks) -> None:
    times = clusters(1, 0.5, golden)
    rng = np.random.default_rng(2)
    apart = np.sort(rng.integers(times[0], times[-1], len(times)))  # as many, without an echo

    sides = Sides(golden, golden)
    groups = groups_of(sides.window.start, sides.block_ns, 4)
    many = int(groups.max()) + 1
    assert many >= 40
    group = Grouping(groups, many, 4 * sides.block_ns, 1e9, "", (1, 1))
    sides.groupings["trades_1s"] = group

    def branching(ours: Int64, theirs: Int64) -> Compared:
        return compare_hawkes((ours, theirs), sides, STANDARD)

    same = branching(times, times)
    assert same.verdict is Verdict.PASS
    assert [one.upper for one in same.figures] == [0.0]
    more = branching(clusters(1, 0.7, golden), times)
    assert more.verdict is Verdict.FAIL
    assert more.figures[0].estimate == pytest.approx(math.log(0.7 / 0.5), rel=0.25)
    assert branching(apart, times).verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    half = branching(times[: len(times) // 2], times)
    assert half.verdict is Verdict.INCONCLUSIVE
    assert "one side alone can be fitted" in half.reason
    none = branching(times[:50], times)
    assert none.verdict is Verdict.INCONCLUSIVE
    assert "both sides can be fitted in 0 of" in none.reason
    nothing = branching(times[:50], times[:50])
    assert nothing.verdict is Verdict.NOT_APPLICABLE


def test_the_level_full_needs_the_times_of_trades(golden: Blocks) -> None:
    times = clusters(1, 0.5, golden)
    gate = compare(golden, golden, level=Level.FULL, trade_times=(times, times))
    assert [one.metric.name for one in gate.compared][-2:] == ["garch", "hawkes"]
    assert of(gate, "hawkes").verdict is Verdict.INCONCLUSIVE  # of half an hour
    with pytest.raises(UsageError, match="times of all trades"):
        compare(golden, golden, level=Level.FULL)


def test_larger_moves_show_in_returns_slopes_and_volatility(golden: Blocks) -> None:
    gate = compare(stretched(golden, 1.1), golden)
    for name, ratio in (("log_volatility", 1.1), ("ofi_1_1s_beta", 1.1), ("kyle_1s", 1.1)):
        (figure,) = of(gate, name).figures
        assert figure.estimate == pytest.approx(math.log(ratio), rel=0.2), name
    assert of(gate, "ofi_1_1s_beta").verdict is Verdict.FAIL
    (unchanged,) = of(gate, "trades_1s_fano").figures
    assert unchanged.upper == 0


def test_of_a_window_without_blocks_to_leave_out_the_series_say_so(golden: Blocks) -> None:
    short = golden.taken(np.arange(3))
    gate = compare(short, short)
    for name in ("hill_1pc", "garch", "acf_return"):
        found = of(gate, name)
        assert found.verdict is Verdict.INCONCLUSIVE, found
        assert "are needed" in found.reason


def test_a_lag_that_one_stream_lacks_leaves_the_verdict_open() -> None:
    r = np.zeros((42, 3))
    g = r.copy()
    r[:, 1] = math.nan
    g[5, 1] = math.nan  # without one block it is not known; of the whole it is
    found = jackknifed_largest(r, g, name="lags")
    assert (found.verdict, found.upper) == (Verdict.INCONCLUSIVE, 0)
    assert found.doubt == "1 of its figures only one stream has"
