"""The gate behind ``reconstruct``: what was made is proved, and the report kept."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.reports import kept_reports
from support.commands import command, refused


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sim``, ``golden`` and ``lake`` of one simulated minute."""
    folder = tmp_path_factory.mktemp("gate")
    to = ("--minutes", "1", "--snapshot-every", "20")
    assert command("simulate", "--out", folder / "sim", *to).code == 0
    recordings = sorted((folder / "sim").glob("*.gz"))
    assert command("import", *recordings, "--out", folder / "golden").code == 0
    assert command("derive-lake", folder / "golden", "--out", folder / "lake").code == 0
    return folder


def test_a_store_is_proved_once_against_the_sample_that_it_is_made_of(
    sample: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    arguments = ("reconstruct", sample / "golden", "--out", store)
    said = command(*arguments)
    assert said.code == 0, said
    assert "INCONCLUSIVE  BINANCE SIM-USDT (DEMO: synthetic data), level light" in said.out
    assert "gates A, B, row by row: pass" in said.out
    assert "gate C, distributions: inconclusive: " in said.out
    assert "are open; the page says what each would need" in said.out
    (kept,) = kept_reports(store).reports
    assert kept.level == "light"
    assert kept.against[0].gates == {"A": "exact", "B": "exact", "C": "inconclusive"}
    (page,) = store.rglob("fidelity.html")
    assert "SIMULATED" in page.read_text()
    assert str(page) in said.err
    again = command(*arguments)
    assert "Proved already" in again.err
    assert kept_reports(store).reports == (kept,)
    document = command(*arguments, "--json").document
    assert [one["verdict"] for one in document["fidelity"]] == ["inconclusive"]
    other = command(*arguments, "--prove", "standard", "--json").document
    assert [one["level"] for one in other["fidelity"]] == ["standard"]
    assert [one.level for one in kept_reports(store).reports] == ["light", "standard"]


def test_a_report_counts_for_the_samples_that_it_is_of(sample: Path, tmp_path: Path) -> None:
    """Gate D may rank a day among all of them."""
    for day in (2, 3):
        start = ("--start", f"2026-02-0{day}T00:00:00Z", "--minutes", "0.5")
        assert command("simulate", "--out", tmp_path / f"sim-{day}", *start).code == 0
        recordings = sorted((tmp_path / f"sim-{day}").glob("*.gz"))
        assert command("import", *recordings, "--out", tmp_path / f"golden-{day}").code == 0
    to = ("reconstruct", sample / "golden", "--out", tmp_path / "store")
    known = []
    for days in ((2,), (2, 3), (3, 2), (2,), (3,)):
        others = [word for day in days for word in ("--against", tmp_path / f"golden-{day}")]
        known.append("Proved already" in command(*to, *others).err)
    assert known == [False, False, True, True, False]


def test_nothing_is_proved_where_that_is_asked_for(sample: Path, tmp_path: Path) -> None:
    for place, options in (("a", ("--prove", "none")), ("b", ("--states", "1s"))):
        store = tmp_path / place
        said = command("reconstruct", sample / "golden", "--out", store, *options, "--json")
        assert said.code == 0, said
        assert said.document["fidelity"] == []
        assert ("Not proved: metrics are made of all states" in said.err) is ("--states" in options)
        assert kept_reports(store).reports == ()
        against = ("--against", sample / "golden")
        refused(
            "--against with --",
            "reconstruct", sample / "golden", "--out", store, *options, *against,
        )  # fmt: skip


def test_days_of_crypto_lake_are_proved_against_the_samples_that_are_named(
    sample: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    arguments = ("reconstruct", sample / "lake", "--out", store)
    alone = command(*arguments, "--json")
    assert alone.document["fidelity"] == []
    said = command(*arguments, "--against", sample / "golden")
    assert said.code == 0, said
    assert "gates A, B, row by row: pass" in said.out
    assert [one.verdict for one in kept_reports(store).reports] == [Verdict.INCONCLUSIVE]


def test_what_is_not_whole_is_not_proved_and_says_so(sample: Path, tmp_path: Path) -> None:
    lake = shutil.copytree(sample / "lake", tmp_path / "lake")
    file = next(path for path in sorted(lake.rglob("*.parquet")) if "book_delta" in str(path))
    kept = file.read_bytes()
    file.write_bytes(kept[: len(kept) // 2] + bytes(len(kept) // 4) + kept[len(kept) * 3 // 4 :])
    said = command(
        *("reconstruct", lake, "--out", tmp_path / "store", "--against", sample / "golden")
    )
    assert said.code == 3, said
    assert "Not proved: 1 of 1 days were not made" in said.err


def test_a_store_that_is_not_the_market_fails_the_gate(sample: Path, tmp_path: Path) -> None:
    """One trade of the recording is of another size."""
    recording, *others = sorted((sample / "sim").glob("*.gz"))
    lines = gzip.decompress(recording.read_bytes()).decode().splitlines()
    at = next(number for number, line in enumerate(lines) if '"e":"trade"' in line)
    begin = lines[at].index('"q":"') + 5
    end = lines[at].index('"', begin)
    size = f"{float(lines[at][begin:end]) * 2:.5f}"
    lines[at] = f"{lines[at][:begin]}{size}{lines[at][end:]}"
    other = tmp_path / recording.name
    other.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    assert command("import", other, *others, "--out", tmp_path / "golden").code == 0
    to = ("--out", tmp_path / "store", "--against", sample / "golden")
    said = command("reconstruct", tmp_path / "golden", *to)
    assert said.code == 1, said
    assert "FAIL  BINANCE SIM-USDT (DEMO: synthetic data), level light" in said.out
    assert "is stored with another value" in said.out
    (kept,) = kept_reports(tmp_path / "store").reports
    assert kept.verdict is Verdict.FAIL
    assert command("reconstruct", tmp_path / "golden", *to).code == 1  # and stays so


def test_a_sample_of_another_symbol_is_refused_before_the_work(
    sample: Path, tmp_path: Path
) -> None:
    made = command("simulate", "--out", tmp_path / "perp", "--minutes", "1", "--preset", "perp")
    assert made.code == 0, made
    recordings = sorted((tmp_path / "perp").glob("*.gz"))
    assert command("import", *recordings, "--out", tmp_path / "golden").code == 0
    store = tmp_path / "store"
    for source in ("golden", "lake"):
        refused(
            "golden sample of BINANCE_FUTURES SIM-USDT-PERP, of which nothing is reconstructed",
            "reconstruct", sample / source, "--out", store, "--against", tmp_path / "golden",
        )  # fmt: skip
        assert not store.exists()


def test_reports_and_pages_that_cannot_be_written_are_said(sample: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ("reconstruct", sample / "golden", "--out", store)
    assert command(*arguments, "--prove", "none").code == 0
    for name in ("fidelity", "pages"):
        (store / name).write_text("a file")
    said = command(*arguments, "--json")
    assert "There is no page" in said.err
    assert json.loads(said.out)["fidelity"][0]["verdict"] == "inconclusive"
    assert "is not kept" in said.err
