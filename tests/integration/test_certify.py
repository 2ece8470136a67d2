"""``lobproof certify``: the certificate of a dataset, what stands against it, and its check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lobproof
from lobproof.documents import content_digest
from lobproof.errors import UsageError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.other_window import OtherWindow
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.inference.permutation import Permutation
from lobproof.fidelity.metrics.catalogue import BY_NAME
from lobproof.fidelity.reports import FOLDER, keep
from lobproof.pipeline.certificate import REMEDIES, certify_dataset
from support.commands import command, refused
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
NAMES = [f"BINANCE SIM-USDT {dt}" for dt in DAYS]

Proved = tuple[Path, Path, FidelityReport]


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Proved:
    return proved_store(tmp_path_factory.mktemp("certify"))


@pytest.fixture
def store(proved: Proved, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proved[0], tmp_path / "store"))


def reasons(store: Path, **named: Any) -> list[tuple[str, str]]:
    """What stands against a certificate: reasons, and what they are of."""
    certificate = certify_dataset(store, **named)
    assert (certificate.verdict == "REFUSED") == bool(certificate.refusals)
    assert {one["reason"] for one in certificate.refusals} <= REMEDIES.keys()
    return [(one["reason"], one["key"]) for one in certificate.refusals]


def another_time(one: Against, p: float = 0.5) -> Against:
    """Gate D instead of the others."""
    result = Permutation((0.01,), (p,), (p,), p, p, 1_000, "")
    metrics = (BY_NAME["buy_size"],)
    gate = OtherWindow(metrics, (), result, (50, 50), 10**10, STANDARD, "")
    return replace(one, exact=None, same=None, other=gate, content_hash="2" * 64)


def test_what_is_not_real_is_a_demo_and_says_that_distributions_are_open(
    proved: Proved, store: Path, tmp_path: Path
) -> None:
    keep(store, proved[2], run_at=FIRST)
    out = tmp_path / "dataset.json"
    said = command("certify", store, "--out", out)
    assert said.code == 0, said
    assert said.out.startswith("DEMO")
    assert "2 days exact; distributions inconclusive: " in " ".join(said.out.split())
    assert max(map(len, said.out.splitlines())) <= 80
    document = json.loads(out.read_text())
    assert document["verdict"] == "DEMO"
    assert document["provenance"] == "synthetic"
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    assert document["id"] == content_digest(content)
    seals = lobproof.open(store).days()
    for day, seal in zip(document["days"], seals.iter_rows(named=True), strict=True):
        assert day["content_hash"] == seal["content_hash"]
        assert day["quality"]["untrusted_ns"] == seal["doubtful_ns"]
        assert day["rows"]["events"] == seal["events"]
        assert day["inputs"]["files"] == json.loads(seal["inputs"])
        assert day["inputs"]["certified"] is False
        assert day["fidelity"]["compared_share"] == pytest.approx(1.0, abs=0.01)
        (report,) = day["fidelity"]["reports"]
        kept = json.loads((store / report["file"]).read_text())
        assert report["id"] == kept["id"]
        assert report["settings_hash"] == STANDARD.hash
        assert report["gates"] == {"A": "exact", "B": "exact", "C": "inconclusive"}
        assert report["inconclusive"]


def test_where_distributions_pass_it_says_so(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], all_pass), run_at=FIRST)
    assert certify_dataset(store).document["says"] == "2 days exact; distributions pass"


def test_flags_are_those_of_the_quality_table(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    opened = lobproof.open(store)
    for day in certify_dataset(store).document["days"]:
        rows = opened.stored("quality", day["dt"], day["symbol"]).collect()
        flags = day["quality"]["flags"]
        assert sum(one["findings"] for one in flags.values()) == rows.height
        assert sum(one["count"] for one in flags.values()) == rows["count"].sum()


def test_the_id_is_of_the_content_alone(proved: Proved, store: Path, tmp_path: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    first = certify_dataset(store).document
    elsewhere = shutil.copytree(store, tmp_path / "elsewhere")
    assert certify_dataset(elsewhere).document["id"] == first["id"]
    part = certify_dataset(store, start=DAYS[1]).document
    assert part["id"] != first["id"]
    assert [day["dt"] for day in part["days"]] == [DAYS[1]]


def test_what_was_never_measured_is_refused_with_the_remedy(store: Path, tmp_path: Path) -> None:
    assert reasons(store) == [("not-measured", name) for name in NAMES]
    out = tmp_path / "refused.json"
    said = command("certify", store, "--out", out)
    assert said.code == 1, said
    for name in NAMES:
        assert f"not-measured: {name}: there is no fidelity report of it" in said.out
    assert "`lobproof fidelity STORE --against GOLDEN`" in said.err
    assert json.loads(out.read_text())["verdict"] == "REFUSED"
    assert command("certify", store, "--json").document["verdict"] == "REFUSED"


@pytest.mark.parametrize("change", [failing("chain"), failing("trades"),
                                    metric_judged("buy_size", Verdict.FAIL)])  # fmt: skip
def test_what_failed_is_refused(
    proved: Proved, store: Path, change: Callable[[Against], Against]
) -> None:
    keep(store, changed(proved[2], change), run_at=FIRST)
    assert reasons(store) == [("fidelity-failed", name) for name in NAMES]


def test_the_newest_report_of_a_sample_counts(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    keep(store, proved[2], run_at=SECOND)
    assert reasons(store) == []
    keep(store, changed(proved[2], failing("chain")), run_at=THIRD)
    assert reasons(store) == [("fidelity-failed", name) for name in NAMES]


def test_a_lighter_report_does_not_cover_up_a_failure(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], metric_judged("buy_size", Verdict.FAIL)), run_at=FIRST)
    keep(store, changed(proved[2], light), run_at=SECOND)
    assert reasons(store) == [("fidelity-failed", name) for name in NAMES]


def test_another_sample_does_not_cover_up_a_failure(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=FIRST)
    other = changed(proved[2], lambda one: replace(one, content_hash="1" * 64))
    keep(store, other, run_at=SECOND)
    assert reasons(store) == [("fidelity-failed", name) for name in NAMES]


def test_what_was_measured_of_other_content_is_stale(proved: Proved, store: Path) -> None:
    hashes = {**proved[2].hashes, DAYS[0]: "0" * 64}
    keep(store, replace(proved[2], hashes=hashes), run_at=FIRST)
    assert reasons(store) == [("fidelity-stale", NAMES[0])]


def test_what_was_judged_by_other_settings_does_not_count(proved: Proved, store: Path) -> None:
    def lax(one: Against) -> Against:
        assert one.same is not None
        return replace(one, same=replace(one.same, settings=Settings(margin=0.5)))

    keep(store, changed(proved[2], lax), run_at=FIRST)
    assert reasons(store) == [("fidelity-stale", name) for name in NAMES]
    assert "by other settings" in certify_dataset(store).refusals[0]["detail"]


def test_gate_d_alone_proves_nothing_row_by_row(proved: Proved, store: Path) -> None:
    keep(store, changed(proved[2], another_time), run_at=FIRST)
    assert reasons(store) == [("not-exact", name) for name in NAMES]
    assert "were not run" in certify_dataset(store).refusals[0]["detail"]
    keep(store, proved[2], run_at=SECOND)
    assert reasons(store) == []


def test_another_regime_is_said_and_refuses_nothing(proved: Proved, store: Path) -> None:
    unlike = changed(proved[2], lambda one: another_time(one, 0.001))
    assert [one.verdict for one in unlike.against] == [Verdict.FAIL]
    keep(store, unlike, run_at=FIRST)
    assert reasons(store) == [("not-exact", name) for name in NAMES]
    keep(store, proved[2], run_at=SECOND)
    assert reasons(store) == []
    assert "unlike 1 golden sample(s) of other times" in certify_dataset(store).document["says"]


def test_gates_that_are_inconclusive_are_not_enough(proved: Proved, store: Path) -> None:
    def undecided(one: Against) -> Against:
        assert one.exact is not None
        checks = tuple(
            replace(c, verdict=Verdict.INCONCLUSIVE) if c.name == "trades" else c
            for c in one.exact.checks
        )
        return replace(one, exact=replace(one.exact, checks=checks))

    keep(store, changed(proved[2], undecided), run_at=FIRST)
    assert reasons(store) == [("not-exact", name) for name in NAMES]
    assert "are inconclusive" in certify_dataset(store).refusals[0]["detail"]


def test_a_sample_of_part_of_the_day_proves_that_part(proved: Proved, store: Path) -> None:
    first, last = proved[2].against[0].span_ns
    half = changed(proved[2], lambda one: replace(one, span_ns=(first, (first + last) // 2)))
    keep(store, half, run_at=FIRST)
    early, late = certify_dataset(store).document["days"]
    assert early["fidelity"]["compared_share"] > 0.9
    assert late["fidelity"]["compared_share"] < 0.1
    assert "% of its time, the rest not compared" in late["fidelity"]["says"]


def test_days_without_a_seal_are_refused(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    (seal,) = (store / "days").rglob(f"dt={DAYS[1]}/*.parquet")
    seal.unlink()
    assert reasons(store) == [("not-sealed", NAMES[1])]
    assert reasons(store, end=DAYS[1]) == []


def test_days_that_both_ends_ask_for_must_be_there(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    found = reasons(store, start="2026-01-05", end="2026-01-08")
    assert found == [("not-sealed", "BINANCE SIM-USDT 2026-01-07")]
    assert reasons(store, start="2026-01-05", end="2026-01-07") == []


def test_a_byte_that_was_changed_is_refused(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    (file,) = (store / "events").rglob(f"dt={DAYS[0]}/*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert reasons(store) == [("files-changed", NAMES[0])]


def test_a_damaged_report_is_refused(proved: Proved, store: Path) -> None:
    paths = keep(store, proved[2], run_at=FIRST)
    keep(store, proved[2], run_at=SECOND)
    paths[0].write_text("{}")
    assert reasons(store) == [("report-damaged", NAMES[0])]


def test_what_is_not_there_is_a_wrong_request(store: Path) -> None:
    refused(r"no sealed day of what is asked for", "certify", store, "--start", "2027-01-01")
    refused(r"'2026-1-1' is no day", "certify", store, "--start", "2026-1-1")
    refused(r"ETH-USDT", "certify", store, "--symbol", "ETH-USDT")
    refused(r"is no folder of acquired data", "certify", store, "--lake", store)
    refused(r"--check holds", "certify", store, "--check", "x.json", "--start", "2026-01-05")
    refused(r"does not exist", "certify", store, "--out", store / "nowhere" / "x.json")


# --- the check ------------------------------------------------------------------------------------


@pytest.fixture
def issued(proved: Proved, store: Path, tmp_path: Path) -> Path:
    keep(store, proved[2], run_at=FIRST)
    out = tmp_path / "dataset.json"
    assert command("certify", store, "--out", out).code == 0
    return out


def found(store: Path, certificate: Path) -> list[tuple[str, str]]:
    said = command("certify", store, "--check", certificate, "--json")
    document = said.document
    assert document["holds"] == (said.code == 0) == (not document["found"])
    return [(one["reason"], one["key"]) for one in document["found"]]


def test_a_certificate_holds_where_nothing_changed(
    proved: Proved, store: Path, issued: Path
) -> None:
    assert found(store, issued) == []
    said = command("certify", store, "--check", issued)
    assert said.out.startswith("HOLDS")
    keep(store, proved[2], run_at=SECOND)  # another run that says the same
    assert found(store, issued) == []


def test_every_difference_is_named(proved: Proved, store: Path, issued: Path) -> None:
    shutil.rmtree(store / FOLDER)
    (seal,) = (store / "days").rglob(f"dt={DAYS[1]}/*.parquet")
    seal.unlink()
    (file,) = (store / "states").rglob(f"dt={DAYS[0]}/*.parquet")
    file.write_bytes(file.read_bytes() + b"x")
    assert found(store, issued) == [
        ("files-changed", NAMES[0]),
        ("report-missing", NAMES[0]),
        ("day-missing", NAMES[1]),
    ]
    said = command("certify", store, "--check", issued)
    assert said.code == 1
    assert said.out.startswith("DOES NOT HOLD")


def test_a_later_report_that_fails_is_named(proved: Proved, store: Path, issued: Path) -> None:
    keep(store, changed(proved[2], failing("chain")), run_at=SECOND)
    assert found(store, issued) == [("fidelity-failed", name) for name in NAMES]


def test_a_day_that_came_since_is_named(proved: Proved, store: Path, tmp_path: Path) -> None:
    keep(store, proved[2], run_at=FIRST)
    document = certify_dataset(store).document
    document["days"] = document["days"][:1]
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    out = tmp_path / "one.json"
    out.write_text(json.dumps({**document, "id": content_digest(content)}))
    assert found(store, out) == [("day-added", NAMES[1])]


def test_a_document_that_was_edited_shows(store: Path, issued: Path) -> None:
    document = json.loads(issued.read_text())
    document["days"][0]["quality"]["gaps"] = 7
    issued.write_text(json.dumps(document))
    assert found(store, issued) == [("certificate-changed", ""), ("day-changed", NAMES[0])]


def test_a_refused_document_does_not_hold(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "refused.json"
    assert command("certify", store, "--out", out).code == 1
    assert found(store, out) == [("verdict", "")]


@pytest.mark.parametrize("text", ["", "[]", '{"format": "lobproof-dataset-certificate"}', "{"])
def test_what_is_no_certificate_is_refused(store: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "none.json"
    out.write_text(text)
    refused(r"is no certificate of a dataset", "certify", store, "--check", out)
    refused(r"cannot be read", "certify", store, "--check", tmp_path / "nowhere.json")


def test_a_store_without_the_days_is_told(store: Path) -> None:
    with pytest.raises(UsageError, match=r"no sealed day"):
        certify_dataset(store, end="2020-01-01")
