"""``lobproof fidelity history``: regressions, change points, what is stale; table, JSON, page."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.report import FidelityReport
from lobproof.fidelity.history import (
    Change,
    History,
    Row,
    SymbolHistory,
    changes_of,
    history,
)
from lobproof.fidelity.inference.changes import LEAST
from lobproof.fidelity.reports import KeptReport, keep, kept_of
from lobproof.pages.history import history_page
from support.commands import command, on_terminal, refused
from support.kept_reports import (
    DAYS,
    all_pass,
    changed,
    failing,
    light,
    metric_judged,
    proved_store,
)

pytestmark = pytest.mark.compiled

FIRST, SECOND, THIRD = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3))

Proved = tuple[Path, Path, FidelityReport]


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Proved:
    return proved_store(tmp_path_factory.mktemp("history"))


@pytest.fixture
def store(proved: Proved, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proved[0], tmp_path / "store"))


def rows(store: Path) -> tuple[Row, ...]:
    (symbol,) = history(store).symbols
    return symbol.rows


def test_without_a_report_it_says_what_makes_one(store: Path) -> None:
    refused(r"keeps no fidelity report", "fidelity", "history", store)


def test_a_first_report_is_no_regression_whatever_it_says(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    assert [row.change for row in rows(store)] == ["first report"] * 2
    assert not history(store).is_worse
    said = command("fidelity", "history", store)
    assert said.code == 0, said
    assert "2026-01-05 against golden fails in chain" in said.out
    assert "(new)" not in said.out


def test_what_fails_and_did_not_is_a_regression_and_is_marked(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    keep(store, changed(proved[2], metric_judged("buy_size", Verdict.FAIL)), run_at=SECOND)
    for row in rows(store):
        assert row.against.verdict is Verdict.FAIL
        assert row.new_failures == ("buy_size",)
        assert row.change == "worse, was inconclusive"
        assert row.runs == 2
    said = command("fidelity", "history", store)
    assert said.code == 1, said
    assert "fails in buy_size (new)" in said.out
    keep(store, changed(changed(proved[2], metric_judged("buy_size", Verdict.FAIL)),
                        failing("trades")), run_at=THIRD)  # fmt: skip
    assert [row.change for row in rows(store)] == ["new failures"] * 2
    assert rows(store)[0].new_failures == ("trades",)


def test_better_and_as_before(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    keep(store, changed(proved[2], all_pass), run_at=SECOND)
    assert [row.change for row in rows(store)] == ["better, was fail"] * 2
    keep(store, changed(proved[2], all_pass), run_at=THIRD)
    assert [row.change for row in rows(store)] == ["as before"] * 2
    assert command("fidelity", "history", store).code == 0


def test_reports_of_other_content_are_told(proved: Proved, store: Path) -> None:
    other = replace(proved[2], hashes=dict.fromkeys(DAYS, "0" * 64))
    keep(store, other, run_at=FIRST)
    assert all(row.stale for row in rows(store))
    assert "2026-01-05 has other content than was measured" in (
        command("fidelity", "history", store).out
    )
    keep(store, proved[2], run_at=SECOND)
    assert [row.change for row in rows(store)] == ["as before; other content"] * 2
    assert not any(row.stale for row in rows(store))


def test_each_golden_sample_has_a_line_of_its_own(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    of_another = changed(proved[2], lambda one: replace(one, content_hash="1" * 64))
    keep(store, of_another, run_at=SECOND)
    found = rows(store)
    assert [row.report.dt for row in found] == [DAYS[0], DAYS[0], DAYS[1], DAYS[1]]
    assert [row.against.verdict for row in found[:2]] == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    assert [row.change for row in found] == ["first report"] * 4


def test_each_level_has_a_line_of_its_own(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    keep(store, changed(proved[2], light), run_at=SECOND)
    assert [row.change for row in rows(store)[:2]] == ["first report", "first report; light"]
    assert not history(store).is_worse


def test_days_that_were_never_measured_are_named(proved: Proved, store: Path) -> None:
    one_day = changed(proved[2], lambda one: replace(one, days=DAYS[:1]))
    keep(store, one_day, run_at=FIRST)
    (symbol,) = history(store).symbols
    assert symbol.unmeasured == DAYS[1:]
    assert "never measured: 2026-01-06" in command("fidelity", "history", store).out


def test_the_table_fits_80_columns_and_says_that_it_has_too_few_days(
    proved: Proved, store: Path
) -> None:
    keep(store, proved[2], run_at=FIRST)
    keep(store, changed(proved[2], metric_judged("realised_spread_30s", Verdict.FAIL)),
         run_at=SECOND)  # fmt: skip
    said = command("fidelity", "history", store)
    table = said.out.partition("gates:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "DEMO: synthetic data" in said.out
    assert f"change points need {LEAST} days with figures" in said.out
    _, shown = on_terminal("fidelity", "history", store)
    assert "worse" in shown


def test_json_and_the_symbol(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    document = command("fidelity", "history", store, "--json", "--symbol", "SIM-USDT").document
    (symbol,) = document["symbols"]
    assert [day["dt"] for day in symbol["days"]] == list(DAYS)
    assert symbol["days"][0]["gates"] == {"A": "exact", "B": "exact", "C": "inconclusive"}
    assert not document["regression"]
    refused(r"ETH-USDT", "fidelity", "history", store, "--symbol", "ETH-USDT")


def test_a_store_that_is_called_history_is_named_by_its_path(
    proved: Proved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(proved[0], tmp_path / "history")
    monkeypatch.chdir(tmp_path)
    said = command("fidelity", "./history", "--against", proved[1])
    assert said.code == 2, said
    assert "INCONCLUSIVE" in said.out
    assert command("fidelity", "history", "history").code == 0


def test_the_page(proved: Proved, store: Path, tmp_path: Path) -> None:
    keep(store, changed(proved[2], all_pass), run_at=FIRST)
    keep(store, changed(proved[2], metric_judged("buy_size", Verdict.FAIL)), run_at=SECOND)
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        assert command("fidelity", "history", store, "--out", page).code == 1
    text = pages[0].read_text()
    assert pages[1].read_text() == text
    for said in ("Worse than in the report before", "buy_size (new)", "DEMO", "change points need"):
        assert said in text
    assert text.count("data:image/svg+xml;base64,") == 1
    assert "No picture: no figure of gate C has an interval" in text
    assert "<script" not in text
    refused(r"is a folder", "fidelity", "history", store, "--out", tmp_path)


def dated(proved: Proved, estimates: list[float]) -> list[Row]:
    """A day each, on which the distribution of buy_size differs by so much."""
    (kept, *_) = kept_of(changed(proved[2], all_pass), FIRST)
    found = []
    for number, estimate in enumerate(estimates):
        (against,) = kept.against
        metrics = tuple(
            msgspec.structs.replace(
                one,
                figures=tuple(
                    msgspec.structs.replace(
                        figure,
                        estimate=estimate if figure.name == "distribution" else 0.0,
                        upper=estimate + 0.001 if figure.name == "distribution" else 0.0,
                    )
                    for figure in one.figures
                ),
            )
            if one.name == "buy_size"
            else one
            for one in against.metrics
        )
        day = (date(2026, 1, 1) + timedelta(days=number)).isoformat()
        report: KeptReport = msgspec.structs.replace(
            kept, dt=day, against=(msgspec.structs.replace(against, metrics=metrics),)
        )
        found.append(Row(report, report.against[0], None, None, 1, stale=False))
    return found


def test_a_figure_with_another_level_is_a_change_point(proved: Proved) -> None:
    pytest.importorskip("ruptures", reason="the extra history is not installed")
    random = np.random.default_rng(6)
    levels = np.repeat([0.001, 0.006], 12) + random.normal(size=24) * 2e-4
    changes, why = changes_of(dated(proved, levels.tolist()))
    assert why == ""
    (change,) = changes
    assert (change.metric, change.figure, change.dt) == ("buy_size", "distribution", "2026-01-13")
    assert change.before == pytest.approx(0.001, abs=2e-4)
    assert change.after == pytest.approx(0.006, abs=2e-4)
    assert changes_of(dated(proved, [0.001] * 24)) == ((), "")


def test_the_page_of_many_days_has_all_its_pictures(proved: Proved, tmp_path: Path) -> None:
    found = dated(proved, [0.001] * 12 + [0.006] * 12)
    change = Change("buy_size", "distribution", "2026-01-13", 0.001, 0.006)
    symbol = SymbolHistory("BINANCE", "SIM-USDT", "synthetic", tuple(found), (), (change,), "")
    text = history_page(History((symbol,), ()), tmp_path / "page.html").read_text()
    assert text.count("data:image/svg+xml;base64,") == 2
    assert "+0.600%" in text


def test_too_few_days_are_told(proved: Proved) -> None:
    changes, why = changes_of(dated(proved, [0.0] * (LEAST - 1)))
    assert changes == ()
    assert why == f"change points need {LEAST} days with figures of gate C, there are {LEAST - 1}"
