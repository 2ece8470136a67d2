"""The fidelity page: what it draws is what the gates said, and it says it in words."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.errors import UsageError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.exact.report import (
    Check,
    Class,
    Divergence,
    VerifyReport,
    not_applicable,
    student_95,
)
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.facts import FACTS, Shown, Shows, StylisedFact, stylised_facts
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.same_window import SameWindow, compare
from lobproof.fidelity.gates.windows import whole
from lobproof.fidelity.inference.equivalence import difference
from lobproof.fidelity.inference.plain import ks_of_counts
from lobproof.fidelity.metrics.blocks import Bins, Blocks
from lobproof.fidelity.metrics.catalogue import BY_NAME, CATALOGUE, Family, Kind
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS
from lobproof.fidelity.metrics.metric_kernels import COUNT, MID2
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.series import ADDITIVE, sums_of, values_of
from lobproof.pages.fidelity import fidelity_markdown, fidelity_page
from lobproof.pages.fidelity.curves import Curves
from lobproof.pages.fidelity.distributions import quantiles
from lobproof.pages.fidelity.overview import nearness
from lobproof.pages.fidelity.seen import Seen, reach
from lobproof.pages.fidelity.words import chance, facts_table
from lobproof.pages.figures.panel import Scale
from lobproof.pages.text import short
from lobproof.store import open_store
from support.batches import START_NS
from support.report import build_store, random_events
from support.simulated_blocks import simulated_blocks

SECONDS, SEED = 900, 5

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def golden() -> Blocks:
    return simulated_blocks(SECONDS, SEED)[0]


@pytest.fixture(scope="module")
def ours(golden: Blocks) -> Blocks:
    """A stream with 2 % of its larger buys lost, and mids that are a tick off here and there."""
    number, bins = BY_NAME["buy_size"].number, golden.bins
    random = np.random.default_rng(3)
    large = (bins.metric == number) & (bins.bin > 300)
    lost = np.where(large, random.binomial(bins.count, 0.02), 0)
    sums, series = golden.sums.copy(), golden.series.copy()
    np.add.at(sums[:, number, COUNT], bins.block, -lost)
    series[:, ::9, MID2] += 2 * (series[:, ::9, MID2] > 0)
    count = (bins.count - lost).astype(np.int32)
    kept = Bins(bins.metric, bins.block, bins.bin, count)
    return replace(golden, bins=kept, sums=sums, series=series)


@pytest.fixture(scope="module")
def same(ours: Blocks, golden: Blocks) -> SameWindow:
    return compare(ours, golden)


@pytest.fixture(scope="module")
def seen(ours: Blocks, golden: Blocks, same: SameWindow) -> Seen:
    return Seen(Against("golden", same=same, blocks=(ours, golden)))


def of(gate: SameWindow, name: str) -> Compared:
    return next(one for one in gate.compared if one.metric.name == name)


def report_of(*against: Against, provenance: str = "synthetic") -> FidelityReport:
    return FidelityReport("BINANCE", "BTC-USDT", provenance, against, {"2024-08-08": "ab" * 32})


def exact() -> VerifyReport:
    first = Divergence(
        "level_changes",
        Class.CHANGED,
        77,
        START_NS + 30_000_000_000,
        "level <9> is another",
        "2024-08-08",
        4,
        expected={"size": "5"},
        found={"size": "6"},
    )
    checks = (
        Check("chain", Verdict.EXACT, 1200, 1200, 1200),
        Check("level_changes", Verdict.FAIL, 10, 10, 9, 0.4, first=first),
        not_applicable("snapshots", "no later snapshot"),
    )
    return VerifyReport("BINANCE", "BTC-USDT", "synthetic", checks, {"days": ["2024-08-08"]})


def words(page: str) -> str:
    """What a page says, pictures and style left out."""
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))
    return re.sub(r"[\s\u202f]+", " ", text)


# --- what is drawn --------------------------------------------------------------------------------


def test_the_difference_drawn_is_that_of_the_report(same: SameWindow, seen: Seen) -> None:
    differ = 0
    for one in same.compared:
        if one.plain is None or one.figures[0].name != "distribution":
            continue
        found = seen.histograms(one.metric.name, one.block_ns)
        assert int(found.totals[0].sum()) <= one.n_ours
        assert found.is_judged == (one.blocks > 1)
        if not found.is_judged:
            assert int(found.totals[0].sum()) == one.n_ours
            continue
        assert len(found.counts[0]) == one.blocks
        delta, error = difference(*found.counts)
        figure = one.figures[0]
        upper = np.abs(delta) + student_95(one.blocks - 1) * error
        assert float(upper.max()) == pytest.approx(figure.upper, rel=1e-12, abs=1e-15), one.metric
        differ += figure.upper > 0
    assert differ >= 3


@pytest.mark.parametrize("name", ["acf_return", "acf_absolute_return", "acf_trade_sign"])
def test_autocorrelations_drawn_are_those_of_the_report(
    same: SameWindow, seen: Seen, name: str
) -> None:
    one, row = next(one for one in ADDITIVE if one.name == name), of(same, name)
    lines = [
        seen.curve(side, row.block_ns, one.sums(seen.grids[side]), one.value) for side in (0, 1)
    ]
    assert len(lines[0].parts) == row.blocks
    near = LAGS[1:] <= same.settings.lag_share * len(seen) * seen.block_ns / 1e9
    gap = np.abs(lines[0].value - lines[1].value)[near]
    upper = gap + reach(lines[0].parts - lines[1].parts)[near]
    (figure,) = row.figures
    assert float(upper.max()) == pytest.approx(figure.upper, abs=1e-12)
    assert float(gap.max()) == pytest.approx(figure.estimate, abs=1e-12)
    assert (figure.upper > 0) == (name != "acf_trade_sign")


def test_drift_is_the_difference_of_means_in_each_column(seen: Seen) -> None:
    number = BY_NAME["bid_depth_1"].number
    found = seen.histograms("bid_depth_1", seen.block_ns).drift
    assert not found.any()
    assert len(found) == seen.time.columns
    # against a plain sum over the blocks of each column, of what differs
    other = replace(seen.both[0], sums=seen.both[0].sums * np.where(_only(number), 2, 1))
    one = Against("golden", same=compare(other, seen.both[1]), blocks=(other, seen.both[1]))
    found = Seen(one).histograms("bid_depth_1", seen.block_ns).drift
    n, total, squares = (part.astype(float) for part in seen.both[1].moments(number))
    sd = math.sqrt(squares.sum() / n.sum() - (total.sum() / n.sum()) ** 2)
    for column, value in enumerate(found.tolist()):
        rows = seen.time.column(seen.both[1].start) == column
        if not n[rows].sum():
            assert math.isnan(value)
            continue
        expected = total[rows].sum() / n[rows].sum() / sd
        assert value == pytest.approx(expected), column


def _only(number: int) -> np.ndarray:
    """1 at the sum of a metric, of (metrics, sums)."""
    chosen = np.zeros((len(CATALOGUE), 4), np.int64)
    chosen[number, 1] = 1
    return chosen


@given(st.lists(st.integers(-1, 4), min_size=12, max_size=12), st.integers(0, 41))
@settings(max_examples=20, deadline=None)
def test_grouped_counts_are_sums_over_blocks(groups: list[int], metric: int) -> None:
    blocks = _few()
    at = np.array(groups, np.int64)
    found = blocks.grouped_counts(metric, at, 5)
    counts = blocks.counts(metric)
    for group in range(5):
        assert (found[group] == counts[at == group].sum(axis=0)).all()


_kept: list[Blocks] = []


def _few() -> Blocks:
    if not _kept:
        made = simulated_blocks(140, SEED)[0]
        _kept.append(made.taken(np.arange(12)))
    return _kept[0]


@given(
    st.lists(st.integers(0, 511), min_size=1, max_size=60),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=9),
)
def test_quantiles_of_single_values_are_those_of_the_sample(
    values: list[int], at: list[float]
) -> None:
    metric = BY_NAME["buy_size"]
    total = np.zeros(metric.bins, np.int64)
    np.add.at(total, 1 + np.array(values), 1)
    found = quantiles(metric, total, np.array(at))
    assert found.tolist() == np.quantile(values, at, method="inverted_cdf").tolist()


@given(st.floats(1e-6, 1e6), st.floats(1.001, 1e6), st.booleans(), st.integers(2, 8))
def test_round_numbers_lie_within_the_axis(
    low: float, times: float, is_log: bool, most: int
) -> None:
    scale = Scale(low, low * times, is_log)
    found = scale.round_numbers(most)
    assert found == sorted(found)
    assert len(found) <= most + 2
    shares = scale.share(found)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert scale.share([low, low * times]).tolist() == [0, 1]


@pytest.mark.parametrize("family", list(Family))
def test_what_is_reported_is_what_the_sums_say(
    same: SameWindow, seen: Seen, family: Family
) -> None:
    judged = {one.metric.name for one in same.compared}
    blocks = {one.metric.name: one.block_ns for one in same.compared if one.block_ns}
    rows = Curves(seen, blocks, same.settings).reported(family, judged).rows
    values = values_of(sums_of(seen.grids[1]))
    single = {
        one.name
        for one in ADDITIVE
        if one.family is family and one.name not in judged and not values[one.name].ndim
    }
    assert {row[0].strip("`") for row in rows} == single
    assert (family is Family.STATE) == (not single)
    for row in Curves(seen, {"all": 10**15}, same.settings).reported(family, judged).rows:
        value = float(values[row[0].strip("`")])
        told = "–" if math.isnan(value) else short(value, 4).replace("-", "−")
        assert row[5] == told  # one block has no bounds


# --- what is said ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(
    ours: Blocks, golden: Blocks, same: SameWindow, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FidelityReport, str, str]:
    folder = tmp_path_factory.mktemp("page")
    half = len(golden) // 2
    halves = golden.taken(np.arange(half)), golden.taken(np.arange(half, 2 * half))
    report = report_of(
        Against(
            "/data/same",
            exact(),
            same,
            facts=stylised_facts(ours, golden, is_paired=True),
            blocks=(ours, golden),
        ),
        Against("/data/other", other=compare_windows(*halves), blocks=halves),
    )
    build_store(folder / "store", random_events(5, 300))
    store = open_store(folder / "store")
    out = fidelity_page(report, folder / "deep" / "page.html", store=store)
    marked = fidelity_markdown(report, folder / "page.md", store=store)
    return report, out.read_text("utf-8"), marked.read_text("utf-8")


def test_the_head_says_it_all(page: tuple[FidelityReport, str, str], same: SameWindow) -> None:
    report, text, _ = page
    said = words(text)
    assert report.verdict is Verdict.FAIL
    assert "BTC-USDT BINANCE DEMO: synthetic data" in said
    assert "SIMULATED – no market was involved" in said
    assert "FAIL A difference is beyond its margin with 95 % confidence" in said
    assert "ab" * 32 in said
    plain = [one.plain for one in same.compared if one.plain is not None]
    passed = sum(one.ks_pass for one in plain)
    assert f"Plain K-S criterion: p > 0.05 in {passed} of {len(plain)} metrics." in said
    assert 0 < passed < len(plain)
    assert "It is necessary and not sufficient" in said
    assert "Gates A and B (exact) fail: level changes." in said
    assert "Fails: " in said
    assert "needs" in said
    assert same.settings.hash in said
    assert 'href="#sample-2"' in text


def test_every_metric_stands_in_the_tables(
    page: tuple[FidelityReport, str, str], same: SameWindow
) -> None:
    _, text, marked = page
    said = words(text)
    for one in same.compared:
        verdict = one.verdict.value.replace("_", " ")
        assert f" {one.metric.name} {verdict} " in said, one.metric.name
        assert f"| `{one.metric.name}` | {verdict} |" in marked
        worst = one.worst
        if worst is not None and not math.isnan(worst.mde95):
            row = next(
                line for line in marked.split("\n") if line.startswith(f"| `{one.metric.name}`")
            )
            assert len(row.split(" | ")) == 13
            assert f"{one.blocks} × " in row


def test_every_stylised_fact_is_told_of_both_sides(page: tuple[FidelityReport, str, str]) -> None:
    report, text, marked = page
    said = words(text)
    facts = report.against[0].facts
    assert len(facts) == 10
    for one in facts:
        assert f" {one.fact.title} {one.ours.shows} {one.golden.shows} " in said
        assert one.remark in said
        row = next(line for line in marked.split("\n") if line.startswith(f"| {one.fact.title} |"))
        assert len(row.replace("\\|", "").split(" | ")) == 8
        for side in (one.ours, one.golden):
            if not math.isnan(side.lower):
                told = f" {short(side.value)} ({short(side.lower)} to {short(side.upper)}) "
                assert told.replace("-", "−") in row
    assert said.count("Stylised facts: reported, they decide nothing") == 1  # the other has none
    assert 'href="#sample-1-facts"' in text
    assert 'href="#sample-2-facts"' not in text


def test_every_distribution_has_a_picture(
    page: tuple[FidelityReport, str, str], same: SameWindow
) -> None:
    _, text, _ = page
    drawn = re.findall(r'<figure class="card" id="sample-1-[a-z]+-([^"]+)"', text)
    expected = {
        one.metric.name.replace(".", "_") for one in same.compared if one.plain and one.figures
    }
    assert expected <= set(drawn)
    assert len(drawn) == len(set(drawn))
    assert {"signature", "hill", "profile", "given", "responses", "drift_state"} <= set(drawn)
    of_other = re.findall(r'<figure class="card" id="sample-2-[a-z]+-([^"]+)"', text)
    assert {"events", "resilience", "lags_flow", "lags_returns"} <= set(drawn)
    assert {"signature", "profile", "events", "resilience"} <= set(of_other)
    assert "drift_state" not in of_other


def test_gate_d_stands_beside_the_plain_test(page: tuple[FidelityReport, str, str]) -> None:
    report, text, marked = page
    gate, blocks = report.against[1].other, report.against[1].blocks
    assert gate is not None
    assert gate.result is not None
    assert blocks is not None
    start = marked.index("### Gate D")
    for metric, d, p in zip(gate.metrics, gate.result.d, gate.result.p, strict=True):
        both = [side.counts(metric.number)[whole(side)].sum(axis=0) for side in blocks]
        row = marked[marked.index(f"| `{metric.name}` |", start) :].split("\n")[0]
        cells = row.strip("| ").split(" | ")
        assert cells[2:4] == [f"{d:.4f}", chance(p)]
        assert cells[5] == chance(ks_of_counts(*both).p)
    said = words(text)
    assert "Of different times it is shown beside the p of gate D." in said
    assert f"p {chance(gate.result.p_max)} of all metrics together" in said


def test_the_first_divergence_has_the_book_around_it(page: tuple[FidelityReport, str, str]) -> None:
    _, text, marked = page
    said = words(text)
    assert "Where it first differs First divergence (level changes, changed)" in said
    assert "Expected: size 5 Found: size 6" in said
    assert "The stored book before and after" in marked
    assert " bid 1 " in said
    assert " ask 1 " in said
    assert "level &lt;9&gt; is another" in text


def test_a_book_that_is_not_there_is_said(tmp_path: Path, same: SameWindow) -> None:
    build_store(tmp_path / "store", random_events(5, 100))
    found = exact()
    first = found.checks[1].first
    assert first is not None
    early = replace(first, time_ns=START_NS - 86_400_000_000_000)
    checks = (found.checks[0], replace(found.checks[1], first=early))
    report = report_of(Against("g", replace(found, checks=checks)))
    page = fidelity_page(report, tmp_path / "p.html", store=open_store(tmp_path / "store"))
    assert "The stored book cannot be shown: " in words(page.read_text("utf-8"))


def test_the_same_report_gives_the_same_bytes(
    ours: Blocks, golden: Blocks, same: SameWindow, tmp_path: Path
) -> None:
    report = report_of(Against("g", same=same, blocks=(ours, golden)), provenance="real")
    pages = [fidelity_page(report, tmp_path / name).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]
    assert b"SIMULATED" not in pages[0]
    assert b"DEMO" not in pages[0]


def test_without_blocks_there_are_tables_and_no_distributions(
    same: SameWindow, tmp_path: Path
) -> None:
    page = fidelity_page(report_of(Against("g", same=same)), tmp_path / "p.html").read_text("utf-8")
    assert page.count("<img ") == 1  # the summary
    assert " buy_size fail " in words(page)
    with pytest.raises(ValueError, match="kept no blocks"):
        Seen(Against("g", same=same))


def test_windows_with_nothing_in_common_are_inconclusive_in_words(
    golden: Blocks, tmp_path: Path
) -> None:
    later = replace(golden, start=golden.start + 86_400_000_000_000)
    one = Against("g", same=compare(later, golden), blocks=(later, golden))
    said = words(fidelity_page(report_of(one), tmp_path / "p.html").read_text("utf-8"))
    assert "INCONCLUSIVE Neither: there is too little data to say" in said
    assert "No whole block of time is common to both." in said
    assert "no whole block of 10 s is common to both" in said


def test_equal_sides_have_flat_pictures(golden: Blocks, tmp_path: Path) -> None:
    one = Against("g", same=compare(golden, golden), blocks=(golden, golden))
    said = words(fidelity_page(report_of(one), tmp_path / "p.html").read_text("utf-8"))
    assert said.count("No picture needed: in every") == len(Family)


def test_a_metric_that_is_missing_stands_first(golden: Blocks, tmp_path: Path) -> None:
    number = BY_NAME["buy_size"].number
    kept = golden.bins.metric != number
    bins = Bins(*(getattr(golden.bins, name)[kept] for name in ("metric", "block", "bin", "count")))
    less = replace(golden, bins=bins)
    gate = compare(less, golden)
    assert math.isnan(nearness(of(gate, "buy_size")))
    report = report_of(Against("g", same=gate, blocks=(less, golden)))
    said = words(fidelity_page(report, tmp_path / "p.html").read_text("utf-8"))
    assert "Fails: buy_size." in said
    assert "what is judged has no value" in said


def test_a_page_is_one_file(same: SameWindow, tmp_path: Path) -> None:
    report = report_of(Against("g", same=same))
    for write in (fidelity_page, fidelity_markdown):
        with pytest.raises(UsageError, match="is a folder, and the page is one file"):
            write(report, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_has_no_numbers_is_drawn_as_a_mix() -> None:
    kinds: Sequence[str] = [one.name for one in CATALOGUE if one.kind is Kind.CATEGORY]
    assert kinds == ["event_mix"]
    assert all(one.metric.kind is not Kind.CATEGORY for one in DISTRIBUTIONS)


def test_a_fact_without_bounds_is_shown_by_its_value() -> None:
    """Of two blocks there is a value, and nothing to judge it by."""
    nothing = Shown(Shows.CANNOT_SAY, -0.0727, math.nan, math.nan, 2, 21, "2 blocks")
    facts = [StylisedFact(fact, nothing, replace(nothing, value=math.nan)) for fact, _ in FACTS]
    table = facts_table(facts)
    assert {tuple(row[3:5]) for row in table.rows} == {("−0.0727", "–")}
