"""``prove`` with golden samples of other days: gate D ranks the store's day among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.render import render_fidelity
from lobproof.fidelity.gates.report import FidelityReport
from lobproof.fidelity.reports import keep, kept_reports
from lobproof.pages.fidelity import fidelity_markdown, fidelity_page
from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.certificate import certify_dataset
from lobproof.pipeline.prove import prove
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS, MarketConfig, simulate
from support.commands import command

pytestmark = pytest.mark.compiled

MARKET = PRESETS["btc"]
OTHER_MARKET = replace(
    MARKET,
    near_sizes=replace(MARKET.near_sizes, median=30 * MARKET.near_sizes.median),
    deep_sizes=replace(MARKET.deep_sizes, median=30 * MARKET.deep_sizes.median),
    take_sizes=replace(MARKET.take_sizes, median=30 * MARKET.take_sizes.median),
)


def sample(folder: Path, number: int, *, hour: int = 10, config: MarketConfig = MARKET) -> Path:
    """A golden sample of 40 simulated seconds of a day."""
    name = f"{number}-{hour}"
    made = simulate(
        folder / f"sim-{name}",
        minutes=0.7,
        seed=number,
        start=f"2026-02-{number:02}T{hour}:00:00Z",
        config=config,
    )
    return import_recordings(list(made.recordings), folder / f"golden-{name}").path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A store of a day, and golden samples: of its own time, of its day, and of three others."""
    folder = tmp_path_factory.mktemp("across")
    goldens = [
        sample(folder, 1),
        sample(folder, 1, hour=12),
        *(sample(folder, k) for k in (2, 3, 4)),
    ]
    reconstruct_sample(goldens[0], folder / "store")
    return folder / "store", goldens


def shown(report: FidelityReport) -> str:
    console = Console(width=1_000)
    with console.capture() as told:
        console.print(render_fidelity(report))
    return told.get()


def test_of_a_few_golden_days_nothing_can_be_rejected_and_permutations_decide(
    made: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    store, goldens = made
    to = [word for one in goldens for word in ("--against", one)]
    pages = ("--out", tmp_path / "p.html", "--markdown", tmp_path / "p.md")
    said = command("fidelity", store, *to, "--level", "light", "--json", *pages)
    assert said.code == 2, said
    across = said.document["across"]
    assert across["golden_days"] == ["2026-02-02", "2026-02-03", "2026-02-04"]
    assert (across["k"], across["needed"], across["decides"]) == (3, 19, False)
    assert [one["dt"] for one in across["days"]] == ["2026-02-01"]
    told = "of 3 golden days nothing can be rejected at 5 %: 19 are needed."
    for name in ("p.html", "p.md"):
        assert f"Gate D across days, decides nothing: {told}" in (tmp_path / name).read_text()
    for one in said.document["against"][1:]:
        assert one["gate_d"] == one["other_window"]["verdict"]
    report = prove(store, goldens[2:])
    assert told in shown(report)
    assert told[:-1] in repr(report)


def test_one_other_day_is_no_rank(made: tuple[Path, list[Path]]) -> None:
    store, goldens = made
    assert prove(store, goldens[:3]).across is None


def decided(report: FidelityReport, alpha: float) -> FidelityReport:
    """As if so many golden days were enough; of what is of another day."""
    assert report.across is not None
    (day,) = report.across.days
    assert day.rank is not None
    rank = replace(day.rank, p=0.5, alpha=alpha)
    across = replace(report.across, days=(replace(day, rank=rank),), alpha=alpha)
    against = tuple(replace(one, across=across) for one in report.against)
    return replace(report, across=across, against=against)


@pytest.mark.parametrize(("alpha", "verdict"), [(0.49, Verdict.PASS), (0.51, Verdict.FAIL)])
def test_where_the_rank_decides_it_is_gate_d_everywhere(
    made: tuple[Path, list[Path]], tmp_path: Path, alpha: float, verdict: Verdict
) -> None:
    store, goldens = made
    reconstruct_sample(goldens[0], tmp_path / "store")
    found = decided(prove(store, goldens[2:]), alpha)
    assert found.verdict is verdict
    assert {one["gate_d"] for one in json.loads(json.dumps(found.to_dict()))["against"]} == {
        verdict
    }
    text = shown(found)
    assert f"Gate D across days, {verdict.value}: among 3 golden days" in text
    assert text.count(f"Gate D: {verdict.value}. The rank among golden days decides gate D") == 3
    page = fidelity_page(found, tmp_path / "p.html").read_text()
    marked = fidelity_markdown(found, tmp_path / "p.md").read_text()
    for one in (page, marked):
        assert f"Gate D across days, {verdict.value}: among 3 golden days" in one
        assert f"Gate D (another time) {verdict.value}: among 3 golden days" in one
        assert "permuted blocks inform: days differ." in one
    keep(tmp_path / "store", found)
    keep(tmp_path / "store", prove(tmp_path / "store", goldens[0]))
    ranked, _ = kept_reports(tmp_path / "store").reports
    assert found.across is not None
    strangest = found.across.days[0].strangest
    assert strangest is not None
    failed = (strangest.name, "D") if verdict is Verdict.FAIL else ()
    for against in ranked.against:
        assert {str(name): one for name, one in against.gates.items()} == {"D": verdict}
        assert against.failed == failed
    certificate = certify_dataset(tmp_path / "store")
    assert certificate.refusals == []
    says = certificate.document["days"][0]["fidelity"]["says"]
    assert ("unlike 3 golden sample(s) of other times" in says) == (verdict is Verdict.FAIL)


@pytest.mark.slow
def test_nineteen_golden_days_decide(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    """A day of their market passes; one of another, whose orders are larger, fails."""
    store, _ = made
    goldens = [sample(tmp_path, number) for number in range(2, 21)]
    alike = prove(store, goldens)
    assert alike.across is not None
    assert alike.across.decides
    assert alike.verdict is Verdict.PASS
    assert all(one.gate_d is alike.across for one in alike.against)
    reconstruct_sample(sample(tmp_path, 1, config=OTHER_MARKET), tmp_path / "larger")
    other = prove(tmp_path / "larger", goldens)
    assert other.verdict is Verdict.FAIL
    assert other.across is not None
    assert [day.rank and day.rank.p for day in other.across.days] == [0.05]
    (again,) = (one for one in prove(store, [*goldens, made[1][1]]).against if not one.across)
    assert again.golden == str(made[1][1])  # of the store's own day: permutations
